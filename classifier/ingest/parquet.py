"""Read Parquet, a few thousand rows at a time.

A row group's column is decoded page by page, without buffering the row group beforehand: memory
follows the chunk, not the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.columns import CHUNK_CHARACTERS, FIELDS, Columns, RawChunk, Row, chunked, require
from classifier.ingest.files import File, faults_named
from classifier.ingest.scalars import as_string


def read(path: File, columns: Columns, chunk_rows: int) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    with faults_named(path):
        try:
            # pyarrow opens a path of this machine better than Python does
            with ParquetFile(path if isinstance(path, Path) else path.open("rb"), pre_buffer=False) as file:
                _check(path, columns, file.schema_arrow)
                yield from chunked(path, _rows(file, columns, chunk_rows), chunk_rows)
        except pa.ArrowException as error:
            problem = str(error).partition("\n")[0]
            raise SourceError(f"{path}: not a Parquet file that can be read ({problem})") from error


def _check(path: File, columns: Columns, schema: pa.Schema) -> None:
    require(path, columns, schema.names)
    for field, name in zip(FIELDS, columns.names, strict=True):
        if name is None:
            continue
        kind = schema.field(name).type
        usable = _is_string(kind) if field == "text" else _is_string(kind) or _is_plain(kind)
        if not usable:
            raise SourceError(f"{path}: column {name!r} holds {kind}, which cannot be read as {field}; write strings")


def _rows(file: ParquetFile, columns: Columns, chunk_rows: int) -> Iterator[Row | RejectedRow]:
    """Yield each row's values in the order of `FIELDS`."""
    number = 0
    for batch in file.iter_batches(_batch_rows(file, chunk_rows), columns=columns.wanted, use_threads=False):
        absent = [None] * batch.num_rows
        values = [_strings(batch.column(name)) if name is not None else absent for name in columns.names]
        for cells in zip(*values, strict=True):
            number += 1
            text, category, identity, split, published_at, source = cells
            yield text, category, identity, split, published_at, source, f"row {number}"


def _batch_rows(file: ParquetFile, chunk_rows: int) -> int:
    """Return how many rows to decode at once: fewer than `chunk_rows` where they are long."""
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    row_size = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0.0)
    return max(1, min(chunk_rows, int(CHUNK_CHARACTERS / max(row_size, 1.0))))


def _strings(column: pa.Array) -> list[str]:
    """Return the column's values as strings, "" for null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_string(column.type):
        # a string column can hold bytes that are no UTF-8, and to_pylist would fail on them
        column = pc.cast(column, pa.large_binary())
    elif not pa.types.is_floating(column.type):
        column = pc.cast(column, pa.string())
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
