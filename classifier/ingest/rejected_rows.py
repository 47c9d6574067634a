"""Describe rejected rows in a form that every database can store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from classifier.articles import RejectedRow
from classifier.ingest.columns import Cell
from classifier.ingest.text_files import SourceFile

MAX_ROW_LENGTH = 20_000
"""Characters of a rejected row that are stored."""


def reject_row(path: SourceFile | str, position: str, reason: str, row: str | Sequence[str]) -> RejectedRow:
    """Return a row that cannot be read. Its source is the file, until validation sets it."""
    return RejectedRow(path if isinstance(path, str) else path.name, position, reason, row_json(row))


def row_json(row: str | Sequence[str] | Mapping[str, Cell]) -> str:
    """Return a row as JSON, cut at `MAX_ROW_LENGTH` characters.

    Lone surrogates and bytes that are not UTF-8 become escapes, and NUL becomes U+2400: Postgres
    can store neither.
    """
    match row:
        case str():
            value: object = _storable(row)
        case Mapping():
            value = {name: _storable_cell(cell) for name, cell in row.items() if cell is not None}
        case _:
            value = [_storable(cell) for cell in row[:MAX_ROW_LENGTH]]
    return json.dumps(value, ensure_ascii=False)[:MAX_ROW_LENGTH]


def _storable_cell(cell: str | tuple[str, ...]) -> str | list[str]:
    return _storable(cell) if isinstance(cell, str) else [_storable(value) for value in cell[:MAX_ROW_LENGTH]]


def _storable(value: str) -> str:
    # cut before escaping, because a value may have ten megabytes
    return value[:MAX_ROW_LENGTH].replace("\0", "\u2400").encode("utf-8", "backslashreplace").decode("utf-8")
