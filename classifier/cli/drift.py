"""The command `drift`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from classifier.cli import render
from classifier.cli.common import Json, workspace

if TYPE_CHECKING:
    from classifier.pipeline.monitoring.drift_check import DriftReport


def drift(json: Json = False) -> None:
    """Compare the newest articles with those that the champion was evaluated on. Exit code 1 means alarm.

    Category mix, length and confidence, the accuracy that confidence promises, and whether articles that were annotated
    after they were labelled bear it out. What was found is kept in the table `drift_runs`.
    """
    from classifier.pipeline.monitoring import drift_check

    found = drift_check.check_drift(workspace())
    if json:
        render.print_json(asdict(found))
    else:
        _show(found)
    if found.alarms:
        raise typer.Exit(1)


def _show(found: DriftReport) -> None:
    since = f" since {found.since:%Y-%m-%d %H:%M}" if found.since else ""
    title = f"{found.model}: {found.articles:,} articles{since}, {found.audited:,} of its labels audited"
    table = Table("check", "outcome", "found", title=title, title_justify="left", title_style="bold")
    for one in found.checks:
        table.add_row(one.name, one.outcome, one.message)
    render.STDOUT.print(table)
    for line in found.alarms:
        render.warn(line)
