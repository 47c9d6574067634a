"""What is watched, and what was found. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from classifier.store import tables
from classifier.store.queries import query

LOOKED_AT = 4
"""Articles that are looked at for each one wanted: some are annotated, or not labelled yet."""

MAX_RUNS = 500
"""Runs that are read: more than one a day for a year."""


def newest_labelled(
    connection: Connection, model_id: int, *, since: datetime, size: int
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield category, confidence, time of arrival and text of the newest articles that a model has labelled."""
    values = {"model_id": model_id, "since": since, "size": size, "looked_at": LOOKED_AT * size}
    return iter(connection.execute(query("newest_labelled"), values, execution_options={"yield_per": 64}))


def alarm_since(connection: Connection, model_id: int, name: str) -> datetime | None:
    """Return when the check began to give alarm, None where its last run did not."""
    found: datetime | None = connection.execute(query("alarm_since"), {"model_id": model_id, "name": name}).scalar_one()
    return found


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Insert what was found."""
    connection.execute(insert(tables.drift_runs).values(**values))


def last_of_champion(connection: Connection) -> Row[*tuple[Any, ...]] | None:
    """Return when the champion was watched last, the checks that gave alarm, and the findings of all."""
    runs, models = tables.drift_runs, tables.models
    statement = (
        select(runs.c.ran_at, runs.c.alarms, runs.c.checks)
        .join(models, models.c.id == runs.c.model_id)
        .where(models.c.status == "champion")
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def history(connection: Connection, *, since: datetime) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return what was found since a time, with the models' names, oldest first; of very many runs the newest."""
    runs, models = tables.drift_runs, tables.models
    statement = (
        select(runs, models.c.name.label("model"))
        .join(models, models.c.id == runs.c.model_id)
        .where(runs.c.ran_at >= since)
        .order_by(runs.c.id.desc())
        .limit(MAX_RUNS)
    )
    return connection.execute(statement).all()[::-1]
