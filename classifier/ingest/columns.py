"""Which columns of a file hold what, and the frame they are read into."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import pandas as pd

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile

CHUNK_BYTES = 16 * 2**20
"""A chunk is closed when its strings, of all columns, take this much memory, however few its rows.

Some five chunks are held at once: one is read while one is signed and one is sent to Postgres.
"""

_COLUMNS_NAMED_IN_AN_ERROR = 30


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that a file's columns have; None for what the file does not hold."""

    text: str = "text"
    category: str | None = None
    id: str | None = None
    split: str | None = None
    published_at: str | None = None
    source: str | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """The file's names in the order of `FIELDS`."""
        return astuple(self)

    @property
    def wanted(self) -> list[str]:
        """The names that the file has to hold."""
        return [name for name in self.names if name is not None]


FIELDS = tuple(field.name for field in fields(Columns))
"""Our own names of the columns: text, category, id, split, published_at, source."""

Row = tuple[str | None, str | None, str | None, str | None, str | None, str | None, str]
"""The values of `FIELDS`, then the position."""


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Rows as a file holds them, and those that could not be read.

    `frame` has the columns `FIELDS` and `position`, all of Python strings. A value is None where
    the file has no such column, and "" where it has the column and the value is missing. Bytes that
    are no UTF-8 stand as lone surrogates, as `surrogateescape` leaves them.
    """

    frame: pd.DataFrame
    rejected: list[RejectedRow]


def require_columns(path: SourceFile | str, columns: Columns, present: Sequence[str]) -> None:
    """Raise `SourceError` unless each wanted column is present once."""
    for name in columns.wanted:
        if present.count(name) != 1:
            problem = "no column" if name not in present else "more than one column"
            raise SourceError(f"{path}: {problem} {name!r}; its columns are {format_column_names(present)}")


def format_column_names(present: Sequence[str]) -> str:
    """Return the names of columns for an error's message."""
    shown = ", ".join(repr(name[:60]) for name in present[:_COLUMNS_NAMED_IN_AN_ERROR])
    more = len(present) - _COLUMNS_NAMED_IN_AN_ERROR
    return f"{shown} and {more} more" if more > 0 else shown


def chunk_file(path: SourceFile, records: Iterable[Row | RejectedRow], chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the records in chunks of at most `chunk_rows`; raise `SourceError` where there are none."""
    empty = True
    for chunk in chunk_records(records, chunk_rows):
        empty = False
        yield chunk
    if empty:
        raise SourceError(f"{path}: no rows; an empty source is taken for a mistake")


def chunk_records(records: Iterable[Row | RejectedRow], chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the records in chunks of at most `chunk_rows`, and nothing where there are none."""
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    size = 0
    for record in records:
        if isinstance(record, RejectedRow):
            rejected.append(record)
            size += sys.getsizeof(record.row)
        else:
            rows.append(record)
            size += sum(map(sys.getsizeof, record))
        if len(rows) + len(rejected) >= chunk_rows or size > CHUNK_BYTES:
            yield RawChunk(to_frame(rows), rejected)
            rows, rejected, size = [], [], 0
    if rows or rejected:
        yield RawChunk(to_frame(rows), rejected)


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a frame of Python strings."""
    return pd.DataFrame(list(rows), columns=[*FIELDS, "position"], dtype=object)
