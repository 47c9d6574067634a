"""The commands that list and retry dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, of_task, workspace

app = typer.Typer(
    help="List the articles that could not be labelled with their reasons, or retry them.", invoke_without_command=True
)

Source = Annotated[str | None, typer.Option(help="Only the articles of this source; by default, of all sources.")]
Model = Annotated[
    str | None,
    typer.Option(help='Only the dead letters of this model, a name or "champion"; by default, of all models.'),
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum dead letters to show, the newest.")]


@app.callback()
@of_task
def default(
    context: typer.Context, source: Source = None, model: Model = None, limit: Limit = 20, json: Json = False
) -> None:
    """List the dead letters if no command is given."""
    if context.invoked_subcommand is None:
        list_(source, model, limit, json)


@app.command("list")
@of_task
def list_(source: Source = None, model: Model = None, limit: Limit = 20, json: Json = False) -> None:
    """List the dead letters with their reasons, newest first. Their texts are not shown."""
    from classifier.pipeline.labelling import dead_letters

    render.dead_letters(dead_letters.list_dead_letters(workspace(), source=source, model=model, limit=limit), json)


@app.command()
@of_task
def retry(source: Source = None, model: Model = None, json: Json = False) -> None:
    """Put the articles back into the queue, after a fix. `classifier label` then labels them."""
    from classifier.pipeline.labelling import dead_letters

    render.show(dead_letters.retry_dead_letters(workspace(), source=source, model=model), json, title="Retried")
