"""The commands about splits."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from classifier import settings
from classifier.articles import SPLITS
from classifier.cli import render
from classifier.workspace import open_workspace

if TYPE_CHECKING:
    from classifier.pipeline.ingest.splits_report import SplitSizes, SplitsReport

app = typer.Typer(help="The splits: train, validation and test.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `report` a command of a group, though it is the only one."""


@app.command()
def report(
    proportions: Annotated[str, typer.Option(help="Shares aimed at: train, validation and test.")] = "0.8,0.1,0.1",
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")] = False,
) -> None:
    """Show sizes by category, drift from the proportions, and near-duplicates across splits (must be 0)."""
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest import splits_report

    shares = Proportions.parse(proportions)
    found = splits_report.report_splits(open_workspace(settings.load()), shares)
    if json:
        render.print_json(asdict(found))
    else:
        _show(found)


def _show(found: SplitsReport) -> None:
    table = Table("category", *SPLITS, *(f"{split}, share" for split in SPLITS), title="Splits")
    largest = sorted(found.categories, key=lambda sizes: -sum(sizes.articles.values()))[: render.MAX_ROWS]
    for sizes in (sizes for sizes in found.categories if sizes in largest):
        _row(table, found, sizes.category if sizes.category is not None else "(not annotated)", sizes)
    table.add_section()
    _row(table, found, "all", found.total)
    render.STDOUT.print(table)
    if more := len(found.categories) - len(largest):
        render.STDOUT.print(f"And {more:,} smaller categories; --json has all.")
    for split, count in found.left_out.items():
        if count:
            render.STDOUT.print(f"{count:,} articles are left out of {split}: they repeat a more guarded split.")
    render.STDOUT.print(f"Near-duplicates across splits, among what is read: {found.near_duplicates_across:,}")


def _row(table: Table, found: SplitsReport, name: str, sizes: SplitSizes) -> None:
    counts = [f"{sizes.articles[split]:,}" for split in SPLITS]
    shares = [
        f"{sizes.drift[split] + found.aim[split]:.1%} ({sizes.drift[split] * 100:+.1f} points)" for split in SPLITS
    ]
    table.add_row(name.replace("[", r"\["), *counts, *shares)
