"""Functions that record what ingests did. They take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.names import shorten_name
from classifier.store import locks, staging, tables
from classifier.store.queries import query

_MAX_NAME_BYTES = 800  # with a unit's address, a name fits in one entry of a Postgres index


def run_name(source: str) -> str:
    """Return what a run of a source is listed as: a pattern of files may be longer than an index takes."""
    return shorten_name(source, _MAX_NAME_BYTES)


def lock_source(connection: Connection, source: str) -> None:
    """Wait until no other run takes this source in, and keep others waiting until the connection ends."""
    connection.execute(select(func.pg_advisory_lock(locks.SOURCE, func.hashtext(source))))


def unlock_source(connection: Connection, source: str) -> None:
    """Let the next run take the source in."""
    connection.execute(select(func.pg_advisory_unlock(locks.SOURCE, func.hashtext(source))))


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


def save_source_state(connection: Connection, source: str, unit: str, values: Mapping[str, Any]) -> None:
    """Keep what has been read of a unit, in the transaction of its rows."""
    state = {"size": None, "modified_at": None, "sha256": None, "etag": None, "last_modified": None, **values}
    statement = upsert(tables.source_state).values(source=source, unit=unit, **state)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["source", "unit"], set_={**state, "seen_at": func.now()})
    )


def keep_rejected(connection: Connection, *, run_id: int, unit: str) -> None:
    """Keep the rejected rows that are staged; the same row at the same place is kept once."""
    staging.execute_in_steps(connection, "staged_rejected", query("keep_rejected"), run_id=run_id, unit=unit)


def delete_resolved(connection: Connection, source: str, unit: str, *, whole: bool) -> None:
    """Drop the unit's rejected rows that this reading found mended.

    `whole` says that the reading saw all of the unit: then whatever it did not reject is mended or gone.
    Otherwise, for a feed or a query, what has come in meanwhile by the same id is.
    """
    statement = query("drop_rejected_of_whole_unit" if whole else "drop_rejected_of_part")
    values = {"source": source, "unit": unit, "size": staging.STEP}
    last: int | None = 0
    while last is not None:
        last = connection.execute(statement, {**values, "after": last}).scalar_one()
