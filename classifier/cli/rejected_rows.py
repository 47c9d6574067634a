"""`classifier rejected`: list and retry rejected rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from classifier import settings
from classifier.cli import render, sources
from classifier.cli.common import Json, of_task, workspace
from classifier.exceptions import SourceError

app = typer.Typer(help="List rejected rows with their reasons, or retry them.", invoke_without_command=True)

Source = Annotated[str | None, typer.Option(help="Only the rows of this source; by default, of all sources.")]
Limit = Annotated[int, typer.Option(min=1, help="Maximum rows to show, the newest.")]


@app.callback()
def default(context: typer.Context, source: Source = None, limit: Limit = 20, json: Json = False) -> None:
    """List the rejected rows if no command is given."""
    if context.invoked_subcommand is None:
        list_(source, limit, json)


@app.command("list")
def list_(source: Source = None, limit: Limit = 20, json: Json = False) -> None:
    """List the rejected rows with their reasons, newest first. With `--json`, each has the row itself."""
    from classifier.pipeline.ingest import rejected_rows

    render.rejected(rejected_rows.list_rejected(workspace(), source=source, limit=limit), json)


@app.command()
@of_task
def retry(source: Source = None, file: sources.File = None, json: Json = False) -> None:
    """Read the files, feeds and queries with rejected rows again, after a fix. Ingested rows leave the list."""
    from classifier.pipeline.ingest import rejected_rows

    path = file or settings.load().sources or Path("sources.toml")
    declared = sources.load_declared(file) if file or path.exists() else {}
    report = rejected_rows.retry_rejected(workspace(), declared, sources.resolve_database_url, source=source)
    render.show(report, json, title="Retried")
    if report.problems:
        raise SourceError("; ".join(report.problems))
