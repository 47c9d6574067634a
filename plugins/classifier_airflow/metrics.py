"""Gauges and counters of the classifier, for whatever Airflow sends its own to: StatsD, Datadog or OpenTelemetry.

docs/reference/metrics.md lists them. A signal never fails a task: what goes wrong with it is one line of the task's
log. Where Airflow's metrics are off, nothing is read for them either. Names make sense without tags,
which plain StatsD drops.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from classifier_airflow.best_effort import best_effort

if TYPE_CHECKING:
    from classifier.pipeline.labelling.queue import LabellingReport
    from classifier.pipeline.monitoring.status import Backlog
    from classifier.pipeline.training.candidate import Trained
    from classifier.workspace import Workspace

P = ParamSpec("P")

SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")
"""Options of Airflow's section [metrics], each of which switches metrics on."""

DRIFT_FIGURES = (
    "category_drift", "length_drift", "confidence_drift", "confidence", "abstained", "estimated_accuracy",
    "audited_accuracy",
)  # fmt: skip


def metric(function: Callable[P, None]) -> Callable[P, None]:
    """Make a function do nothing where metrics are off, and never raise."""

    @best_effort("a signal was not sent")
    @wraps(function)
    def where_wanted(*args: P.args, **kwargs: P.kwargs) -> None:
        if _on():
            function(*args, **kwargs)

    return where_wanted


def _on() -> bool:
    from airflow.sdk.configuration import conf

    return any(conf.getboolean("metrics", name, fallback=False) for name in SWITCHES)


@metric
def ingested(source: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """Count what a source brought. Files that were named have one tag together: their paths would be too many."""
    from classifier_airflow.ingest_tasks import COUNTS

    tags = {"source": source.get("name") or next(iter(source))}
    for name in COUNTS:
        _count(f"ingest.{name}", counts[name], tags)


def labelling(
    place: Workspace, *, every_s: float = 30, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Return a function that counts each committed page, and every so many seconds sends what still waits."""
    from classifier.pipeline.monitoring import status

    last = clock()

    @metric
    def on_page(articles: int) -> None:
        nonlocal last
        _count("labelling.articles", articles)
        if clock() - last >= every_s:
            last = clock()
            _send_backlog(status.read_live_status(place)[0])

    return on_page


@metric
def labelled(report: LabellingReport) -> None:
    """Count the articles that one worker could not label."""
    _count("labelling.dead_letters", report.dead_letters)


@metric
def trained(report: Trained) -> None:
    """Send how long a training took, on how much, and what it reached on the validation split."""
    _gauge("training.seconds", report.seconds)
    _gauge("training.articles", report.train_articles)
    _gauge("training.validation_macro_f1", report.validation_macro_f1)


@metric
def evaluated(figures: Mapping[str, Any]) -> None:
    """Send a candidate's figures on the test split, and the baseline's."""
    for name in ("accuracy", "macro_f1", "baseline_accuracy", "baseline_macro_f1"):
        _gauge(f"candidate.{name}", figures[name])


@metric
def judged(verdict: str) -> None:
    """Count a verdict of the gate."""
    _count(f"gate.{verdict.replace(' ', '_')}", 1)


@metric
def drift_checked() -> None:
    """Send what was found when the champion was watched last; what there was too little to judge by is left out."""
    from classifier.pipeline.monitoring import drift_history
    from classifier_airflow.workspace import workspace

    found = drift_history.read_history(workspace())
    for name in DRIFT_FIGURES:
        if (value := getattr(found.last, name, None)) is not None:
            _gauge(f"drift.{name}", value)
    _gauge("drift.alarms", sum(one.check.outcome == "alarm" for one in found.findings))


@metric
def standing() -> None:
    """Send what waits, what went wrong, and the champion's figures on the test split."""
    from classifier.pipeline.monitoring import status
    from classifier_airflow.workspace import workspace

    now = status.read_status(workspace())
    _send_backlog(now.backlog)
    _gauge("dead_letters", now.dead_letters)
    _gauge("rejected_rows", now.rejected_rows)
    for name in ("accuracy", "macro_f1"):
        if (value := getattr(now.champion, name, None)) is not None:
            _gauge(f"champion.{name}", value)


def _send_backlog(backlog: Backlog) -> None:
    for name in ("new", "backfill", "unseen"):
        _gauge(f"backlog.{name}", getattr(backlog, name))
    _gauge("labelling.rate", backlog.rate or 0.0)


def _count(name: str, number: int, tags: Mapping[str, str] | None = None) -> None:
    from airflow.sdk.observability import stats

    stats.incr(f"classifier.{name}", number, tags=_clean(tags or {}))


def _gauge(name: str, value: float) -> None:
    from airflow.sdk.observability import stats

    stats.gauge(f"classifier.{name}", float(value))


def _clean(tags: Mapping[str, str]) -> dict[str, str]:
    """Replace what no metrics system takes in a tag: with InfluxDB's kind of StatsD, the whole signal would be lost."""
    from airflow.sdk.observability.stats import normalize_name_for_stats

    return {name: normalize_name_for_stats(value, log_warning=False) for name, value in tags.items()}
