"""Word-piece ids of many texts in two arrays: four bytes per piece, where Python lists need over thirty.

A training's ids may be in a file that is mapped into memory. The operating system then loads the pages that are read,
and frees them when it needs memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TokenRow = Sequence[int] | NDArray[np.int32]
"""The ids of one text, or of one chunk of it."""


class Pieces(Protocol):
    """Word-piece ids of articles or chunks, with special tokens and without padding."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, row: int, /) -> TokenRow:
        """Return a row's ids."""

    def __iter__(self) -> Iterator[TokenRow]:
        """Return an iterator over the rows."""


@dataclass(frozen=True, slots=True)
class PackedPieces:
    """Rows that follow each other in `ids`; row n ends before position `ends[n]`."""

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ends)

    def __getitem__(self, row: int, /) -> NDArray[np.int32]:
        """Return a row's ids as a view of the array."""
        row = int(row) + (len(self.ends) if row < 0 else 0)
        return self.ids[self.ends[row - 1] if row else 0 : self.ends[row]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        """Return an iterator over the rows."""
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of ids of each row."""
        return np.diff(self.ends, prepend=0)


def pack(rows: Sequence[TokenRow]) -> PackedPieces:
    """Return the rows as arrays."""
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    ids = np.empty(ends[-1] if len(rows) else 0, dtype=np.int32)
    start = 0
    for row, end in zip(rows, ends, strict=True):
        ids[start:end] = row
        start = end
    return PackedPieces(ids, ends)


def join(parts: Iterable[PackedPieces]) -> PackedPieces:
    """Return the rows of all parts, in order."""
    all_parts = list(parts)
    if not all_parts:
        return pack([])
    lengths = np.concatenate([part.lengths for part in all_parts])
    return PackedPieces(np.concatenate([part.ids for part in all_parts]), np.cumsum(lengths))


def lengths_of(pieces: Pieces) -> NDArray[np.int64]:
    """Return the number of ids of each row."""
    if isinstance(pieces, PackedPieces):
        return pieces.lengths
    return np.fromiter((len(ids) for ids in pieces), dtype=np.int64, count=len(pieces))
