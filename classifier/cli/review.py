"""The commands of the review: what humans are asked, what they answer, and where they disagree."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace
from classifier.exceptions import ReviewError

app = typer.Typer(help="Articles worth a human's look, and what humans said of them.", no_args_is_help=True)

SHOWN = 5
"""Rows set aside that the error itself names; all of them are printed above it."""


@app.command()
def fill(
    number: Annotated[int, typer.Option(min=0, help="Articles chosen by the champion that are to wait.")] = 100,
    audit: Annotated[int, typer.Option(min=0, help="Articles drawn at random that are to wait besides.")] = 20,
    json: Json = False,
) -> None:
    """Fill the queue: articles that are uncertain, unlike one another, or of rare categories, and a random sample."""
    from classifier.pipeline.review import review_queue

    render.show(review_queue.fill_queue(workspace(), number=number, audit=audit), json, title="Review queue")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="CSV to write; it must not be there yet.")],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.")] = None,
    json: Json = False,
) -> None:
    """Write what waits as a CSV with the empty columns category, annotator and comment."""
    from classifier.pipeline.review import sheets

    render.show(sheets.export_sheet(workspace(), file, limit=limit), json, title="Exported")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV that was exported, filled in.")],
    annotator: Annotated[str | None, typer.Option(help="Whose the rows are that name nobody.")] = None,
    new_category: Annotated[
        list[str] | None, typer.Option(help="A category that there is not yet; may be given again.")
    ] = None,
    json: Json = False,
) -> None:
    """Take a filled CSV in. The same again changes nothing; rows without a category are left for later.

    Rows that cannot be taken in are named, with exit code 2, and the others go in: mend them and run it again.
    """
    from classifier.pipeline.review import sheets

    report = sheets.import_sheet(workspace(), file, annotator=annotator, new_categories=new_category or ())
    counts = {name: value for name, value in asdict(report).items() if name != "set_aside"}
    if json:
        render.print_json(asdict(report))
    else:
        render.show({**counts, "set_aside": len(report.set_aside)}, as_json=False, title="Imported")
        render.set_aside(report.set_aside)
    if report.set_aside:
        named = [f"line {one.line}: {one.reason}" for one in report.set_aside[:SHOWN]]
        rest = ["and more"] if len(report.set_aside) > SHOWN else []
        problems = "; ".join([*named, *rest, "mend them and import the file again"])
        raise ReviewError(f"{file}: {len(report.set_aside)} of {report.rows} rows were not taken in: {problems}")


@app.command()
def conflicts(
    settled: Annotated[bool, typer.Option("--all", help="Also where a person and the source differ.")] = False,
    json: Json = False,
) -> None:
    """List articles that people disagree on: nobody trains or tests on them until they agree or it is decided."""
    from classifier.pipeline.review import conflicts

    render.conflicts(conflicts.list_conflicts(workspace(), settled=settled), json)


@app.command()
def decide(
    article: Annotated[int, typer.Argument(help="The article's id.")],
    category: Annotated[str, typer.Argument(help="The category that counts.")],
    annotator: Annotated[str, typer.Option(help="Who decides.")],
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    json: Json = False,
) -> None:
    """Settle a conflict."""
    from classifier.pipeline.review import conflicts

    done = conflicts.resolve_conflict(workspace(), article, category, annotator=annotator, comment=comment)
    render.show(done, json, title="Decided")


@app.command()
def status(json: Json = False) -> None:
    """Show what waits, and how right the champion's labels were of the articles drawn at random."""
    from classifier.pipeline.review import review_queue

    render.reviewing(review_queue.read_status(workspace()), json)
