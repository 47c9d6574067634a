"""`classifier tasks`: the questions that are asked of articles."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace

app = typer.Typer(
    help="List, add, rename, archive and restore tasks: questions that are asked of the same articles.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of the task.")]

_COLUMNS = {
    name: name for name in ("task", "kind", "categories", "models", "champion", "waiting", "description", "archived_at")
}


@app.command("list")
def list_tasks(
    archived: Annotated[bool, typer.Option("--archived", help="List archived tasks too.")] = False,
    json: Json = False,
) -> None:
    """List the tasks with the numbers of their categories, models and waiting articles."""
    from classifier.pipeline.database import tasks

    columns = dict(_COLUMNS) if archived else {name: _COLUMNS[name] for name in _COLUMNS if name != "archived_at"}
    render.print_list(tasks.list_summaries(workspace(), archived=archived), json, "Tasks", columns)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="Name of the task; by default, the only one.")] = None,
    json: Json = False,
) -> None:
    """Show one task."""
    from classifier.pipeline.database import tasks

    render.show(tasks.describe(workspace(), name), json, title="Task")


@app.command()
def add(
    name: Name,
    multi: Annotated[
        bool, typer.Option("--multi", help="An article may have several categories, or none; by default, exactly one.")
    ] = False,
    min_labels: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="With --multi: labels that a model gives each article at least; by default 0."),
    ] = None,
    description: Annotated[str, typer.Option(help="What is asked, for the people who annotate.")] = "",
    json: Json = False,
) -> None:
    """Add a task. In a new database, the first one replaces the task "default".

    Example: `classifier tasks add topic --multi --description "What is the article about?"`
    """
    from classifier.pipeline.database import tasks

    values: dict[str, Any] = {"kind": "multi" if multi else "single", "min_labels": min_labels}
    render.show(tasks.add(workspace(), name, description=description, **values), json, title="Task")


@app.command()
def rename(name: Name, new_name: Annotated[str, typer.Argument(help="Its new name.")], json: Json = False) -> None:
    """Rename a task; trainings and workers that run for it continue."""
    from classifier.pipeline.database import tasks

    render.show(tasks.rename(workspace(), name, new_name), json, title="Renamed")


@app.command()
def archive(name: Name, json: Json = False) -> None:
    """Archive a task: everything of it is kept, but nothing is trained, labelled or shown for it."""
    from classifier.pipeline.database import tasks

    render.show(tasks.archive(workspace(), name), json, title="Archived")


@app.command()
def restore(name: Name, json: Json = False) -> None:
    """Restore an archived task."""
    from classifier.pipeline.database import tasks

    render.show(tasks.restore(workspace(), name), json, title="Restored")
