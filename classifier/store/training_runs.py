"""Training runs and their learning curves. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.store import tables, task_rows

_ABANDONED_AFTER = timedelta(days=7)

MetricRows = Sequence[Row[*tuple[Any, ...]]]
"""Points of learning curves: a step with its metrics, each None if it was not measured at that step."""

_METRICS = ("epoch", "loss", "accuracy", "macro_f1", "seconds")


def start(connection: Connection, key: str, *, steps: int, epochs: int, from_step: int) -> int:
    """Return the id of the run that an attempt belongs to: the key's last run if it resumes that one, else a new run.

    Metrics that an earlier attempt recorded after `from_step` are deleted, since they are computed again. Runs without
    a heartbeat for a week are marked as failed.
    """
    runs, metrics = tables.training_runs, tables.training_metrics
    connection.execute(
        update(runs)
        .where(runs.c.status == "running", runs.c.last_heartbeat_at < func.now() - _ABANDONED_AFTER)
        .values(status="failed", error="the training was killed and was not resumed", finished_at=func.now())
    )
    can_resume = (runs.c.status == "running") | ((runs.c.status == "failed") & (literal(from_step) > 0))
    last_run = select(runs.c.id).where(runs.c.training_key == key, can_resume).order_by(runs.c.id.desc()).limit(1)
    run_id = connection.execute(last_run).scalar_one_or_none()
    if run_id is None:
        values = {"task_id": task_rows.current_id(connection), "training_key": key, "steps": steps, "epochs": epochs}
        return int(connection.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one())
    resumed = {"attempts": runs.c.attempts + 1, "status": "running", "error": None, "finished_at": None}
    connection.execute(
        update(runs).where(runs.c.id == run_id).values(**resumed, step=from_step, last_heartbeat_at=func.now())
    )
    connection.execute(delete(metrics).where(metrics.c.run_id == run_id, metrics.c.step > from_step))
    return int(run_id)


def record(
    connection: Connection, run_id: int, points: Sequence[Mapping[str, Any]], progress: Mapping[str, Any]
) -> None:
    """Insert points of the learning curves, and update the run's row with `progress` and a heartbeat."""
    statement = upsert(tables.training_metrics)
    changed = {name: statement.excluded[name] for name in _METRICS}
    statement = statement.on_conflict_do_update(index_elements=["run_id", "step"], set_=changed)
    connection.execute(statement, [{"run_id": run_id, **point} for point in points])
    runs = tables.training_runs
    connection.execute(update(runs).where(runs.c.id == run_id).values(**progress, last_heartbeat_at=func.now()))


def finish(
    connection: Connection, key: str, run_id: int | None, *, model_id: int | None = None, error: str | None = None
) -> None:
    """Mark a run as succeeded with its model, or as failed with an error.

    If `run_id` is None, this is the key's unfinished run.
    """
    runs = tables.training_runs
    values = {
        "status": "failed" if error else "succeeded",
        "model_id": model_id,
        "error": error,
        "seconds_left": None,
        "finished_at": func.clock_timestamp(),
    }
    condition = (runs.c.training_key == key) & (runs.c.status == "running") if run_id is None else runs.c.id == run_id
    connection.execute(update(runs).where(condition).values(values))


def running(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the task's unfinished runs, newest first, with their last macro-F1 and the seconds since they reported."""
    runs, metrics = tables.training_runs, tables.training_metrics
    scored = select(metrics.c.macro_f1).where(metrics.c.run_id == runs.c.id, metrics.c.macro_f1.is_not(None))
    last_score = scored.order_by(metrics.c.step.desc()).limit(1).scalar_subquery()
    silence = func.extract("epoch", func.now() - runs.c.last_heartbeat_at)
    is_running = (runs.c.status == "running") & (runs.c.task_id == task_rows.current_id(connection))
    statement = select(runs, last_score.label("macro_f1"), silence.label("silent_s"))
    return connection.execute(statement.where(is_running).order_by(runs.c.id.desc())).all()


def last_of_model(connection: Connection, model_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return the last run that produced the model, or None if it was not trained here."""
    runs = tables.training_runs
    statement = select(runs).where(runs.c.model_id == model_id).order_by(runs.c.id.desc()).limit(1)
    return connection.execute(statement).one_or_none()


def points(connection: Connection, run_id: int) -> MetricRows:
    """Return the points of a run's learning curves, ordered by step."""
    metrics = tables.training_metrics
    statement = select(metrics.c.step, *(metrics.c[name] for name in _METRICS)).where(metrics.c.run_id == run_id)
    return connection.execute(statement.order_by(metrics.c.step)).all()
