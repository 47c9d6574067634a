"""`classifier splits`: report on the train, validation and test splits."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from classifier.articles import SPLITS
from classifier.cli import render
from classifier.cli.common import Json, of_task, workspace
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.pipeline.ingest.splits_report import SplitSizes, SplitsReport

app = typer.Typer(help="Report on the splits: train, validation and test.", no_args_is_help=True)


@app.callback()
@of_task
def group() -> None:
    """Keep `report` a command of a group, although it is the only one."""


@app.command()
@of_task
def report(
    proportions: Annotated[str, typer.Option(help="Target shares of train, validation and test.")] = "0.8,0.1,0.1",
    json: Json = False,
) -> None:
    """Show the sizes by category, the deviations from the target shares, and near-duplicates across splits.

    There must be no near-duplicates across splits. With several tasks, there is a report of each, unless one is named.
    """
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest import splits_report

    for result in splits_report.report_splits_of_tasks(workspace(), Proportions.parse(proportions)):
        if json:
            render.print_json(asdict(result))
        else:
            _show(result)


def _show(result: SplitsReport) -> None:
    title = f"Splits: {result.task}".replace("[", r"\[")
    table = Table("category", *SPLITS, *(f"{split}, share" for split in SPLITS), title=title)
    largest = sorted(result.categories, key=lambda sizes: -sum(sizes.articles.values()))[: render.MAX_ROWS]
    for sizes in (sizes for sizes in result.categories if sizes in largest):
        _add_row(table, result, _NAMES.get(sizes.category, sizes.category or ""), sizes)
    table.add_section()
    _add_row(table, result, "all", result.total)
    render.STDOUT.print(table)
    if more := len(result.categories) - len(largest):
        render.STDOUT.print(f"And {more:,} smaller categories; --json has all.")
    for split, count in result.left_out.items():
        if count:
            render.STDOUT.print(
                f"{plural(count, 'article')} left out of {split}: duplicates of articles of a more guarded split."
            )
    render.STDOUT.print(f"Near-duplicates across splits, among the articles read: {result.near_duplicates_across:,}")


_NAMES = {None: "(not annotated)", "": "(none)"}


def _add_row(table: Table, result: SplitsReport, name: str, sizes: SplitSizes) -> None:
    counts = [f"{sizes.articles[split]:,}" for split in SPLITS]
    shares = [
        f"{sizes.deviation[split] + result.target[split]:.1%} ({sizes.deviation[split] * 100:+.1f} points)"
        for split in SPLITS
    ]
    table.add_row(name.replace("[", r"\["), *counts, *shares)
