"""Group articles of similar length, so that little is spent on padding.

Padding every article to 512 word pieces costs several times the arithmetic of its text. Here each
batch is as wide as its longest article, rounded up to a fixed bucket: few distinct shapes, so the
framework compiles few graphs, and near to no padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, PaddingMask, Probabilities, TokenIds
from classifier.model.tokenization import Pieces, pad

BUCKETS = (16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512)
"""Widths in word pieces. A longer text has been cut off by the tokenizer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Articles padded to one width and a fixed number of rows.

    `importance` is 1 for an article and 0 for a row that only fills the batch, shape (rows,).
    `rows` are the articles' positions in the data, as many as there are articles.
    """

    tokens: TokenIds
    mask: PaddingMask
    targets: CategoryIndices
    importance: Probabilities
    rows: NDArray[np.int64]


def bucket(length: int, buckets: Sequence[int] = BUCKETS) -> int:
    """Return the narrowest bucket that holds `length` word pieces; the widest where none does."""
    return next((width for width in buckets if width >= length), buckets[-1])


def batches(
    pieces: Pieces,
    targets: CategoryIndices,
    *,
    size: int,
    shuffle: np.random.Generator | None = None,
    pool: int = 32,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield every article once, in batches of similar length; the first `start` batches are left out.

    With `shuffle`, articles are shuffled, sorted by length only within pools of `pool` batches, and
    the batches are shuffled again: close to random order at close to no padding. Without it, the
    order is by length.
    """
    for rows in _groups(pieces, size, shuffle, pool)[start:]:
        width = bucket(max(len(pieces[row]) for row in rows))
        tokens, mask = pad([pieces[row] for row in rows], width, size)
        padded = np.zeros(size, dtype=np.int64)
        padded[: len(rows)] = targets[rows]
        importance = np.zeros(size, dtype=np.float32)
        importance[: len(rows)] = 1.0
        yield Batch(tokens, mask, padded, importance, rows)


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into `parts` of the same number of rows, the mean of whose gradients is the batch's.

    Where the rows cannot be dealt evenly, rows of padding fill the last part. The loss of a part is its mean
    over all of its rows, so the articles' importance makes up for them.
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
    importance = np.pad(batch.importance, (0, more)) * np.float32(rows * parts / size)
    return [
        Batch(tokens[part], mask[part], targets[part], importance[part], batch.rows[part])
        for part in (slice(first, first + rows) for first in range(0, rows * parts, rows))
    ]


def count(articles: int, size: int) -> int:
    """Return how many batches an epoch has."""
    return -(-articles // size)


def _groups(pieces: Pieces, size: int, shuffle: np.random.Generator | None, pool: int) -> list[NDArray[np.int64]]:
    lengths = np.fromiter((len(ids) for ids in pieces), dtype=np.int64, count=len(pieces))
    if shuffle is None:
        order = np.argsort(lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]
    order = shuffle.permutation(len(pieces))
    groups: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * pool):
        chunk = order[start : start + size * pool]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        groups += [chunk[first : first + size] for first in range(0, len(chunk), size)]
    return [groups[index] for index in shuffle.permutation(len(groups))]
