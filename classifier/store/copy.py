"""COPY, the fastest way to insert many rows into Postgres, and its binary and CSV formats."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from classifier.articles import LabelMatrix, Probabilities
from classifier.store.queries import sql

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""The header of binary COPY data, without flags and extension."""

_REAL = 700
"""Postgres' object id of the type real."""

_SMALLINT = 21
"""Postgres' object id of the type smallint."""

_ARRAY_HEADER_BYTES = 20
"""Bytes before the first number of an array: dimensions, nulls, type, length and lower bound, four bytes each."""

_HEAD = [
    ("columns", ">i2"),
    ("id_size", ">i4"),
    ("id", ">i8"),
    ("model_size", ">i4"),
    ("model", ">i8"),
    ("revision_size", ">i4"),
    ("revision", ">i4"),
]
_TAIL = [
    ("confidence_size", ">i4"),
    ("confidence", ">f4"),
    ("array_size", ">i4"),
    ("dimensions", ">i4"),
    ("has_null", ">i4"),
    ("type", ">i4"),
    ("length", ">i4"),
    ("first", ">i4"),
]
"""A prediction's columns before and after its category_indices in binary COPY format, each value after its size."""


def copy(connection: Connection, statement: str, data: io.BytesIO) -> None:
    """Execute a named COPY … FROM STDIN with the data, read from the beginning.

    Errors are SQLAlchemy's, as with other statements.
    """
    data.seek(0)
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(sql(statement), data, 2**20)  # psycopg2's name for COPY
    except psycopg2.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg2.Error) from error
    finally:
        cursor.close()


def frame_csv(rows: pd.DataFrame, columns: Iterable[str]) -> io.BytesIO:
    """Return columns of a frame as CSV for Postgres."""
    buffer = io.BytesIO()
    # all_valid quotes all values except nulls; COPY reads only an unquoted empty value as null.
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(pa.table({name: _as_text(rows[name]) for name in columns}), buffer, options)
    return buffer


def bigints_binary(rows: NDArray[np.int64]) -> io.BytesIO:
    """Return numbers, shape (rows, columns), as bigints in binary COPY format.

    NumPy encodes all rows at once; text would cost client and server three times as much.
    """
    count, width = rows.shape
    cells = np.dtype([("size", ">i4"), ("value", ">i8")])
    records = np.zeros(count, np.dtype([("width", ">i2"), ("cells", cells, (width,))]))
    records["width"], records["cells"]["size"], records["cells"]["value"] = width, 8, rows
    return io.BytesIO(_SIGNATURE + records.tobytes() + b"\xff\xff")  # a row of -1 columns ends the data


def predictions_binary(
    model_id: int,
    ids: NDArray[np.int64],
    revisions: NDArray[np.int32],
    probabilities: Probabilities,
    labels: LabelMatrix,
    confidence: NDArray[np.float32],
) -> io.BytesIO:
    """Return predictions in binary COPY format.

    A row is a head and a tail of fixed sizes, which NumPy encodes for all rows at once, around the positions of the
    labels. As text, a row would cost five times as much to write and to parse, mostly for its decimals.
    """
    head = np.zeros(len(ids), _HEAD)
    head["columns"], head["id_size"], head["model_size"], head["revision_size"] = 6, 8, 8, 4
    head["id"], head["model"], head["revision"] = ids, model_id, revisions
    count = probabilities.shape[1]
    tail = np.zeros(len(ids), [*_TAIL, ("probabilities", [("size", ">i4"), ("value", ">f4")], (count,))])
    tail["confidence_size"], tail["confidence"] = 4, confidence
    tail["array_size"], tail["dimensions"], tail["type"] = 20 + 8 * count, 1, _REAL
    tail["length"], tail["first"] = count, 1
    tail["probabilities"]["size"], tail["probabilities"]["value"] = 4, probabilities
    heads, tails = _record_bytes(head), _record_bytes(tail)
    rows = (part for row in zip(heads, _positions(labels), tails, strict=True) for part in row)
    return io.BytesIO(b"".join((_SIGNATURE, *rows, b"\xff\xff")))


def decode_reals(encoded: bytes | memoryview) -> NDArray[np.float32]:
    """Return the numbers of an array of reals without nulls that Postgres' array_send encoded."""
    cells = np.frombuffer(encoded, dtype=[("size", ">i4"), ("value", ">f4")], offset=_ARRAY_HEADER_BYTES)
    return cells["value"].astype(np.float32)


def _positions(labels: LabelMatrix) -> Iterator[bytes]:
    """Yield each row's true columns, from 1, as an array of smallint after its size. Equal rows are encoded once."""
    encoded: dict[bytes, bytes] = {}
    for key, row in zip(_record_bytes(np.packbits(labels, axis=1)), labels, strict=True):
        if key not in encoded:
            positions = np.flatnonzero(row) + 1
            header = [1, 0, _SMALLINT, len(positions), 1] if len(positions) else [0, 0, _SMALLINT]
            cells = np.zeros(len(positions), [("size", ">i4"), ("value", ">i2")])
            cells["size"], cells["value"] = 2, positions
            content = np.array(header, ">i4").tobytes() + cells.tobytes()
            encoded[key] = len(content).to_bytes(4, "big") + content
        yield encoded[key]


def _record_bytes(records: NDArray[Any]) -> Iterator[bytes]:
    """Yield the bytes of each record, or of each row."""
    encoded, size = records.tobytes(), records[:1].nbytes
    return (encoded[start : start + size] for start in range(0, len(encoded), size or 1))


def _as_text(values: pd.Series[Any]) -> pa.Array:
    """Return a column as text for Postgres: bytes in hexadecimal, times in ISO 8601, None as null."""
    match next((value for value in values if value is not None), None):
        case bytes():
            values = values.map(lambda value: f"\\x{value.hex()}", na_action="ignore")
        case datetime():
            values = values.map(datetime.isoformat, na_action="ignore")
    return pa.array(values, type=pa.string(), from_pandas=True)
