"""Ingest runs and what they changed. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from classifier import advisory_locks
from classifier.names import shorten_name
from classifier.store import tables

_MAX_NAME_BYTES = 800
"""A name and a unit's address fit together into one entry of a Postgres index."""


def run_name(source: str) -> str:
    """Return the source's name in `ingest_runs`, shortened if it does not fit into an index."""
    return shorten_name(source, _MAX_NAME_BYTES)


def lock_source(connection: Connection, source: str) -> None:
    """Wait for other runs of this source, and lock it until the connection closes."""
    connection.execute(select(func.pg_advisory_lock(advisory_locks.SOURCE, func.hashtext(source))))


def unlock_source(connection: Connection, source: str) -> None:
    """Release the lock on the source."""
    connection.execute(select(func.pg_advisory_unlock(advisory_locks.SOURCE, func.hashtext(source))))


def start_run(connection: Connection, source: str, kind: str, options: Mapping[str, Any]) -> int:
    """Insert a run and return its id; mark runs of the source that a crash left running as failed."""
    runs = tables.ingest_runs
    connection.execute(
        update(runs)
        .where(runs.c.source == source, runs.c.status == "running")
        .values(status="failed", error="the run was killed before it ended", finished_at=func.now())
    )
    values = {"source": source, "kind": kind, "options": dict(options)}
    return int(connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one())


def add_to_run(connection: Connection, run_id: int, counts: Mapping[str, int]) -> None:
    """Add a unit's counts to its run, in the unit's own transaction."""
    runs = tables.ingest_runs
    values = {name: runs.c[name] + count for name, count in counts.items() if name in runs.c}
    connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def finish_run(connection: Connection, run_id: int, error: str | None) -> None:
    """Mark a run as succeeded, or as failed with an error."""
    runs = tables.ingest_runs
    status = "failed" if error else "succeeded"
    connection.execute(
        update(runs).where(runs.c.id == run_id).values(status=status, error=error, finished_at=func.clock_timestamp())
    )


def newest(connection: Connection, *, source: str | None = None, limit: int = 10) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the last ingest runs, newest first."""
    runs = tables.ingest_runs
    statement = select(runs).order_by(runs.c.id.desc()).limit(limit)
    return connection.execute(statement if source is None else statement.where(runs.c.source == source)).all()


def options_of_files(connection: Connection) -> Sequence[Mapping[str, Any]]:
    """Return the different options with which files were read that no source declares; of the last runs last."""
    runs = tables.ingest_runs
    statement = select(runs.c.options).where(runs.c.kind == "files", runs.c.options.has_key("columns"))
    return connection.execute(statement.group_by(runs.c.options).order_by(func.max(runs.c.id))).scalars().all()


def last_options(connection: Connection, source: str) -> Mapping[str, Any] | None:
    """Return the options of a source's last run, or None if it has no run with options."""
    runs = tables.ingest_runs
    statement = select(runs.c.options).where(runs.c.source == source, runs.c.options.has_key("columns"))
    options: Mapping[str, Any] | None = connection.execute(statement.order_by(runs.c.id.desc()).limit(1)).scalar()
    return options


def last_success(connection: Connection, source: str) -> datetime | None:
    """Return when a source's last successful run started, or None if no run succeeded."""
    runs = tables.ingest_runs
    statement = select(func.max(runs.c.started_at)).where(runs.c.source == source, runs.c.status == "succeeded")
    started_at: datetime | None = connection.execute(statement).scalar_one()
    return started_at
