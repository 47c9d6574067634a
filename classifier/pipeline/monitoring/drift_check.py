"""Watch the champion at work: is what comes still like what it was evaluated on, and is it as right as it says?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model
from classifier.evaluation import drift_checks
from classifier.evaluation.drift_checks import AuditedLabels, DriftCheck, DriftLimits, LabelledArticles
from classifier.pipeline.promotion import evaluation_results, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.use_case import use_case
from classifier.settings import Settings
from classifier.store import drift_runs, reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

AUDITED_DAYS = 28
"""What is audited are some articles a day: those of so many days count."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was found: `articles` came since `since` and were labelled, `audited` were drawn at random and reviewed.

    `confidence` is their mean one, `abstained` the share that the model abstains from; None where there are none.
    """

    model: str
    since: datetime | None
    articles: int
    audited: int
    confidence: float | None
    abstained: float | None
    checks: tuple[DriftCheck, ...]
    alarms: tuple[str, ...]


@use_case
def check_drift(workspace: Workspace) -> DriftReport:
    """Make every check, and keep what was found in `drift_runs`. Nothing else is changed.

    Raises:
        NoChampionError: nothing has been promoted yet.
        NotEvaluatedError: the champion has no evaluation to compare with.
    """
    settings = workspace.settings
    limits = DriftLimits(settings.drift_max_distance, settings.drift_max_accuracy_loss, settings.drift_min_articles)
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        evaluated = evaluation_results.newest_results(connection, champion)
        exposure = training_exposure.find_exposure(connection, [champion], evaluated.articles)
        now, since = _newest(connection, champion, settings)
        judged = audited(connection, champion)
    found = tuple(
        drift_checks.run_checks(_test_articles(evaluated, exposure), evaluated.evaluation.accuracy, now, judged, limits)
    )
    values = {**_figures(champion, now, found), "since": since}
    with workspace.database.begin() as connection:
        _keep(connection, champion, found, {**values, "articles": len(now), "audited": len(judged)})
        alarms = tuple(_line(connection, champion, one) for one in found if one.outcome == "alarm")
    for line in alarms:
        log.warning("%s", line)
    return DriftReport(
        champion.name,
        values["since"],
        len(now),
        len(judged),
        values["confidence"],
        values["abstained"],
        found,
        alarms,
    )


def audited(connection: Connection, model: Model) -> AuditedLabels:
    """Return the articles that the model's confidence is checked against: drawn at random, and reviewed by people.

    Not all that are annotated: people tend to annotate what they see is wrong.
    """
    rows = [row for row in reviews.audited(connection, model.id, _days_ago(AUDITED_DAYS)) if row.annotated is not None]
    return AuditedLabels(
        np.array([row.confidence for row in rows], dtype=np.float64),
        np.array([row.category == row.annotated for row in rows], dtype=bool),
    )


def _newest(connection: Connection, model: Model, settings: Settings) -> tuple[LabelledArticles, datetime | None]:
    """Return the articles that came last, and when the first of them came; of each text, its length is kept."""
    since, size = _days_ago(settings.drift_days), settings.drift_articles
    found = drift_runs.newest(connection, model.id, since=since, size=size)
    rows = [(row.category, row.confidence, len(row.text.split()), row.ingested_at) for row in found]
    now = LabelledArticles(
        np.array([row[0] for row in rows], dtype=np.str_),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.int64),
    )
    return now, min((row[3] for row in rows), default=None)


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _test_articles(evaluated: EvaluationResults, exposure: TrainingExposure) -> LabelledArticles:
    """Return the test articles without those that the model was trained on, of which it is too sure.

    Its accuracy leaves them out, too. If it was trained on all of them, nothing else is left to compare with.
    """
    rows = np.array([one not in exposure.articles for one in evaluated.test_articles.ids.tolist()], dtype=bool)
    if not rows.any():
        rows[:] = True
    found = evaluated.predictions.of(rows)
    return LabelledArticles(found.predicted, found.confidence, evaluated.test_articles.words[rows])


def _figures(model: Model, now: LabelledArticles, found: Sequence[DriftCheck]) -> dict[str, Any]:
    """Return what can be drawn over time; None for what was not judged."""
    by_name = {one.name: one.figures for one in found}
    below = now.confidence.astype(np.float32) < np.float32(model.threshold or 0)  # as the database compares them
    return {
        "category_drift": by_name["category mix"].get("distance"),
        "length_drift": by_name["length"].get("distance"),
        "confidence_drift": by_name["confidence"].get("distance"),
        "confidence": float(now.confidence.mean()) if len(now) else None,
        "abstained": float(below.mean()) if len(now) else None,
        "estimated_accuracy": by_name["estimated accuracy"].get("estimate"),
        "audited_accuracy": by_name["audit"].get("measured"),
    }


def _keep(connection: Connection, model: Model, found: Sequence[DriftCheck], values: dict[str, Any]) -> None:
    drift_runs.add(
        connection,
        {
            **values,
            "model_id": model.id,
            "findings": [asdict(one) for one in found],
            "alarms": [one.name for one in found if one.outcome == "alarm"],
        },
    )


def _line(connection: Connection, model: Model, check: DriftCheck) -> str:
    """Say in a line what gives alarm, how far it is, since when, and what to do."""
    since = drift_runs.alarm_since(connection, model.id, check.name)
    return f"{check.name}: {check.message}; since {since:%Y-%m-%d %H:%M}. What to do: {check.advice}"
