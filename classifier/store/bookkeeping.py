"""Functions that record what ingests did. They take a connection and never commit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.articles import RejectedRow
from classifier.store import tables
from classifier.store.queries import query

_SOURCE_LOCKS = 730_301  # the first of two keys; the second is the source's name, hashed


def lock_source(connection: Connection, source: str) -> None:
    """Wait until no other run takes this source in, and keep others waiting until the connection ends."""
    connection.execute(select(func.pg_advisory_lock(_SOURCE_LOCKS, func.hashtext(source))))


def unlock_source(connection: Connection, source: str) -> None:
    """Let the next run take the source in."""
    connection.execute(select(func.pg_advisory_unlock(_SOURCE_LOCKS, func.hashtext(source))))


def start_run(connection: Connection, source: str, kind: str, options: Mapping[str, Any]) -> int:
    """Insert a run and return its id; those of the source that a crash left running have failed."""
    runs = tables.ingest_runs
    connection.execute(
        update(runs)
        .where(runs.c.source == source, runs.c.status == "running")
        .values(status="failed", error="it was killed before its end", finished_at=func.now())
    )
    values = {"source": source, "kind": kind, "options": dict(options)}
    return int(connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one())


def add_to_run(connection: Connection, run_id: int, counts: Mapping[str, int]) -> None:
    """Add what a unit changed to its run, in the unit's own transaction."""
    runs = tables.ingest_runs
    values = {name: runs.c[name] + count for name, count in counts.items() if name in runs.c}
    connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def finish_run(connection: Connection, run_id: int, error: str | None) -> None:
    """Say how a run ended."""
    runs = tables.ingest_runs
    status = "failed" if error else "succeeded"
    connection.execute(
        update(runs).where(runs.c.id == run_id).values(status=status, error=error, finished_at=func.clock_timestamp())
    )


def remember(connection: Connection, source: str, unit: str, values: Mapping[str, Any]) -> None:
    """Keep what has been read of a unit, in the transaction of its rows."""
    state = {"size": None, "modified_at": None, "sha256": None, "etag": None, "last_modified": None, **values}
    statement = upsert(tables.source_state).values(source=source, unit=unit, **state)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["source", "unit"], set_={**state, "seen_at": func.now()})
    )


def reject(connection: Connection, rows: Sequence[RejectedRow], *, run_id: int, unit: str) -> None:
    """Keep rejected rows; the same row at the same place is kept once."""
    if not rows:
        return
    values = [
        {
            "source": row.source,
            "position": row.position,
            "reason": row.reason,
            "row": row.row,
            "row_hash": hashlib.sha256(row.row.encode()).digest(),
            "run_id": run_id,
            "unit": unit,
        }
        for row in rows
    ]
    connection.execute(query("stage_rejected"))
    connection.execute(text("INSERT INTO staged_rejected VALUES (:source, :position, :row_hash)"), values)
    statement = upsert(tables.rejected_rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source", "position", "row_hash"],
            set_={
                "reason": statement.excluded.reason,
                "run_id": statement.excluded.run_id,
                "unit": statement.excluded.unit,
            },
            # nothing changes where nothing is new
            where=(tables.rejected_rows.c.reason != statement.excluded.reason)
            | tables.rejected_rows.c.unit.is_distinct_from(statement.excluded.unit),
        ),
        values,
    )


def drop_mended(connection: Connection, source: str, unit: str, *, whole: bool) -> int:
    """Drop the unit's rejected rows that this reading found mended, and return how many.

    `whole` says that the reading saw all of the unit: then whatever it did not reject is mended or gone.
    Otherwise, for a feed or a query, what has come in meanwhile by the same id is.
    """
    connection.execute(query("stage_rejected"))
    name = "drop_rejected_of_whole_unit" if whole else "drop_rejected_of_part"
    return connection.execute(query(name), {"source": source, "unit": unit}).rowcount
