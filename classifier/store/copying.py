"""COPY: the way rows get into Postgres by the thousand."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sqlalchemy import Connection

from classifier.store.queries import sql


def copy(connection: Connection, statement: str, data: io.BytesIO) -> None:
    """Run a named COPY … FROM STDIN with the data, read from its beginning."""
    data.seek(0)
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(sql(statement), data)  # psycopg2's name for COPY
    finally:
        cursor.close()


def frame_csv(rows: pd.DataFrame, columns: Iterable[str]) -> io.BytesIO:
    """Return columns of a frame as the CSV that Postgres reads."""
    buffer = io.BytesIO()
    # all_valid quotes all but nulls, and COPY reads only an unquoted nothing as null
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(pa.table({name: _as_text(rows[name]) for name in columns}), buffer, options)
    return buffer


def bigints_binary(rows: NDArray[np.int64]) -> io.BytesIO:
    """Return numbers, shape (rows, columns), as Postgres's binary COPY format of bigints.

    It is made by NumPy at once, and is a third of the work of text for client and server.
    """
    count, width = rows.shape
    cells = np.dtype([("size", ">i4"), ("value", ">i8")])
    records = np.zeros(count, np.dtype([("width", ">i2"), ("cells", cells, (width,))]))
    records["width"], records["cells"]["size"], records["cells"]["value"] = width, 8, rows
    # the signature, no flags, no extension; at the end, a row of -1 columns
    return io.BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + records.tobytes() + b"\xff\xff")


def _as_text(values: pd.Series[Any]) -> pa.Array:
    """Write a column as Postgres reads it: bytes in hexadecimal, times in ISO 8601, None as null."""
    match next((value for value in values if value is not None), None):
        case bytes():
            values = values.map(lambda value: f"\\x{value.hex()}", na_action="ignore")
        case datetime():
            values = values.map(datetime.isoformat, na_action="ignore")
    return pa.array(values, type=pa.string(), from_pandas=True)
