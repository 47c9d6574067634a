"""The command `drift`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from classifier.cli import render
from classifier.cli.common import Json, workspace
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.pipeline.monitoring.drift_check import DriftReport


def drift(json: Json = False) -> None:
    """Compare the newest articles with the champion's test articles. Exit code 1 means that a check raised an alarm.

    The checks compare categories, text lengths and confidence, the accuracy estimated from confidence, and the accuracy
    on audited articles: labels that were drawn at random and annotated afterwards. The results are stored in the table
    `drift_runs`.
    """
    from classifier.pipeline.monitoring import drift_check

    report = drift_check.check_drift(workspace())
    if json:
        render.print_json(asdict(report))
    else:
        _show(report)
    if report.alarms:
        raise typer.Exit(1)


def _show(report: DriftReport) -> None:
    since = f" since {render.format_time(report.since)}" if report.since else ""
    title = f"{report.model}: {plural(report.articles, 'article')}{since}, {report.audited:,} of its labels audited"
    table = Table("check", "outcome", "result", title=title, title_justify="left", title_style="bold")
    for check in report.checks:
        table.add_row(check.name, check.outcome, check.message)
    render.STDOUT.print(table)
    for line in report.alarms:
        render.warn(line)
