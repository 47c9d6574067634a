"""Read JSON Lines, line by line, with Python's own parser.

pyarrow's reader gives up a file over one bad line and over one value of another type; here such a
line is set aside alone. Parsing is a small part of the time that validation takes.

A JSON object may leave out a key, so a column counts as missing where none of the first chunk's
objects has it: a mistyped name is noticed before anything is taken in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.columns import FIELDS, Columns, RawChunk, Row, chunk_file, format_column_names
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.text_files import MAX_RECORD, SourceFile, open_text, record_too_long

MAX_LINE = 8 * 2**20
"""Bytes. A longer line is set aside unparsed: in Python's objects it may take thirty times as much."""

_MAX_KEYS = 10_000
"""So many keys are remembered for the message about a missing one."""

# pandas writes a missing value as NaN, which is no JSON
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class _BadLineError(Exception):
    """A line is not an object with usable values."""


def read_json_lines(path: SourceFile, columns: Columns, chunk_rows: int, encoding: str) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    keys: dict[str, None] = {}
    with open_text(path, encoding) as file:
        first = True
        for chunk in chunk_file(path, _rows(path, columns, _lines(path, file), keys), chunk_rows):
            if first:
                _check_keys(path, columns, list(keys))
                first = False
            yield chunk


def _lines(path: SourceFile, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, behind its number."""
    number = 0
    while line := file.readline(MAX_RECORD):
        number += 1
        if len(line) == MAX_RECORD:
            raise record_too_long(path, number)
        if not line.isspace():
            yield number, line


def _rows(
    path: SourceFile, columns: Columns, lines: Iterable[tuple[int, bytes]], keys: dict[str, None]
) -> Iterator[Row | RejectedRow]:
    """Yield each object's values in the order of `FIELDS`, and collect the keys of all objects."""
    for number, line in lines:
        position = f"line {number}"
        try:
            item = _parsed(line)
            names = item if len(keys) < _MAX_KEYS else [name for name in columns.required if name in item]
            keys.update(dict.fromkeys(names))
            text, category, identity, split, published_at, source = _values(item, columns)
            yield text, category, identity, split, published_at, source, position
        except _BadLineError as error:
            yield reject_row(path, position, str(error), line.decode("utf-8", "surrogateescape"))


def _parsed(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE:
        raise _BadLineError(f"the line is {len(line):,} bytes long; at most {MAX_LINE:,} are read")
    try:
        item = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _BadLineError(f"byte 0x{line[error.start]:02x} is not UTF-8") from error
    except RecursionError as error:
        raise _BadLineError("not JSON: nested too deeply") from error
    except ValueError as error:  # also a number of thousands of digits
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise _BadLineError(f"not JSON: {problem}") from error
    if not isinstance(item, dict):
        raise _BadLineError("not a JSON object")
    return item


def _values(item: dict[str, object], columns: Columns) -> list[str | None]:
    """Return the object's values in the order of `FIELDS`: None without a column, "" without a value."""
    values: list[str | None] = []
    for field, name in zip(FIELDS, columns.names, strict=True):
        value = item.get(name) if name is not None else None
        string = as_string(value) if field != "text" or isinstance(value, str) else None
        if string is None and value is not None:
            raise _BadLineError(f"{field} is of type {type(value).__name__}, where a string is expected")
        values.append(string or "" if name is not None else None)
    return values


def _check_keys(path: SourceFile, columns: Columns, keys: list[str]) -> None:
    if not keys:
        raise SourceError(f"{path}: no line is a JSON object; JSON Lines holds one object on each line")
    for name in columns.required:
        if name not in keys:
            raise SourceError(
                f"{path}: none of the first rows has {name!r}; their keys are {format_column_names(keys)}"
                " (write null where a value is missing)"
            )
