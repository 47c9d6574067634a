"""`classifier categories`: the categories of a task, and their changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from classifier.cli import render
from classifier.cli.common import Json, of_task, user_name, workspace
from classifier.taxonomy import ChangeKind

app = typer.Typer(
    help="List, rename, merge, split, retire and arrange the categories of a task, and undo the last change.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Present name of the category.")]
Reason = Annotated[str, typer.Option(help="Reason for the change; the history shows it.")]
Preview = Annotated[bool, typer.Option("--preview", help="Check the change, say what it would affect, and stop.")]

_COLUMNS = {
    "category": "indented_name",
    "annotated": "annotated",
    "train": "train",
    "validation": "validation",
    "test": "test",
    "champion knows it": "champion_knows",
    "state": "state",
    "former names": "former_names",
}


@app.command("list")
@of_task
def list_categories(
    closed: Annotated[bool, typer.Option("--all", help="List retired and split categories too.")] = False,
    json: Json = False,
) -> None:
    """List the categories with the numbers of their annotated articles; a child is below its parent."""
    from classifier.pipeline.categories import overview

    summaries = overview.list_categories(workspace(), closed=closed)
    if json:
        render.print_json([{**asdict(summary), "annotated": summary.annotated} for summary in summaries])
        return
    columns = {title: name for title, name in _COLUMNS.items() if name != "state" or closed}
    render.print_list(summaries, False, "Categories", columns)


@app.command()
@of_task
def show(name: Annotated[str, typer.Argument(help="Present or former name.")], json: Json = False) -> None:
    """Show one category."""
    from classifier.pipeline.categories import overview

    summary = overview.show_category(workspace(), name)
    render.show(summary, json, title="Category", annotated=summary.annotated)


@app.command()
@of_task
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="Its new name.")],
    reason: Reason = "",
    preview: Preview = False,
    json: Json = False,
) -> None:
    """Rename a category: labels show the new name at once, and sources may still deliver the old one.

    Example: `classifier categories rename acq "mergers and acquisitions" --preview`
    """
    _change("rename", [name], [new_name], reason, preview=preview, json=json)


@app.command()
@of_task
def merge(
    names: Annotated[list[str], typer.Argument(help="Present names of the categories.")],
    into: Annotated[str, typer.Option("--into", help="The category that they become: one of them, or a new name.")],
    reason: Reason = "",
    preview: Preview = False,
    json: Json = False,
) -> None:
    """Make one category of several: labels show it at once, and the next training learns it.

    Example: `classifier categories merge wheat corn --into grain`
    """
    _change("merge", names, [into], reason, preview=preview, json=json)


@app.command()
@of_task
def split(
    name: Name,
    into: Annotated[list[str], typer.Option("--into", help="A category that takes a part; give two or more.")],
    reason: Reason = "",
    preview: Preview = False,
    json: Json = False,
) -> None:
    """Split a category: its annotated articles go to review, and keep the label until a new champion labels them.

    Example: `classifier categories split sport --into football --into tennis`
    """
    _change("split", [name], into, reason, preview=preview, json=json)


@app.command()
@of_task
def retire(name: Name, reason: Reason = "", preview: Preview = False, json: Json = False) -> None:
    """Retire a category: no annotator is asked for it and no model learns it; its labels stay."""
    _change("retire", [name], [], reason, preview=preview, json=json)


@app.command()
@of_task
def restore(name: Name, reason: Reason = "", preview: Preview = False, json: Json = False) -> None:
    """Restore a retired category."""
    _change("restore", [name], [], reason, preview=preview, json=json)


@app.command()
@of_task
def describe(
    name: Name,
    description: Annotated[str, typer.Argument(help="What belongs to it, for the people who annotate.")],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Describe a category."""
    _change("describe", [name], [], reason, preview=False, json=json, description=description)


@app.command()
@of_task
def move(
    names: Annotated[list[str], typer.Argument(help="Present names of the categories.")],
    below: Annotated[
        str | None, typer.Option("--below", help="Their parent in the tree; by default, they get none.")
    ] = None,
    reason: Reason = "",
    preview: Preview = False,
    json: Json = False,
) -> None:
    """Move categories below a parent in the tree, which may be a new name.

    Example: `classifier categories move wheat corn --below grain`
    """
    _change("move", names, [below] if below else [], reason, preview=preview, json=json)


@app.command("import")
@of_task
def import_tree(
    file: Annotated[Path, typer.Argument(help="A CSV with category, parent and description; or SKOS as RDF.")],
    language: Annotated[str, typer.Option(help="Language of the labels of a SKOS file.")] = "en",
    reason: Reason = "",
    preview: Preview = False,
    json: Json = False,
) -> None:
    """Arrange categories in a tree by a file, and describe them; one undo takes it back.

    Example: `classifier categories import tree.csv`
    """
    from classifier.pipeline.categories import changes

    report = changes.import_tree(
        workspace(),
        file,
        changed_by=user_name("categories import"),
        language=language,
        reason=reason,
        preview=preview,
    )
    _show(report, json)


@app.command()
@of_task
def undo(reason: Reason = "", preview: Preview = False, json: Json = False) -> None:
    """Take back the last change that was not taken back yet."""
    from classifier.pipeline.categories import changes

    report = changes.undo_change(workspace(), changed_by=user_name("categories undo"), reason=reason, preview=preview)
    _show(report, json)


@app.command()
@of_task
def history(json: Json = False) -> None:
    """List the changes, the newest first."""
    from classifier.pipeline.categories import overview

    columns = {name: name for name in ("changed_at", "change", "changed_by", "reason", "undone")}
    render.print_list(overview.read_history(workspace()), json, "Changes", columns)


def _change(
    kind: ChangeKind,
    names: list[str],
    targets: list[str],
    reason: str,
    *,
    preview: bool,
    json: bool,
    description: str = "",
) -> None:
    from classifier.pipeline.categories import changes

    report = changes.change_categories(
        workspace(),
        kind,
        names,
        targets,
        changed_by=user_name(f"categories {kind}"),
        reason=reason,
        description=description,
        preview=preview,
    )
    _show(report, json)


def _show(report: Any, json: bool) -> None:
    render.show(report, json, title="Changed" if report.applied else "Preview: nothing was changed")
