"""Gauges and counters of the classifier, sent to the same system as Airflow's own: StatsD, Datadog or OpenTelemetry.

docs/reference/metrics.md lists them. A metric never fails a task: an error is one line of the task's log. If Airflow's
metrics are off, no data are read for them either. The names are clear without tags, since plain StatsD drops tags: if
there are several tasks, it gets names that end with the task's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from classifier_airflow import instances
from classifier_airflow.best_effort import best_effort

if TYPE_CHECKING:
    from classifier.pipeline.labelling.queue import LabellingReport
    from classifier.pipeline.monitoring.status import Backlog
    from classifier.pipeline.training.candidate import Trained
    from classifier.workspace import Workspace
    from classifier_airflow.tasks_of_run import ChosenTask

P = ParamSpec("P")

SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")
"""Options of Airflow's section [metrics]; each of them enables metrics."""

DRIFT_FIGURES = (
    "category_drift", "length_drift", "confidence_drift", "mean_confidence", "abstained",
    "estimated_accuracy", "audited_accuracy",
)  # fmt: skip


def metric(function: Callable[P, None]) -> Callable[P, None]:
    """Return a function that does nothing if metrics are off, and never raises."""

    @best_effort("cannot send a metric")
    @wraps(function)
    def if_enabled(*args: P.args, **kwargs: P.kwargs) -> None:
        if _are_enabled():
            function(*args, **kwargs)

    return if_enabled


def _are_enabled() -> bool:
    return any(map(_is_on, SWITCHES))


@metric
def send_ingest(source: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """Count the rows and articles of a source. Named files share one tag, because there would be too many paths."""
    from classifier_airflow.ingest_tasks import COUNTS

    tags = {"source": source.get("name") or next(iter(source))}
    for name in COUNTS:
        _count(f"ingest.{name}", counts[name], tags)


def count_labelled(
    workspace: Workspace, chosen: ChosenTask, *, every_s: float = 30, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Return a function that counts the articles of each committed batch, and regularly sends the backlog."""
    from classifier.pipeline.monitoring import status

    last = clock()

    @metric
    def on_page(articles: int) -> None:
        nonlocal last
        _count("labelling.articles", articles, chosen=chosen)
        if clock() - last >= every_s:
            last = clock()
            _send_backlog(status.read_live_status(workspace)[0], chosen)

    return on_page


@metric
def send_labelling(report: LabellingReport, chosen: ChosenTask) -> None:
    """Count the articles that one worker could not label."""
    _count("labelling.dead_letters", report.dead_letters, chosen=chosen)


@metric
def send_training(report: Trained, chosen: ChosenTask) -> None:
    """Send a training's seconds, its number of articles and its score on the validation split."""
    _gauge("training.seconds", report.seconds, chosen)
    _gauge("training.articles", report.train_articles, chosen)
    _gauge("training.validation_macro_f1", report.validation_macro_f1, chosen)


@metric
def send_evaluation(figures: Mapping[str, Any], chosen: ChosenTask) -> None:
    """Send a candidate's figures on the test split, and the baseline's."""
    for name in ("accuracy", "macro_f1", "baseline_accuracy", "baseline_macro_f1"):
        _gauge(f"candidate.{name}", figures[name], chosen)


@metric
def send_verdict(verdict: str, chosen: ChosenTask) -> None:
    """Count a verdict of the gate."""
    _count(f"gate.{verdict.replace(' ', '_')}", 1, chosen=chosen)


@metric
def send_drift(chosen: ChosenTask) -> None:
    """Send the figures of the last drift check, except those with too few articles to judge."""
    from classifier.pipeline.monitoring import drift_history
    from classifier_airflow.workspace import workspace

    history = drift_history.read_history(workspace(chosen))
    for name in DRIFT_FIGURES:
        if (value := getattr(history.last, name, None)) is not None:
            _gauge(f"drift.{name}", value, chosen)
    _gauge("drift.alarms", sum(result.check.outcome == "alarm" for result in history.checks), chosen)


@metric
def send_status(only: ChosenTask | None = None) -> None:
    """Send each task's backlog, dead letters and champion's figures on the test split, and the rejected rows.

    With `only`, other tasks are left out.
    """
    from classifier.pipeline.monitoring import status
    from classifier_airflow import tasks_of_run
    from classifier_airflow.workspace import workspace

    current, opened = None, workspace()
    for chosen in [only] if only else tasks_of_run.choose_tasks():
        current = status.read_status(opened.with_task(chosen["id"]))
        _send_backlog(current.backlog, chosen)
        _gauge("dead_letters", current.dead_letters, chosen)
        for name in ("accuracy", "macro_f1"):
            if (value := getattr(current.champion, name, None)) is not None:
                _gauge(f"champion.{name}", value, chosen)
    if current is not None:
        _gauge("rejected_rows", current.rejected_rows)


def _send_backlog(backlog: Backlog, chosen: ChosenTask) -> None:
    for name in ("new", "backfill", "unseen"):
        _gauge(f"backlog.{name}", getattr(backlog, name), chosen)
    _gauge("labelling.rate", backlog.rate or 0.0, chosen)


def _count(name: str, number: int, tags: Mapping[str, str] | None = None, *, chosen: ChosenTask | None = None) -> None:
    from airflow.sdk.observability import stats

    stats.incr(_full_name(name, chosen), number, tags=_clean({**(tags or {}), **_task_tag(chosen), **_instance_tag()}))


def _gauge(name: str, value: float, chosen: ChosenTask | None = None) -> None:
    from airflow.sdk.observability import stats

    stats.gauge(_full_name(name, chosen), float(value), tags=_clean({**_task_tag(chosen), **_instance_tag()}))


def _task_tag(chosen: ChosenTask | None) -> dict[str, str]:
    return {"task": chosen["name"]} if chosen else {}


def _instance_tag() -> dict[str, str]:
    name = instances.current().name
    return {"instance": name} if name else {}


def _full_name(name: str, chosen: ChosenTask | None) -> str:
    """Return a metric's name. If tags would be dropped, it contains the names of a named instance and of several tasks.

    The instance's name is part of the first word, and the task's is the last word.
    """
    drops_tags = _is_on("statsd_on") and not _is_on("statsd_influxdb_enabled") and not _is_on("statsd_datadog_enabled")
    start = instances.current().prefixed("classifier") if drops_tags else "classifier"
    if chosen and chosen["several"] and drops_tags:
        return f"{start}.{name}.{_clean(_task_tag(chosen))['task'].replace('.', '_')}"
    return f"{start}.{name}"


def _is_on(option: str) -> bool:
    from airflow.sdk.configuration import conf

    return conf.getboolean("metrics", option, fallback=False)


def _clean(tags: Mapping[str, str]) -> dict[str, str]:
    """Replace characters that a metrics system refuses in a tag: InfluxDB's StatsD would drop the whole metric."""
    from airflow.sdk.observability.stats import normalize_name_for_stats

    return {name: normalize_name_for_stats(value, log_warning=False) for name, value in tags.items()}
