"""Group articles of similar length, so that little is spent on padding.

Padding every article to 512 word pieces costs several times the arithmetic of its text. Here each
batch is as wide as its longest article, rounded up to a fixed bucket: few distinct shapes, for which
kernels are chosen and compiled, and near to no padding. With a budget of word pieces a batch, short
articles come in larger batches and long ones in smaller, so that all cost about the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, PaddingMask, Probabilities, TokenIds
from classifier.model.tokenization import Pieces, pad
from classifier.model.word_pieces import lengths_of

BUCKETS = (*range(16, 257, 16), *range(288, 513, 32))
"""Widths in word pieces, as in labelling. A longer text has been cut off by the tokenizer."""

POOL = 32
"""Batches whose articles are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a batch has: `articles`, or fewer where `tokens` word pieces, padding included, hold fewer."""

    articles: int
    tokens: int = 0

    def rows(self, width: int) -> int:
        """Return the rows of a batch of this width; 0 tokens set no bound."""
        return max(1, min(self.articles, self.tokens // width)) if self.tokens else self.articles


@dataclass(frozen=True, slots=True)
class Batch:
    """Articles padded to one width and to the rows of that width.

    `sample_weight` is how much an article counts, and 0 for a row that only fills the batch, shape (rows,).
    `rows` are the articles' positions in the data, as many as there are articles.
    """

    tokens: TokenIds
    mask: PaddingMask
    targets: CategoryIndices
    sample_weight: Probabilities
    rows: NDArray[np.int64]


def bucket(length: int, buckets: Sequence[int] = BUCKETS) -> int:
    """Return the narrowest bucket that holds `length` word pieces; the widest where none does."""
    return next((width for width in buckets if width >= length), buckets[-1])


def batches(
    pieces: Pieces,
    targets: CategoryIndices,
    *,
    size: Size,
    weights: Probabilities | None = None,
    shuffle: np.random.Generator | None = None,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield every article once, in batches of similar length; the first `start` batches are left out.

    `weights` say how much each counts, shape (articles,); without them, all 1.

    With `shuffle`, articles are shuffled, sorted by length only within pools of some batches, and
    the batches are shuffled again: close to random order at close to no padding. Without it, the
    order is by length, the longest first.
    """
    lengths = lengths_of(pieces)
    for rows in _groups(lengths, size, shuffle)[start:]:
        width = bucket(int(lengths[rows].max()))
        count = size.rows(width)
        tokens, mask = pad([pieces[row] for row in rows], width, count)
        padded = np.zeros(count, dtype=np.int64)
        padded[: len(rows)] = targets[rows]
        sample_weight = np.zeros(count, dtype=np.float32)
        sample_weight[: len(rows)] = 1.0 if weights is None else weights[rows]
        yield Batch(tokens, mask, padded, sample_weight, rows)


def masked(batch: Batch, share: float, mask_id: int, generator: np.random.Generator) -> Batch:
    """Return the batch with the mask in the place of a share of its word pieces; special ones at both ends stay."""
    ends = batch.mask.sum(axis=1, keepdims=True) - 1
    places = np.arange(batch.tokens.shape[1])
    drawn = generator.random(batch.tokens.shape, dtype=np.float32) < share
    hidden = drawn & (places > 0) & (places < ends)
    return replace(batch, tokens=np.where(hidden, np.int32(mask_id), batch.tokens))


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into `parts` of the same number of rows, the mean of whose gradients is the batch's.

    Where the rows cannot be dealt evenly, rows of padding fill the last part. The loss of a part is its mean
    over all of its rows, so the articles' sample_weight makes up for them.
    """
    if parts == 1:
        return [batch]
    size = len(batch.targets)
    rows = -(-size // parts)
    more = rows * parts - size
    tokens = np.pad(batch.tokens, ((0, more), (0, 0)))
    mask = np.pad(batch.mask, ((0, more), (0, 0)))
    mask[size:, 0] = 1  # attention over nothing is not a number
    targets = np.pad(batch.targets, (0, more))
    sample_weight = np.pad(batch.sample_weight, (0, more)) * np.float32(rows * parts / size)
    return [
        Batch(tokens[part], mask[part], targets[part], sample_weight[part], batch.rows[part])
        for part in (slice(first, first + rows) for first in range(0, rows * parts, rows))
    ]


def count(pieces: Pieces, size: Size, epochs: int, shuffle: np.random.Generator) -> int:
    """Return how many batches so many epochs have that `shuffle` deals, from the state it is in."""
    if not size.tokens:
        return epochs * -(-len(pieces) // size.articles)
    lengths = lengths_of(pieces)
    return sum(len(_groups(lengths, size, shuffle)) for _ in range(epochs))


def _groups(lengths: NDArray[np.int64], size: Size, shuffle: np.random.Generator | None) -> list[NDArray[np.int64]]:
    """Return the articles of each batch."""
    if shuffle is None:
        return list(_cut(np.arange(len(lengths)), lengths, size))
    order = shuffle.permutation(len(lengths))
    pools = range(0, len(order), size.articles * POOL)
    groups = [rows for start in pools for rows in _cut(order[start : start + size.articles * POOL], lengths, size)]
    return [groups[index] for index in shuffle.permutation(len(groups))]


def _cut(rows: NDArray[np.int64], lengths: NDArray[np.int64], size: Size) -> Iterator[NDArray[np.int64]]:
    """Cut articles into batches of similar length: the longest first, since the first one decides the width."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(rows):
        end = start + size.rows(bucket(int(lengths[rows[start]])))
        yield rows[start:end]
        start = end
