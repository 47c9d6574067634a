"""The results of past drift checks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from classifier import registry
from classifier.evaluation.drift_checks import DriftCheck
from classifier.pipeline.use_case import use_case
from classifier.store import drift_runs
from classifier.workspace import Workspace

DAYS = 90
"""Days of drift checks that are read by default."""


@dataclass(frozen=True, slots=True)
class DriftRun:
    """A drift check of the champion of that time, on `articles` that it had labelled, the oldest ingested at `since`.

    Drifts are distances and the other metrics shares, from 0 to 1; None if there were too few articles.
    """

    model: str
    ran_at: datetime
    since: datetime | None
    articles: int
    audited: int
    category_drift: float | None
    length_drift: float | None
    confidence_drift: float | None
    mean_confidence: float | None
    abstained: float | None
    estimated_accuracy: float | None
    audited_accuracy: float | None


@dataclass(frozen=True, slots=True)
class LastCheck:
    """A check of the champion's last drift run, and when its alarm began; None if it raises no alarm."""

    check: DriftCheck
    since: datetime | None


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """Drift runs, oldest first, and the champion's `last` run with its checks; None if it has not been checked."""

    runs: tuple[DriftRun, ...]
    last: DriftRun | None
    checks: tuple[LastCheck, ...]


@use_case
def read_history(workspace: Workspace, *, days: float = DAYS) -> DriftHistory:
    """Return the drift checks of the last days.

    Raises:
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        rows = drift_runs.history(connection, since=datetime.now(UTC) - timedelta(days=days))
        newest = drift_runs.last_of_champion(connection)
        stored = newest.checks if newest else ()
        checks = tuple(_with_alarm_start(connection, champion.id, DriftCheck(**values)) for values in stored)
    runs = tuple(DriftRun(*(getattr(row, field.name) for field in fields(DriftRun))) for row in rows)
    last = next((run for run in reversed(runs) if run.model == champion.name), None)
    return DriftHistory(runs, last, checks if last else ())


def _with_alarm_start(connection: Connection, model_id: int, check: DriftCheck) -> LastCheck:
    raised = check.outcome == "alarm"
    return LastCheck(check, drift_runs.alarm_since(connection, model_id, check.name) if raised else None)
