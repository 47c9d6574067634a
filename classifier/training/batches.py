"""Group articles of similar length, so that little is computed for padding.

Padding every article to 512 word pieces would cost several times the arithmetic of its text. Each batch is only as wide
as its longest article, rounded up to a fixed bucket: kernels are chosen and compiled for few distinct shapes. If the
word pieces per batch are limited, short articles come in larger batches than long ones, and all batches cost about the
same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.model.targets import Targets
from classifier.model.tokenization import Pieces, pad
from classifier.model.word_pieces import lengths_of

BUCKETS = (*range(16, 257, 16), *range(288, 513, 32))
"""Widths in word pieces, as in labelling. The tokenizer truncates longer texts."""

POOL_SIZE = 32
"""Number of batches whose articles are sorted by length together."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The maximum size of a batch: `articles` rows and, unless it is 0, `tokens` word pieces including padding."""

    articles: int
    tokens: int = 0

    def rows(self, width: int) -> int:
        """Return the number of rows of a batch of this width, which is at least 1."""
        return max(1, min(self.articles, self.tokens // width)) if self.tokens else self.articles


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Articles padded to one width, and to the number of rows for that width.

    `sample_weight` is the weight of each row in the loss, and 0 for rows of padding, shape (rows,). `rows` are the
    articles' positions in the data; it has no entries for rows of padding.
    """

    tokens: TokenIds
    mask: PaddingMask
    targets: Targets
    sample_weight: Probabilities
    rows: NDArray[np.int64]


def bucket_width(length: int, buckets: Sequence[int] = BUCKETS) -> int:
    """Return the narrowest bucket that holds `length` word pieces, or the widest if none does."""
    return next((width for width in buckets if width >= length), buckets[-1])


def batches(
    pieces: Pieces,
    targets: Targets,
    *,
    size: BatchSize,
    weights: Probabilities | None = None,
    shuffle: np.random.Generator | None = None,
    start: int = 0,
) -> Iterator[TrainingBatch]:
    """Yield every article once, in batches of similar length, without the first `start` batches.

    With `shuffle`, articles are shuffled, sorted by length within pools of some batches only, and the batches are
    shuffled again: this is close to random order with hardly any padding. Without `shuffle`, the order is by length,
    the longest first. `weights` are the articles' weights in the loss, shape (articles,); by default all are 1.
    """
    lengths = lengths_of(pieces)
    for rows in _groups(lengths, size, shuffle)[start:]:
        width = bucket_width(int(lengths[rows].max()))
        row_count = size.rows(width)
        tokens, mask = pad([pieces[row] for row in rows], width, row_count)
        padded_targets = _no_targets(row_count, targets)
        padded_targets[: len(rows)] = targets[rows]
        sample_weight = np.zeros(row_count, dtype=np.float32)
        sample_weight[: len(rows)] = 1.0 if weights is None else weights[rows]
        yield TrainingBatch(tokens, mask, padded_targets, sample_weight, rows)


def mask_tokens(batch: TrainingBatch, share: float, mask_id: int, generator: np.random.Generator) -> TrainingBatch:
    """Return the batch with [MASK] in place of a random share of its word pieces, except the special ones."""
    ends = batch.mask.sum(axis=1, keepdims=True) - 1
    positions = np.arange(batch.tokens.shape[1])
    drawn = generator.random(batch.tokens.shape, dtype=np.float32) < share
    hidden = drawn & (positions > 0) & (positions < ends)
    return replace(batch, tokens=np.where(hidden, np.int32(mask_id), batch.tokens))


def split_batch(batch: TrainingBatch, accumulation_steps: int) -> list[TrainingBatch]:
    """Return the batch in as many parts of equal size, whose gradients have the batch's gradient as their mean.

    If the rows do not divide evenly, rows of padding fill the last part. The loss of a part is the mean over all its
    rows, so the articles' weights compensate for the padding.
    """
    if accumulation_steps == 1:
        return [batch]
    size = len(batch.targets)
    rows = -(-size // accumulation_steps)
    padding = rows * accumulation_steps - size
    tokens = np.pad(batch.tokens, ((0, padding), (0, 0)))
    mask = np.pad(batch.mask, ((0, padding), (0, 0)))
    mask[size:, 0] = 1  # attention over no token at all is not a number
    targets = np.concatenate([batch.targets, _no_targets(padding, batch.targets)])
    sample_weight = np.pad(batch.sample_weight, (0, padding)) * np.float32(rows * accumulation_steps / size)
    slices = (slice(first, first + rows) for first in range(0, rows * accumulation_steps, rows))
    return [
        TrainingBatch(tokens[part], mask[part], targets[part], sample_weight[part], batch.rows[part]) for part in slices
    ]


def _no_targets(rows: int, targets: Targets) -> Targets:
    """Return the targets of rows of padding: the first category or, for a label matrix, no category."""
    return np.zeros(rows, np.int64) if targets.ndim == 1 else np.zeros((rows, targets.shape[1]), np.bool_)


def count_batches(pieces: Pieces, size: BatchSize, epochs: int, shuffle: np.random.Generator) -> int:
    """Return the number of batches in this many epochs, shuffled from the generator's present state."""
    if not size.tokens:
        return epochs * -(-len(pieces) // size.articles)
    lengths = lengths_of(pieces)
    return sum(len(_groups(lengths, size, shuffle)) for _ in range(epochs))


def _groups(
    lengths: NDArray[np.int64], size: BatchSize, shuffle: np.random.Generator | None
) -> list[NDArray[np.int64]]:
    """Return the positions of each batch's articles."""
    if shuffle is None:
        return list(_by_length(np.arange(len(lengths)), lengths, size))
    order = shuffle.permutation(len(lengths))
    pool = size.articles * POOL_SIZE
    starts = range(0, len(order), pool)
    groups = [rows for start in starts for rows in _by_length(order[start : start + pool], lengths, size)]
    return [groups[index] for index in shuffle.permutation(len(groups))]


def _by_length(rows: NDArray[np.int64], lengths: NDArray[np.int64], size: BatchSize) -> Iterator[NDArray[np.int64]]:
    """Yield the articles in groups of similar length, the longest first: a group's first article decides its width."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(rows):
        end = start + size.rows(bucket_width(int(lengths[rows[start]])))
        yield rows[start:end]
        start = end
