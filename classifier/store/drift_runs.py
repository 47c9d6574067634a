"""Drift checks: the articles that they examine, and their results. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from classifier.store import tables, task_rows
from classifier.store.queries import query

EXAMINED_PER_ARTICLE = 4
"""Articles examined for each article returned: some are annotated, or not labelled yet."""

MAX_RUNS = 500
"""Enough for more than one run a day for a year."""


def newest_labelled(
    connection: Connection, model_id: int, *, since: datetime, size: int
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield category_indices, confidence, time of ingest and text of the newest articles that a model has labelled."""
    values = {"model_id": model_id, "since": since, "size": size, "examined": EXAMINED_PER_ARTICLE * size}
    return iter(connection.execute(query("newest_labelled"), values, execution_options={"yield_per": 64}))


def alarm_since(connection: Connection, model_id: int, name: str) -> datetime | None:
    """Return when the check's present alarm began, or None if its last run raised none."""
    values = {"model_id": model_id, "name": name}
    began_at: datetime | None = connection.execute(query("alarm_since"), values).scalar_one()
    return began_at


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Insert the results of a drift check."""
    connection.execute(insert(tables.drift_runs).values(**values))


def last_of_champion(connection: Connection) -> Row[*tuple[Any, ...]] | None:
    """Return time, alarms and checks of the champion's last run, or None if it has not been checked."""
    runs, models = tables.drift_runs, tables.models
    statement = (
        select(runs.c.ran_at, runs.c.alarms, runs.c.checks)
        .join(models, models.c.id == runs.c.model_id)
        .where(models.c.status == "champion", models.c.task_id == task_rows.current_id(connection))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def history(connection: Connection, *, since: datetime) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the runs since a time, with the model's name, oldest first; of more than `MAX_RUNS`, the newest."""
    runs, models = tables.drift_runs, tables.models
    statement = (
        select(runs, models.c.name.label("model"))
        .join(models, models.c.id == runs.c.model_id)
        .where(runs.c.ran_at >= since, models.c.task_id == task_rows.current_id(connection))
        .order_by(runs.c.id.desc())
        .limit(MAX_RUNS)
    )
    return connection.execute(statement).all()[::-1]
