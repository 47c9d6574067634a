"""Write labels as CSV, JSON Lines or Parquet, page by page.

In CSV and JSON Lines a time is in UTC, as in 2026-11-29T20:15:04.125000Z. A spreadsheet program evaluates a cell
of a CSV that starts with =, +, - or @ as a formula. So such a cell gets an apostrophe in front, as in review sheets,
unless the cells are to be exact. A list of labels is written in a CSV as in review sheets.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, Protocol, get_args

import numpy as np
from sqlalchemy import REAL, BigInteger, Boolean, DateTime, Integer, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from classifier.review import category_lists
from classifier.review.sheet import escape_formula

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

Columns = Sequence[tuple[str, TypeEngine[Any]]]
"""The names of the columns and their SQL types."""

Page = Sequence[Sequence[Any]]
"""Rows; a time is its number of microseconds since 1970 in UTC."""

_NO_TIME = np.iinfo(np.int64).min
"""NumPy's NaT."""


class PageWriter(Protocol):
    """A function that writes a page of rows."""

    def __call__(self, page: Page) -> None:
        """Write the rows."""


@contextmanager
def open_writer(file: BinaryIO, columns: Columns, kind: Format, *, exact: bool = False) -> Iterator[PageWriter]:
    """Yield a function that writes pages to a file, which is complete at the end. `exact` cells are for CSV."""
    if kind == "parquet":
        with _parquet_writer(file, columns) as write:
            yield write
        return
    decoded = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        yield _csv_writer(decoded, columns, exact=exact) if kind == "csv" else _json_writer(decoded, columns)
    finally:
        decoded.detach()  # writes what is left; otherwise the file would be closed


def _csv_writer(file: io.TextIOWrapper, columns: Columns, *, exact: bool) -> PageWriter:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for name, _ in columns])

    def write(page: Page) -> None:
        cells = zip(*page, strict=True)
        formatted = [
            _format_column(values, kind, exact=exact) for values, (_, kind) in zip(cells, columns, strict=True)
        ]
        writer.writerows(zip(*formatted, strict=True))

    return write


def _format_column(values: Sequence[Any], kind: TypeEngine[Any], *, exact: bool) -> Sequence[Any]:
    """Return the cells of a column; null is an empty cell."""
    if isinstance(kind, DateTime):
        return _format_times(values)
    if isinstance(kind, Boolean):
        return [None if value is None else str(value).lower() for value in values]
    if isinstance(kind, ARRAY):
        formatted = [_format_list(value, kind.item_type) for value in values]
        return formatted if exact else [None if cell is None else escape_formula(cell) for cell in formatted]
    if isinstance(kind, Text) and not exact:
        return [None if value is None else escape_formula(value) for value in values]
    return values


def _format_list(items: Sequence[Any] | None, kind: TypeEngine[Any]) -> str | None:
    """Return a list as one cell; an empty list of labels is `(none)`, one of numbers an empty cell."""
    if items is None:
        return None
    return category_lists.format_categories(items) if isinstance(kind, Text) else "; ".join(map(str, items))


def _json_writer(file: io.TextIOWrapper, columns: Columns) -> PageWriter:
    names = [name for name, _ in columns]
    times = [index for index, (_, kind) in enumerate(columns) if isinstance(kind, DateTime)]
    encode = json.JSONEncoder(ensure_ascii=False).encode

    def write(page: Page) -> None:
        cells = list(zip(*page, strict=True))
        for index in times:
            cells[index] = tuple(_format_times(cells[index]))
        file.writelines(f"{encode(dict(zip(names, row, strict=True)))}\n" for row in zip(*cells, strict=True))

    return write


@contextmanager
def _parquet_writer(file: BinaryIO, columns: Columns) -> Iterator[PageWriter]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in columns])

    def write(page: Page) -> None:
        cells = zip(*page, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(cells, schema, strict=True)]
        opened.write_table(pa.table(arrays, schema=schema))

    with parquet.ParquetWriter(file, schema, compression="zstd") as opened:
        yield write


def _arrow_type(kind: TypeEngine[Any]) -> Any:
    import pyarrow as pa

    if isinstance(kind, ARRAY):
        return pa.list_(_arrow_type(kind.item_type))
    types: Iterable[tuple[type[TypeEngine[Any]], Any]] = (
        (BigInteger, pa.int64()),
        (Integer, pa.int32()),
        (REAL, pa.float32()),
        (Boolean, pa.bool_()),
        (DateTime, pa.timestamp("us", tz="UTC")),
        (Text, pa.string()),
    )
    return next(arrow for sql, arrow in types if isinstance(kind, sql))


def _format_times(moments: Sequence[int | None]) -> list[str | None]:
    """Return times as text; NumPy formats many at once several times as fast as Python formats each."""
    numbers = np.fromiter((_NO_TIME if moment is None else moment for moment in moments), np.int64, len(moments))
    formatted = np.datetime_as_string(numbers.view("datetime64[us]"), unit="us", timezone="UTC").tolist()
    return [None if moment is None else text for moment, text in zip(moments, formatted, strict=True)]
