"""The commands of rejected rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from classifier import settings
from classifier.cli import render, sources
from classifier.cli.common import Json, workspace
from classifier.exceptions import SourceError

app = typer.Typer(help="Rows that were not taken in, with their reasons.", invoke_without_command=True)

Source = Annotated[str | None, typer.Option(help="Only the rows of one source.")]
Limit = Annotated[int, typer.Option(min=1, help="Show so many, the newest.")]


@app.callback()
def default(context: typer.Context, source: Source = None, limit: Limit = 20, json: Json = False) -> None:
    """List them, unless a command says otherwise."""
    if context.invoked_subcommand is None:
        list_(source, limit, json)


@app.command("list")
def list_(source: Source = None, limit: Limit = 20, json: Json = False) -> None:
    """List the rejected rows, newest first. With `--json` each shows the row itself."""
    from classifier.pipeline.ingest import rejected_rows

    render.rejected(rejected_rows.list_rejected(workspace(), source=source, limit=limit), json)


@app.command()
def retry(source: Source = None, file: sources.File = None, json: Json = False) -> None:
    """Read again what rows were rejected of, after a fix. Rows that go in are no longer listed."""
    from classifier.pipeline.ingest import rejected_rows

    there = file or settings.load().sources or Path("sources.toml")
    declared = sources.load_declared(file) if file or there.exists() else {}
    report = rejected_rows.retry_rejected(workspace(), declared, sources.resolve_database_url, source=source)
    render.show(report, json, title="Retried")
    if report.problems:
        raise SourceError("; ".join(report.problems))
