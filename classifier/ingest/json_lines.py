"""Read JSON Lines, line by line, with Python's own parser.

pyarrow's reader fails a whole file over one invalid line or one value of another type; here such a line is rejected
alone. Parsing takes little time compared with validation.

A JSON object may omit a key. So a column counts as missing if no object of the first chunk has it: a mistyped name is
noticed before anything is ingested.
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
from classifier.value_kinds import describe_kind

MAX_LINE = 8 * 2**20
"""Bytes. A longer line is rejected without parsing, because Python objects may take thirty times as much memory."""

_MAX_KEYS = 10_000
"""Keys that are collected for the message about a missing key."""

# pandas writes a missing value as NaN, which is not valid JSON
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
    """Yield the number and the bytes of each line that is not blank."""
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
            item = _parse_line(line)
            names = item if len(keys) < _MAX_KEYS else [name for name in columns.required if name in item]
            keys.update(dict.fromkeys(names))
            text, category, identity, split, published_at, source = _values(item, columns)
            yield text, category, identity, split, published_at, source, position
        except _BadLineError as error:
            yield reject_row(path, position, str(error), line.decode("utf-8", "surrogateescape"))


def _parse_line(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE:
        raise _BadLineError(f"the line has {len(line):,} bytes, more than the maximum of {MAX_LINE:,}")
    try:
        item = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _BadLineError(f"byte 0x{line[error.start]:02x} is not UTF-8") from error
    except RecursionError as error:
        raise _BadLineError("not JSON: nested too deeply") from error
    except ValueError as error:  # also for a number with thousands of digits
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise _BadLineError(f"not JSON: {problem}") from error
    if not isinstance(item, dict):
        raise _BadLineError("not a JSON object")
    return item


def _values(item: dict[str, object], columns: Columns) -> list[str | None]:
    """Return the values in the order of `FIELDS`: None if there is no such column, "" if the value is missing."""
    values: list[str | None] = []
    for field, name in zip(FIELDS, columns.names, strict=True):
        value = item.get(name) if name is not None else None
        string = as_string(value) if field != "text" or isinstance(value, str) else None
        if string is None and value is not None:
            raise _BadLineError(f"{field} is {describe_kind(value)}, but must be a string")
        values.append(string or "" if name is not None else None)
    return values


def _check_keys(path: SourceFile, columns: Columns, keys: list[str]) -> None:
    if not keys:
        raise SourceError(f"{path}: no line is a JSON object; JSON Lines has one object on each line")
    for name in columns.required:
        if name not in keys:
            raise SourceError(
                f"{path}: none of the first rows has {name!r}; their keys are {format_column_names(keys)}"
                " (write null where a value is missing)"
            )
