"""Print the status of the articles, the models, the trainings and the review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from classifier.cli import render
from classifier.cli.render import format_value

if TYPE_CHECKING:
    from classifier.pipeline.monitoring.category_coverage import UncoveredCategory
    from classifier.pipeline.monitoring.status import Backlog, Status, TrainingStatus
    from classifier.pipeline.review.review_queue import ReviewStatus

SILENT_S = 120
"""Seconds without a heartbeat after which a training may have been killed."""


def print_status(report: Status, as_json: bool) -> None:
    """Print the state of the articles, the backlog, the champion, the trainings and the last runs."""
    if as_json:
        backlog = {"new_seconds": report.backlog.new_seconds, "seconds": report.backlog.seconds}
        render.print_json({
            **asdict(report),
            "waiting": report.waiting,
            "backlog": {**asdict(report.backlog), **backlog},
        })
        return
    _print_articles(report)
    _print_backlog(report.backlog)
    render.models([report.champion] if report.champion else [], as_json=False, title="Champion")
    print_uncovered(report.uncovered, report.champion.name if report.champion else None)
    if drift := report.drift:
        alarms = f"alarm: {', '.join(drift.alarms)}; see: classifier drift" if drift.alarms else "no alarm"
        render.STDOUT.print(f"Drift check {format_value(drift.ran_at)}: {alarms}")
    for training in report.trainings:
        render.STDOUT.print(_describe_training(training))
    if report.review:
        print_review_status(report.review, as_json=False)
    render.runs(report.runs, as_json=False)


def print_uncovered(categories: Sequence[UncoveredCategory], champion: str | None) -> None:
    """Print warnings about annotated categories that no model, or not the champion, can predict."""
    from classifier.pipeline.monitoring import category_coverage

    for line in category_coverage.describe(categories, champion):
        render.warn(line)


def _print_articles(report: Status) -> None:
    note = "" if report.counted == 1 else f", estimated from {report.counted:.1%} of them"
    table = render.make_table(f"Articles{note}", "split", "articles", "annotated")
    for name, (total, annotated) in sorted(report.splits.items()):
        table.add_row(name, f"{total:,}", f"{annotated:,}")
    render.STDOUT.print(table)
    table = render.make_table("Labels", "", "articles")
    for name, count in sorted(report.labels.items()):
        table.add_row({"none": "no label yet"}.get(name, f"by {name}"), f"{count:,}")
    table.add_row("dead letters", f"{report.dead_letters:,}")
    table.add_row("rejected rows", f"{report.rejected_rows:,}")
    render.STDOUT.print(table)


def _print_backlog(backlog: Backlog) -> None:
    table = render.make_table("Backlog", "", "waiting", "time left")
    table.add_row("new articles", f"{backlog.new:,}", _format_duration(backlog.new_seconds))
    table.add_row("backfill", f"{backlog.backfill:,}", "")
    table.add_row("backfill, not checked yet", f"≤ {backlog.unseen:,}" if backlog.unseen else "0", "")
    table.add_row("all", "", _format_duration(backlog.seconds))
    render.STDOUT.print(table)
    if backlog.rate:
        render.STDOUT.print(f"Recent rate: {backlog.rate:,.1f} articles a second.")


def _describe_training(training: TrainingStatus) -> str:
    """Return the progress of a training in a line."""
    loss = "" if training.loss is None else f", loss {training.loss:.4f}"
    score = "" if training.macro_f1 is None else f", validation macro-F1 {training.macro_f1:.4f}"
    left = "" if training.seconds_left is None else f", {_format_minutes(training.seconds_left)} left"
    silent = ""
    if training.silent_s >= SILENT_S:
        silent = f" (last heartbeat {_format_minutes(training.silent_s)} ago; run the same command to resume)"
    steps = f"epoch {training.epoch} of {training.epochs}, step {training.step:,} of {training.steps:,}"
    return f"Training: {steps}{loss}{score}{left}{silent}"


def print_review_status(report: ReviewStatus, as_json: bool) -> None:
    """Print the articles that wait for review, and the audited accuracy of the champion's labels."""
    if as_json:
        render.print_json(asdict(report))
        return
    waiting = ", ".join(f"{count:,} {reason}" for reason, count in report.waiting.items()) or "nothing"
    render.STDOUT.print(f"Waiting for review: {waiting}. Conflicts: {report.conflicts:,}.")
    if report.second_opinions:
        render.STDOUT.print(f"Waiting for further annotators: {report.second_opinions:,}.")
    for check in report.checks:
        counts = f"{check.checked:,} of {check.queued:,} checked, {check.corrected:,} corrected"
        render.STDOUT.print(f"Annotations of the {check.split} split, {check.reason}: {counts}.")
    audit = report.audit
    if audit and audit.accuracy is not None:
        low, high = audit.interval
        accuracy = f"{audit.accuracy:.1%} accuracy ({low:.1%} to {high:.1%})"
        correct = f"{audit.correct:,} of {audit.reviewed:,} random labels correct"
        if audit.micro_f1 is not None:
            correct = f"{audit.correct:,} of {audit.reviewed:,} random articles with exactly these labels"
            accuracy += f", {audit.micro_f1:.4f} micro-F1"
        render.STDOUT.print(f"Audit of {audit.model}: {accuracy}; {correct}.")


def _format_duration(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))


def _format_minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
