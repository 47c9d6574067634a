"""Read Parquet files, a few thousand rows at a time, or fewer if rows may be long.

The columns of a row group are decoded page by page, without buffering the row group, so memory follows the chunk and
not the file. The sizes of the pages decide how many rows are decoded at once, because a dictionary with one long value
may decode to any number of long texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import SEEK_END
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest import parquet_pages
from classifier.ingest.columns import CHUNK_BYTES, FIELDS, Columns, RawChunk, Row, chunk_file, require_columns
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.text_files import ExpansionLimit, SourceFile, name_file_in_errors

_BUFFER_BYTES = 2**20  # without a buffer, pyarrow reads all of a row group's column at once

MAX_CELL = 8 * 2**20
"""Bytes. A row with a longer value is rejected; an article's text has at most a megabyte."""


def read_parquet(path: SourceFile, columns: Columns, chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    with name_file_in_errors(path), path.open("rb") as opened:
        packed_size = opened.seek(0, SEEK_END)
        try:
            # pyarrow reads a local path faster than a Python file
            with ParquetFile(
                path if isinstance(path, Path) else opened, pre_buffer=False, buffer_size=_BUFFER_BYTES
            ) as file:
                _check_columns(path, columns, file.schema_arrow)
                size = parquet_pages.estimate_row_bytes(path, opened, file.metadata, columns.required)
                batch_rows = max(1, min(chunk_rows, int(CHUNK_BYTES / max(size, 1.0))))
                rows = _rows(path, file, columns, batch_rows, ExpansionLimit(path, packed_size))
                yield from chunk_file(path, rows, chunk_rows)
        except pa.ArrowException as error:
            problem = str(error).partition("\n")[0]
            raise SourceError(f"{path}: cannot be read as Parquet ({problem})") from error


def _check_columns(path: SourceFile, columns: Columns, schema: pa.Schema) -> None:
    require_columns(path, columns, schema.names)
    for field, name in zip(FIELDS, columns.names, strict=True):
        if name is None:
            continue
        kind = schema.field(name).type
        usable = _is_string(kind) if field == "text" else _is_string(kind) or _is_plain(kind)
        if not usable:
            raise SourceError(
                f"{path}: column {name!r} has the type {kind}, which cannot be read as {field}; write strings"
            )


def _rows(
    path: SourceFile, file: ParquetFile, columns: Columns, batch_rows: int, expansion: ExpansionLimit
) -> Iterator[Row | RejectedRow]:
    """Yield each row's values in the order of `FIELDS`."""
    number = 0
    for batch in file.iter_batches(batch_rows, columns=columns.required, use_threads=False):
        expansion.add(batch.nbytes)
        arrays = [_storable(batch.column(name)) if name is not None else None for name in columns.names]
        faults = _clear_oversized(arrays)
        absent = [None] * batch.num_rows
        values = [absent if array is None else _strings(array) for array in arrays]
        for index, cells in enumerate(zip(*values, strict=True)):
            number += 1
            if index in faults:
                yield reject_row(path, f"row {number}", faults[index], [cell or "" for cell in cells])
                continue
            yield *cells, f"row {number}"


def _clear_oversized(arrays: list[pa.Array | None]) -> dict[int, str]:
    """Clear the cells that are longer than `MAX_CELL`, and return a reason for each of their rows."""
    faults: dict[int, str] = {}
    for position, (field, array) in enumerate(zip(FIELDS, arrays, strict=True)):
        if array is None or not pa.types.is_large_binary(array.type):
            continue
        lengths = pc.binary_length(array)
        if (pc.max(lengths).as_py() or 0) <= MAX_CELL:
            continue
        too_long = pc.fill_null(pc.greater(lengths, MAX_CELL), False)
        for index in pc.indices_nonzero(too_long).to_pylist():
            length = lengths[index].as_py()
            faults.setdefault(index, f"{field} has {length:,} bytes, more than the maximum of {MAX_CELL:,}")
        arrays[position] = pc.if_else(too_long, pa.scalar(None, array.type), array)
    return faults


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
