"""Read Parquet files, a few thousand rows at a time, or fewer if rows may be long.

The columns of a row group are decoded page by page, without buffering the row group, so memory follows the chunk and
not the file. The sizes of the pages decide how many rows are decoded at once, because a dictionary with one long value
may decode to any number of long texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import SEEK_END
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest import parquet_pages
from classifier.ingest.columns import (
    CHUNK_BYTES,
    Cell,
    Columns,
    RawChunk,
    Row,
    chunk_file,
    is_category_field,
    join_texts,
    require_columns,
)
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.text_files import ExpansionLimit, SourceFile, name_file_in_errors

_BUFFER_BYTES = 2**20  # without a buffer, pyarrow reads all of a row group's column at once

MAX_CELL = 8 * 2**20
"""Bytes. A row with a longer value is rejected; an article's text has at most a megabyte."""


def read_parquet(path: SourceFile, columns: Columns, chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    with _open_parquet(path) as (file, opened):
        packed_size = opened.seek(0, SEEK_END)
        _check_columns(path, columns, file.schema_arrow)
        names = columns.required_in(file.schema_arrow.names)
        size = parquet_pages.estimate_row_bytes(path, opened, file.metadata, names)
        batch_rows = max(1, min(chunk_rows, int(CHUNK_BYTES / max(size, 1.0))))
        rows = _rows(path, file, columns, batch_rows, ExpansionLimit(path, packed_size))
        yield from chunk_file(path, rows, chunk_rows, columns.fields)


def read_column_names(path: SourceFile) -> list[str]:
    """Return the names of the file's columns."""
    with _open_parquet(path) as (file, _):
        return list(file.schema_arrow.names)


@contextmanager
def _open_parquet(path: SourceFile) -> Iterator[tuple[ParquetFile, IO[Any]]]:
    """Open a file, and turn pyarrow's errors into a `SourceError`."""
    with name_file_in_errors(path), path.open("rb") as opened:
        try:
            # pyarrow reads a local path faster than a Python file
            with ParquetFile(
                path if isinstance(path, Path) else opened, pre_buffer=False, buffer_size=_BUFFER_BYTES
            ) as file:
                yield file, opened
        except pa.ArrowException as error:
            problem = str(error).partition("\n")[0]
            raise SourceError(f"{path}: cannot be read as Parquet ({problem})") from error


def _check_columns(path: SourceFile, columns: Columns, schema: pa.Schema) -> None:
    require_columns(path, columns, schema.names)
    parts = columns.text_parts(schema.names)
    named = [*(("text", part) for part in parts), *zip(columns.fields[1:], columns.names[1:], strict=True)]
    for field, name in named:
        if name is None:
            continue
        kind = schema.field(name).type
        if is_category_field(field) and _is_list(kind):
            kind = kind.value_type
        # pandas and datasets write a column without any value as null
        is_optional = field != "text" or len(parts) > 1
        if not (_is_string(kind) or (is_optional and pa.types.is_null(kind)) or (field != "text" and _is_plain(kind))):
            raise SourceError(
                f"{path}: column {name!r} has the type {kind}, which cannot be read as {field}; write strings"
            )


def _rows(
    path: SourceFile, file: ParquetFile, columns: Columns, batch_rows: int, expansion: ExpansionLimit
) -> Iterator[Row | RejectedRow]:
    """Yield each row's values in the order of the columns' fields."""
    number = 0
    schema = file.schema_arrow
    names, parts = columns.required_in(schema.names), columns.text_parts(schema.names)
    fields = {name: field for field, name in zip(columns.fields, columns.names, strict=True) if name}
    fields |= dict.fromkeys(parts, "text")
    labels = read_class_labels(schema)
    for batch in file.iter_batches(batch_rows, columns=names, use_threads=False):
        expansion.add(batch.nbytes)
        faults: dict[int, str] = {}
        cells = {name: _cells(batch.column(name), fields[name], labels.get(name), faults) for name in names}
        absent = [None] * batch.num_rows
        others = [cells[name] if name else absent for name in columns.names[1:]]
        for index, row in enumerate(zip(_join(cells, parts), *others, strict=True)):
            number += 1
            if index in faults:
                yield reject_row(path, f"row {number}", faults[index], [_as_text(cell) for cell in row])
                continue
            yield *row, f"row {number}"


def _cells(column: pa.Array, field: str, labels: list[str] | None, faults: dict[int, str]) -> Sequence[Cell]:
    """Return a column's values: strings, "" for null; a list is a tuple of them. Faults are added by row."""
    if not _is_list(column.type):
        return _strings(_clear_oversized(field, _storable(_name_labels(column, labels, faults)), faults))
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_pylist()
    of_values: dict[int, str] = {}
    values = iter(_cells(column.flatten(), field, labels, of_values))
    if of_values:
        rows = [row for row, length in enumerate(lengths) for _ in range(length)]
        for index, reason in of_values.items():
            faults.setdefault(rows[index], reason)
    return ["" if length < 0 else tuple(map(_as_text, islice(values, length))) for length in lengths]


def _as_text(cell: Cell) -> str:
    return "; ".join(cell) if isinstance(cell, tuple) else cell or ""


def _join(cells: Mapping[str, Sequence[Cell]], parts: list[str]) -> Sequence[Cell]:
    if len(parts) == 1:
        return cells[parts[0]]
    return [join_texts(map(_as_text, texts)) for texts in zip(*(cells[part] for part in parts), strict=True)]


def read_class_labels(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the classes of each column that a Hugging Face dataset stores as numbers (ClassLabel)."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        described = {name: _describe_values(feature) for name, feature in features.items()}
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in described.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _describe_values(feature: Any) -> Any:
    """Return the description of a list's values, which datasets write in several ways, else of the column itself."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature", feature) if isinstance(feature, dict) else feature


def _name_labels(column: pa.Array, names: list[str] | None, faults: dict[int, str]) -> pa.Array:
    """Return the names of a ClassLabel's numbers. -1, which datasets write for "no label", becomes null.

    A number without a name adds a reason to `faults`.
    """
    if names is None or not pa.types.is_integer(column.type):
        return column
    has_name = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    unknown = pc.fill_null(pc.and_(pc.invert(has_name), pc.not_equal(column, -1)), False)
    for index in pc.indices_nonzero(unknown).to_pylist():
        faults.setdefault(index, f"label {column[index].as_py()} has no name; there are {len(names)} names")
    return pc.take(pa.array(names, pa.string()), pc.if_else(has_name, column, None).cast(pa.int64()))


def _clear_oversized(field: str, column: pa.Array, faults: dict[int, str]) -> pa.Array:
    """Return a column without the cells that are longer than `MAX_CELL`; add a reason for each to `faults`."""
    if not pa.types.is_large_binary(column.type):
        return column
    lengths = pc.binary_length(column)
    if (pc.max(lengths).as_py() or 0) <= MAX_CELL:
        return column
    too_long = pc.fill_null(pc.greater(lengths, MAX_CELL), False)
    for index in pc.indices_nonzero(too_long).to_pylist():
        length = lengths[index].as_py()
        faults.setdefault(index, f"{field} has {length:,} bytes, more than the maximum of {MAX_CELL:,}")
    return pc.if_else(too_long, pa.scalar(None, column.type), column)


def _storable(column: pa.Array) -> pa.Array:
    """Return the column as large binary if it holds strings, unchanged if it holds floats, otherwise as strings."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_string(column.type):
        # a string column may hold bytes that are not UTF-8, which to_pylist cannot convert
        return pc.cast(column, pa.large_binary())
    return column if pa.types.is_floating(column.type) else pc.cast(column, pa.string())


def _strings(column: pa.Array) -> list[str]:
    """Return the column's values as strings, "" for null."""
    return [as_string(value) or "" for value in column.to_pylist()]


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_string(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind in {
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()
    }  # fmt: skip


def _is_plain(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal)
    return any(test(kind) for test in tests)
