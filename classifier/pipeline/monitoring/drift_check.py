"""The drift check: compare the newest articles and the champion's accuracy on them with its evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model, join_labels
from classifier.evaluation import drift_checks
from classifier.evaluation.drift_checks import AuditedLabels, DriftCheck, DriftLimits, LabelledArticles
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.pipeline.promotion import evaluation_results, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.use_case import use_case
from classifier.settings import Settings
from classifier.store import drift_runs, reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

AUDITED_DAYS = 28
"""Days of audited articles that count, since only a few articles a day are audited."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The results of a drift check on `articles` ingested since `since`; `audited` were drawn at random and reviewed.

    `mean_confidence` is that of the articles, `abstained` the share on which the model abstains; None without articles.
    """

    model: str
    since: datetime | None
    articles: int
    audited: int
    mean_confidence: float | None
    abstained: float | None
    checks: tuple[DriftCheck, ...]
    alarms: tuple[str, ...]


@use_case
def check_drift(workspace: Workspace) -> DriftReport:
    """Run every check, and store the results in `drift_runs`. Nothing else is changed.

    Raises:
        NoChampionError: no model has been promoted yet.
        NotEvaluatedError: the champion has no evaluation to compare with.
    """
    settings = workspace.settings
    limits = DriftLimits(settings.drift_max_distance, settings.drift_max_accuracy_loss, settings.drift_min_articles)
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        evaluated = evaluation_results.newest_results(connection, champion)
        exposure = training_exposure.find_exposure(connection, [champion], evaluated.articles)
        now, since = _newest(connection, champion, settings)
        audits = audited(connection, champion)
    reference = _test_articles(evaluated, exposure)
    checks = tuple(drift_checks.run_checks(reference, evaluated.evaluation.accuracy, now, audits, limits))
    values = {**_metrics(champion, now, checks), "since": since}
    with workspace.database.begin() as connection:
        _store(connection, champion, checks, {**values, "articles": len(now), "audited": len(audits)})
        alarms = tuple(_alarm_line(connection, champion, check) for check in checks if check.outcome == "alarm")
    for line in alarms:
        log.warning("%s", line)
    return DriftReport(
        champion.name,
        values["since"],
        len(now),
        len(audits),
        values["mean_confidence"],
        values["abstained"],
        checks,
        alarms,
    )


def audited(connection: Connection, model: Model) -> AuditedLabels:
    """Return the audited labels of the model: drawn at random and then annotated by people.

    Other annotated articles are not used: people tend to annotate the labels that they see are wrong.
    """
    rows = [
        row
        for row in reviews.audited_predictions(connection, model.id, _days_ago(AUDITED_DAYS))
        if row.annotated is not None
    ]
    return AuditedLabels(
        np.array([row.confidence for row in rows], dtype=np.float64),
        np.array([row.predicted_categories == row.annotated for row in rows], dtype=bool),
    )


def _newest(connection: Connection, model: Model, settings: Settings) -> tuple[LabelledArticles, datetime | None]:
    """Return the newest articles, with the lengths of their texts, and when the oldest of them was ingested."""
    since, size = _days_ago(settings.drift_days), settings.drift_articles
    labelled = drift_runs.newest_labelled(connection, model.id, since=since, size=size)
    rows = [
        (join_labels(sorted(row.labels)), row.confidence, len(row.text.split()), row.ingested_at) for row in labelled
    ]
    articles = LabelledArticles(
        np.array([row[0] for row in rows], dtype=np.str_),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.int64),
    )
    return articles, min((row[3] for row in rows), default=None)


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _test_articles(evaluated: EvaluationResults, exposure: TrainingExposure) -> LabelledArticles:
    """Return the test articles that the model was not trained on: on others it is too confident.

    Its accuracy excludes them, too. If it was trained on all test articles, all are returned.
    """
    rows = np.array([id_ not in exposure.articles for id_ in evaluated.test_articles.ids.tolist()], dtype=bool)
    if not rows.any():
        rows[:] = True
    predictions = evaluated.predictions.of(rows)
    labels = (
        np.array(predictions.names, np.str_) if isinstance(predictions, LabelSetPredictions) else predictions.predicted
    )
    return LabelledArticles(labels, predictions.confidence, evaluated.test_articles.words[rows])


def _metrics(model: Model, now: LabelledArticles, checks: Sequence[DriftCheck]) -> dict[str, Any]:
    """Return the metrics that are plotted over time; None for checks with too few articles."""
    by_name = {check.name: check.figures for check in checks}
    # as float32, because the database compares them so
    below = now.confidence.astype(np.float32) < np.float32(model.threshold or 0)
    return {
        "category_drift": by_name["category mix"].get("distance"),
        "length_drift": by_name["length"].get("distance"),
        "confidence_drift": by_name["confidence"].get("distance"),
        "mean_confidence": float(now.confidence.mean()) if len(now) else None,
        "abstained": float(below.mean()) if len(now) else None,
        "estimated_accuracy": by_name["estimated accuracy"].get("estimate"),
        "audited_accuracy": by_name["audit"].get("measured"),
    }


def _store(connection: Connection, model: Model, checks: Sequence[DriftCheck], values: dict[str, Any]) -> None:
    drift_runs.add(
        connection,
        {
            **values,
            "model_id": model.id,
            "checks": [asdict(check) for check in checks],
            "alarms": [check.name for check in checks if check.outcome == "alarm"],
        },
    )


def _alarm_line(connection: Connection, model: Model, check: DriftCheck) -> str:
    """Return one line about an alarm: the check, its result, when the alarm began, and what to do."""
    since = drift_runs.alarm_since(connection, model.id, check.name)
    return f"{check.name}: {check.message}; since {since:%Y-%m-%d %H:%M} UTC. What to do: {check.advice}"
