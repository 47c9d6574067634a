"""The columns of a file, and the frame that they are read into."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import pandas as pd

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile

CHUNK_BYTES = 16 * 2**20
"""A chunk ends when the strings of all its columns take this much memory, however few its rows.

About five chunks are in memory at once: one is read while another is signed and another is sent to Postgres.
"""

_MAX_NAMES_IN_AN_ERROR = 30


class TaskColumn(NamedTuple):
    """A column that holds the categories of a task, which is named."""

    task: str
    column: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a file's columns; None for a column that the file does not have.

    `category` is the column of the only task, or of the one that is named apart from the columns; `categories` are the
    columns of other tasks.
    """

    text: str = "text"
    category: str | None = None
    id: str | None = None
    split: str | None = None
    published_at: str | None = None
    source: str | None = None
    title: str | None = None
    url: str | None = None
    categories: tuple[TaskColumn, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(TaskColumn(*each) for each in self.categories))

    @property
    def fields(self) -> tuple[str, ...]:
        """Our own names of the columns: `FIELDS`, and a field for each column of `categories`."""
        return (*FIELDS, *(category_field(each.task) for each in self.categories)) if self.categories else FIELDS

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names in the order of `fields`."""
        return (*(getattr(self, field) for field in FIELDS), *(each.column for each in self.categories))

    def to_json(self) -> dict[str, Any]:
        """Return the names as the database stores them, without `categories` if there are none."""
        return {name: value for name, value in asdict(self).items() if name != "categories" or value}

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


FIELDS = tuple(field.name for field in fields(Columns) if field.name != "categories")
"""Our own names of the columns: text, category, id, split, published_at, source, title, url."""

_CATEGORY_OF = "category of "

Cell = str | tuple[str, ...] | None
"""A value of a row. Only a category may be a tuple: a list of values, "" for one that is missing."""

Row = tuple[Cell, ...]
"""The values of the columns' fields, then the position in the file."""


def category_field(task: str) -> str:
    """Return the field of a column that holds the categories of a named task."""
    return f"{_CATEGORY_OF}{task}"


def is_category_field(field: str) -> bool:
    """Return whether a field holds categories."""
    return field == "category" or field.startswith(_CATEGORY_OF)


def category_fields(frame: pd.DataFrame) -> list[str]:
    """Return the columns of a frame that hold categories."""
    return [name for name in map(str, frame.columns) if is_category_field(name)]


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Rows as a file holds them, and the rows that cannot be read.

    `frame` has the columns' fields and `position`, all of Python strings. A value is None if the file has no such
    column, and "" if the value is missing. A list of categories is a tuple. A byte that is not UTF-8 is a lone
    surrogate (`surrogateescape`).
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


def chunk_file(
    path: SourceFile, records: Iterable[Row | RejectedRow], chunk_rows: int, fields: Sequence[str] = FIELDS
) -> Iterator[RawChunk]:
    """Yield the records in chunks of at most `chunk_rows`; raise `SourceError` if there are no records."""
    empty = True
    for chunk in chunk_records(records, chunk_rows, fields):
        empty = False
        yield chunk
    if empty:
        raise SourceError(f"{path}: no rows; a source must not be empty")


def chunk_records(
    records: Iterable[Row | RejectedRow], chunk_rows: int, fields: Sequence[str] = FIELDS
) -> Iterator[RawChunk]:
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
            if tuple in map(type, record):
                size += sum(map(sys.getsizeof, _list_values(record)))
        if len(rows) + len(rejected) >= chunk_rows or size > CHUNK_BYTES:
            yield RawChunk(to_frame(rows, fields), rejected)
            rows, rejected, size = [], [], 0
    if rows or rejected:
        yield RawChunk(to_frame(rows, fields), rejected)


def _list_values(record: Row) -> Iterator[str]:
    """Return the values of a row's lists."""
    return (value for cell in record if isinstance(cell, tuple) for value in cell)


def to_frame(rows: Sequence[Row], fields: Sequence[str] = FIELDS) -> pd.DataFrame:
    """Return the rows as a frame of Python strings."""
    return pd.DataFrame(list(rows), columns=[*fields, "position"], dtype=object)
