"""The commands of dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace

app = typer.Typer(help="Articles that could not be labelled, with the reasons.", invoke_without_command=True)

Source = Annotated[str | None, typer.Option(help="Only articles of one source.")]
Model = Annotated[str | None, typer.Option(help='Only those of one model: a name, or "champion".')]
Limit = Annotated[int, typer.Option(min=1, help="Show so many, the newest.")]


@app.callback()
def default(
    context: typer.Context, source: Source = None, model: Model = None, limit: Limit = 20, json: Json = False
) -> None:
    """List them, unless a command says otherwise."""
    if context.invoked_subcommand is None:
        list_(source, model, limit, json)


@app.command("list")
def list_(source: Source = None, model: Model = None, limit: Limit = 20, json: Json = False) -> None:
    """List the dead letters, newest first; never the text."""
    from classifier.pipeline.labelling import dead_letters

    render.dead_letters(dead_letters.list_dead_letters(workspace(), source=source, model=model, limit=limit), json)


@app.command()
def retry(source: Source = None, model: Model = None, json: Json = False) -> None:
    """Put their articles back into the queue, after a fix; `classifier label` tries them again."""
    from classifier.pipeline.labelling import dead_letters

    render.show(dead_letters.retry_dead_letters(workspace(), source=source, model=model), json, title="Retried")
