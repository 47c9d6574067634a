"""What was found when champions were watched, over time."""

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


@dataclass(frozen=True, slots=True)
class PastCheck:
    """A look at whoever was champion then, at `articles` that it had labelled, of which the first came at `since`.

    Drifts are distances and the other figures shares, from 0 to 1; None where there was too little to judge by.
    """

    model: str
    ran_at: datetime
    since: datetime | None
    articles: int
    audited: int
    category_drift: float | None
    length_drift: float | None
    confidence_drift: float | None
    confidence: float | None
    abstained: float | None
    estimated_accuracy: float | None
    audited_accuracy: float | None


@dataclass(frozen=True, slots=True)
class CheckOverTime:
    """A check of a look, and since when it has given alarm; None where it gives none."""

    check: DriftCheck
    since: datetime | None


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """The looks of some time, oldest first, and the findings of the champion's `last`, None where there is none yet."""

    looks: tuple[PastCheck, ...]
    last: PastCheck | None
    findings: tuple[CheckOverTime, ...]


@use_case
def read_history(workspace: Workspace, *, days: float = DAYS) -> DriftHistory:
    """Return what was found in the last days.

    Raises:
        NoChampionError: nothing has been promoted yet.
    """
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        rows = drift_runs.over_time(connection, since=datetime.now(UTC) - timedelta(days=days))
        newest = drift_runs.last(connection)
        findings = (
            tuple(_finding(connection, champion.id, DriftCheck(**one)) for one in newest.findings) if newest else ()
        )
    looks = tuple(PastCheck(*(getattr(row, one.name) for one in fields(PastCheck))) for row in rows)
    last = next((one for one in reversed(looks) if one.model == champion.name), None)
    return DriftHistory(looks, last, findings if last else ())


def _finding(connection: Connection, model_id: int, check: DriftCheck) -> CheckOverTime:
    alarm = check.outcome == "alarm"
    return CheckOverTime(check, drift_runs.alarm_since(connection, model_id, check.name) if alarm else None)
