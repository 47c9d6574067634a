"""Rows of sources that were rejected, with the reason. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from classifier.store import staging, tables
from classifier.store.queries import query


def newest(
    connection: Connection, *, source: str | None = None, limit: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rejected rows, newest first, with their run's source (as `declared`), `kind` and `options`."""
    rows, runs = tables.rejected_rows, tables.ingest_runs
    statement: Select[*tuple[Any, ...]] = (
        select(rows, runs.c.source.label("declared"), runs.c.kind, runs.c.options)
        .outerjoin(runs, runs.c.id == rows.c.run_id)
        .order_by(rows.c.id.desc())
        .limit(limit)
    )
    if source is not None:
        statement = statement.where((rows.c.source == source) | (runs.c.source == source))
    return connection.execute(statement).all()


def count(connection: Connection) -> int:
    """Return the number of rejected rows."""
    return int(connection.execute(select(func.count()).select_from(tables.rejected_rows)).scalar_one())


def keep_staged(connection: Connection, *, run_id: int, unit: str) -> None:
    """Store the staged rejected rows of a unit; the same row at the same position is stored once."""
    staging.execute_in_steps(connection, "staged_rejected", query("keep_rejected"), run_id=run_id, unit=unit)


def delete_resolved(connection: Connection, run_id: int, unit: str, *, complete: bool) -> None:
    """Delete the unit's rejected rows that the reading of a run resolved.

    If the reading is `complete`, it saw the whole unit: every row that it did not reject again is resolved.
    Otherwise (a feed or a query), a row is resolved if an article with the same id has been ingested since.
    """
    values = {"run_id": run_id, "unit": unit, "complete": complete, "size": staging.STEP}
    last: int | None = 0
    while last is not None:
        last = connection.execute(query("delete_resolved"), {**values, "after": last}).scalar_one()
