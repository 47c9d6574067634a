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
from classifier.ingest import category_values
from classifier.ingest.category_values import BadValueError
from classifier.ingest.columns import (
    Cell,
    Columns,
    RawChunk,
    Row,
    chunk_file,
    format_column_names,
    is_category_field,
    join_texts,
)
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.text_files import MAX_RECORD, SourceFile, open_text, record_too_long
from classifier.value_kinds import describe_kind

MAX_LINE = 8 * 2**20
"""Bytes. A longer line is rejected without parsing, because Python objects may take thirty times as much memory."""

_MAX_KEYS = 10_000
"""Keys that are collected for the message about a missing key."""

# pandas writes a missing value as NaN, which is not valid JSON
DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class BadLineError(Exception):
    """A line is not an object with usable values."""


def read_json_lines(path: SourceFile, columns: Columns, chunk_rows: int, encoding: str) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    keys: dict[str, None] = {}
    with open_text(path, encoding) as file:
        first = True
        for chunk in chunk_file(path, _rows(path, columns, _lines(path, file), keys), chunk_rows, columns.fields):
            if first:
                _check_keys(path, columns, list(keys))
                first = False
            yield chunk


def read_objects(path: SourceFile) -> Iterator[tuple[int, dict[str, object] | RejectedRow]]:
    """Yield the number of each line that is not blank, with its object or, if it has none, why it is rejected."""
    with open_text(path) as file:
        for number, line in _lines(path, file):
            try:
                yield number, _parse_line(line)
            except BadLineError as error:
                yield number, reject_row(path, f"line {number}", str(error), line.decode("utf-8", "surrogateescape"))


def read_records(path: SourceFile, columns: Columns, chunk_rows: int, records: Iterable[object]) -> Iterator[RawChunk]:
    """Yield the decoded records of a JSON document in chunks of at most `chunk_rows`."""
    keys: dict[str, None] = {}
    first = True
    for chunk in chunk_file(path, _decoded_rows(path, columns, records, keys), chunk_rows, columns.fields):
        if first and not keys:
            raise SourceError(f"{path}: no record is a JSON object")
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
    """Yield each object's values in the order of the columns' fields, and collect the keys of all objects."""
    for number, line in lines:
        position = f"line {number}"
        try:
            yield *_collect(_parse_line(line), columns, keys), position
        except BadLineError as error:
            yield reject_row(path, position, str(error), line.decode("utf-8", "surrogateescape"))


def _decoded_rows(
    path: SourceFile, columns: Columns, records: Iterable[object], keys: dict[str, None]
) -> Iterator[Row | RejectedRow]:
    """Yield each record's values in the order of the columns' fields, and collect the keys of all records."""
    for number, record in enumerate(records, 1):
        position = f"record {number}"
        try:
            yield *_collect(_check_object(record), columns, keys), position
        except BadLineError as error:
            yield reject_row(path, position, str(error), json.dumps(record, ensure_ascii=False))


def _collect(item: dict[str, object], columns: Columns, keys: dict[str, None]) -> list[Cell]:
    """Return an object's values in the order of the columns' fields, and add its keys to those of all objects."""
    names = item if len(keys) < _MAX_KEYS else [name for name in columns.required_in(list(item)) if name in item]
    keys.update(dict.fromkeys(names))
    return _values(item, columns)


def _parse_line(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE:
        raise BadLineError(f"the line has {len(line):,} bytes, more than the maximum of {MAX_LINE:,}")
    try:
        item = DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadLineError(f"byte 0x{line[error.start]:02x} is not UTF-8") from error
    except RecursionError as error:
        raise BadLineError("not JSON: nested too deeply") from error
    except ValueError as error:  # also for a number with thousands of digits
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise BadLineError(f"not JSON: {problem}") from error
    return _check_object(item)


def _check_object(item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        raise BadLineError("not a JSON object")
    return item


def _values(item: dict[str, object], columns: Columns) -> list[Cell]:
    """Return the values in the order of the fields: None if there is no such column, "" if the value is missing."""
    values: list[Cell] = []
    parts = columns.text_parts(list(item)) if "," in columns.text else [columns.text]
    for field, name in zip(columns.fields, columns.names, strict=True):
        if field == "text" and len(parts) > 1:
            values.append(join_texts(_text(item, part) for part in parts))
            continue
        value = item.get(name) if name is not None else None
        if isinstance(value, list) and is_category_field(field):
            values.append(_list(field, value))
            continue
        string = as_string(value) if field != "text" or isinstance(value, str) else None
        if string is None and value is not None:
            raise BadLineError(f"{field} is {describe_kind(value)}, but must be a string")
        values.append(string or "" if name is not None else None)
    return values


def _list(field: str, value: list[object]) -> tuple[str, ...]:
    """Return a list of categories."""
    try:
        return category_values.as_strings(field, value)
    except BadValueError as error:
        raise BadLineError(str(error)) from error


def _text(item: dict[str, object], name: str) -> str | None:
    """Return a part of the text."""
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise BadLineError(f"{name} is {describe_kind(value)}, but must be a string")
    return value


def _check_keys(path: SourceFile, columns: Columns, keys: list[str]) -> None:
    if not keys:
        raise SourceError(f"{path}: no line is a JSON object; JSON Lines has one object on each line")
    for name in columns.required_in(keys):
        if name not in keys:
            raise SourceError(
                f"{path}: none of the first rows has {name!r}; their keys are {format_column_names(keys)}"
                " (write null where a value is missing)"
            )
