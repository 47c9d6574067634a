"""The temporary tables of one ingest, processed in steps. Functions take a connection and never commit.

A unit is ingested atomically, however large it is, but each statement has a time limit. So each statement processes
the rows from one position to another, and its duration depends only on the size of a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pandas as pd
from sqlalchemy import Connection, Row, TextClause

from classifier.articles import RejectedRow
from classifier.names import shorten_name
from classifier.store import connections, copy
from classifier.store.queries import query

STEP = 5000
"""Rows that one statement processes."""

MAX_POSITION_BYTES = 1700
"""With a source's name and a hash, a position fits into one entry of a Postgres index, 2,704 bytes."""

_ARTICLE_COLUMNS = (
    "source",
    "external_id",
    "text",
    "text_hash",
    "fingerprint",
    "annotations",
    "own_split",
    "published_at",
    "title",
    "url",
)
"""In the order of the statement copy_articles."""

_TEXT_COLUMNS = ("fingerprint", "source", "external_id", "own_split", "bands")
_REJECTED_COLUMNS = ("source", "source_position", "reason", "row", "row_hash")

Table = Literal["staged_articles", "staged_texts", "staged_changes", "staged_rejected"]
Step = dict[str, int]
"""The `first` and `last` position of a step."""


def create_tables(connection: Connection) -> None:
    """Create the temporary tables of one ingest; Postgres drops them at the end of the transaction.

    The server must not end the transaction because it idles while a source is slow: each source has its own timeout.
    """
    connections.disable_idle_timeout(connection)
    connection.execute(query("create_staging_tables"))


def copy_articles(connection: Connection, rows: pd.DataFrame) -> None:
    """COPY validated rows, with their `own_split`, into the staging table."""
    copy.copy(connection, "copy_articles", copy.frame_csv(rows, _ARTICLE_COLUMNS))


def steps(connection: Connection, table: Table) -> Iterator[Step]:
    """Yield the steps of a staging table, in order."""
    last: int = getattr(connection.execute(query("last_staged_positions")).one(), table) or 0
    for first in range(1, last + 1, STEP):
        yield {"first": first, "last": min(first + STEP - 1, last)}


def execute_in_steps(connection: Connection, table: Table, statement: TextClause, **values: Any) -> int:
    """Execute a statement for each step of a staging table; return the number of changed rows."""
    return sum(connection.execute(statement, {**step, **values}).rowcount for step in steps(connection, table))


def copy_texts(connection: Connection, rows: pd.DataFrame) -> None:
    """COPY texts that have no split, each with its `bands`, in the order in which their splits are decided."""
    copy.copy(connection, "copy_texts", copy.frame_csv(rows, _TEXT_COLUMNS))


def staged_texts(connection: Connection, step: Step) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the staged texts of a step: fingerprint, source, external_id, own_split and bands."""
    return connection.execute(query("staged_texts"), step).all()


def copy_rejected(connection: Connection, rows: Sequence[RejectedRow]) -> None:
    """COPY rejected rows into their staging table; `rejections.keep_staged` stores them."""
    if not rows:
        return
    columns = {
        "source": [row.source for row in rows],
        "source_position": [shorten_name(row.position, MAX_POSITION_BYTES) for row in rows],
        "reason": [row.reason for row in rows],
        "row": [row.row for row in rows],
        "row_hash": [hashlib.sha256(row.row.encode()).digest() for row in rows],
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    copy.copy(connection, "copy_rejected", copy.frame_csv(frame, _REJECTED_COLUMNS))
