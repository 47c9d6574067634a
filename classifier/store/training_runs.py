"""Functions that record how trainings go, and read it. They take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.store import tables

_FORGOTTEN = timedelta(days=7)

MetricRows = Sequence[Row[*tuple[Any, ...]]]
"""Points of a training's curves: a step with its figures, each None where it was not measured then."""

_FIGURES = ("epoch", "loss", "accuracy", "macro_f1", "seconds")


def start(connection: Connection, key: str, *, steps: int, epochs: int, from_step: int) -> int:
    """Return the id of the run that an attempt belongs to: the key's last one where it goes on, else a new one.

    What an earlier attempt recorded beyond `from_step` is deleted: it comes again. Runs that nothing was heard
    of for a week have failed.
    """
    runs, metrics = tables.training_runs, tables.training_metrics
    connection.execute(
        update(runs)
        .where(runs.c.status == "running", runs.c.last_heartbeat_at < func.now() - _FORGOTTEN)
        .values(status="failed", error="it was killed, and nobody went on with it", finished_at=func.now())
    )
    goes_on = (runs.c.status == "running") | ((runs.c.status == "failed") & (literal(from_step) > 0))
    last = select(runs.c.id).where(runs.c.training_key == key, goes_on).order_by(runs.c.id.desc()).limit(1)
    run_id = connection.execute(last).scalar_one_or_none()
    if run_id is None:
        values = {"training_key": key, "steps": steps, "epochs": epochs}
        return int(connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one())
    again = {"attempts": runs.c.attempts + 1, "status": "running", "error": None, "finished_at": None}
    connection.execute(
        update(runs).where(runs.c.id == run_id).values(**again, step=from_step, last_heartbeat_at=func.now())
    )
    connection.execute(delete(metrics).where(metrics.c.run_id == run_id, metrics.c.step > from_step))
    return int(run_id)


def record(connection: Connection, run_id: int, points: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> None:
    """Add points of the curves, each a step with its figures, and say in the run's row where it stands."""
    statement = upsert(tables.training_metrics)
    changed = {name: statement.excluded[name] for name in _FIGURES}
    statement = statement.on_conflict_do_update(index_elements=["run_id", "step"], set_=changed)
    connection.execute(statement, [{"run_id": run_id, **point} for point in points])
    runs = tables.training_runs
    connection.execute(update(runs).where(runs.c.id == run_id).values(**now, last_heartbeat_at=func.now()))


def finish(
    connection: Connection, key: str, run_id: int | None, *, model_id: int | None = None, error: str | None = None
) -> None:
    """Say what a run became, or why it failed; without its id, the key's run that is under way."""
    runs = tables.training_runs
    values = {
        "status": "failed" if error else "succeeded",
        "model_id": model_id,
        "error": error,
        "seconds_left": None,
        "finished_at": func.clock_timestamp(),
    }
    mine = (runs.c.training_key == key) & (runs.c.status == "running") if run_id is None else runs.c.id == run_id
    connection.execute(update(runs).where(mine).values(values))


def running(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the runs that have not ended, newest first, with their last score and their silence in seconds."""
    runs, metrics = tables.training_runs, tables.training_metrics
    scored = select(metrics.c.macro_f1).where(metrics.c.run_id == runs.c.id, metrics.c.macro_f1.is_not(None))
    last_score = scored.order_by(metrics.c.step.desc()).limit(1).scalar_subquery()
    silence = func.extract("epoch", func.now() - runs.c.last_heartbeat_at)
    statement = select(runs, last_score.label("macro_f1"), silence.label("silent_s"))
    return connection.execute(statement.where(runs.c.status == "running").order_by(runs.c.id.desc())).all()


def last_of_model(connection: Connection, model_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return the last run that became a model."""
    runs = tables.training_runs
    statement = select(runs).where(runs.c.model_id == model_id).order_by(runs.c.id.desc()).limit(1)
    return connection.execute(statement).one_or_none()


def points(connection: Connection, run_id: int) -> MetricRows:
    """Return the recorded points of a run's curves, by step."""
    metrics = tables.training_metrics
    statement = select(metrics.c.step, *(metrics.c[name] for name in _FIGURES)).where(metrics.c.run_id == run_id)
    return connection.execute(statement.order_by(metrics.c.step)).all()
