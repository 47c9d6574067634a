"""The columns of a file, and the frame that they are read into."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import pandas as pd

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile

CHUNK_BYTES = 16 * 2**20
"""A chunk ends when the strings of all its columns take this much memory, however few its rows.

About five chunks are in memory at once: one is read while another is signed and another is sent to Postgres.
"""

_MAX_NAMES_IN_AN_ERROR = 30


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a file's columns; None for a column that the file does not have."""

    text: str = "text"
    category: str | None = None
    id: str | None = None
    split: str | None = None
    published_at: str | None = None
    source: str | None = None
    title: str | None = None
    url: str | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names in the order of `FIELDS`."""
        return astuple(self)

    @property
    def required(self) -> list[str]:
        """The names of the columns that the file must have."""
        return [name for name in self.names if name is not None]

    def text_parts(self, present: Sequence[str]) -> list[str]:
        """Return the columns that are joined to the text, as in "title,body".

        A column whose own name has a comma is one column.
        """
        return [self.text] if self.text in present else [part.strip() for part in self.text.split(",")]

    def required_in(self, present: Sequence[str]) -> list[str]:
        """Return the names of the columns that a file must have, each once; `present` are its columns."""
        return list(dict.fromkeys([*self.text_parts(present), *self.required[1:]]))


FIELDS = tuple(field.name for field in fields(Columns))
"""Our own names of the columns: text, category, id, split, published_at, source, title, url."""

Row = tuple[str | None, ...]
"""The values of `FIELDS`, then the position in the file."""


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Rows as a file holds them, and the rows that cannot be read.

    `frame` has the columns `FIELDS` and `position`, all of Python strings. A value is None if the file has no such
    column, and "" if the value is missing. A byte that is not UTF-8 is a lone surrogate (`surrogateescape`).
    """

    frame: pd.DataFrame
    rejected: list[RejectedRow]


def require_columns(path: SourceFile | str, columns: Columns, present: Sequence[str]) -> None:
    """Raise `SourceError` unless each required column is present exactly once."""
    for name in columns.required_in(present):
        if present.count(name) != 1:
            problem = "no column" if name not in present else "more than one column"
            raise SourceError(f"{path}: {problem} {name!r}; its columns are {format_column_names(present)}")


def join_texts(parts: Iterable[str | None]) -> str:
    """Return the parts of a text, joined by a blank line; empty parts are left out."""
    return "\n\n".join(part for part in parts if part and not part.isspace())


def format_column_names(present: Sequence[str]) -> str:
    """Return the column names for an error message."""
    shown = ", ".join(repr(name[:60]) for name in present[:_MAX_NAMES_IN_AN_ERROR])
    more = len(present) - _MAX_NAMES_IN_AN_ERROR
    return f"{shown} and {more} more" if more > 0 else shown


def chunk_file(path: SourceFile, records: Iterable[Row | RejectedRow], chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the records in chunks of at most `chunk_rows`; raise `SourceError` if there are no records."""
    empty = True
    for chunk in chunk_records(records, chunk_rows):
        empty = False
        yield chunk
    if empty:
        raise SourceError(f"{path}: no rows; a source must not be empty")


def chunk_records(records: Iterable[Row | RejectedRow], chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the records in chunks of at most `chunk_rows`; yield nothing if there are no records."""
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
