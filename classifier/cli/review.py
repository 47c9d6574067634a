"""`classifier review`: ask annotators about articles, import their answers, and resolve their conflicts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from classifier.cli import render, render_status
from classifier.cli.common import Json, of_task, workspace
from classifier.exceptions import ReviewError

app = typer.Typer(help="Have people annotate the most useful articles, and import their answers.", no_args_is_help=True)


@app.command()
@of_task
def fill(
    number: Annotated[int, typer.Option(min=0, help="Articles chosen by the champion that the queue holds.")] = 100,
    audit: Annotated[int, typer.Option(min=0, help="Randomly drawn articles that the queue holds as well.")] = 20,
    json: Json = False,
) -> None:
    """Fill the queue with uncertain, diverse and rare articles, and with a random sample."""
    from classifier.pipeline.review import review_queue

    render.show(review_queue.fill_queue(workspace(), number=number, audit=audit), json, title="Review queue")


@app.command()
@of_task
def doubtful(
    number: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Annotations to list or to queue, the most doubtful first; by default, as many as are estimated to be "
            "wrong, up to 500.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the articles: train, validation, test or all.")] = "train",
    queue: Annotated[
        bool,
        typer.Option(
            "--queue",
            help="Queue the articles for review instead. With those of the validation and test splits, as many others "
            "are queued, drawn at random, and none is listed: annotators must not know which are doubtful.",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**31 - 1, help="Of a large split, a sample is examined; another seed draws another."),
    ] = 0,
    json: Json = False,
) -> None:
    """List source annotations that are probably wrong, as judged by a baseline trained on other articles.

    What a person has annotated counts as checked. No annotation is changed: a person's answer supersedes the source's.
    """
    from classifier.cli import render_doubtful
    from classifier.pipeline.review import annotation_checks

    if queue:
        report = annotation_checks.queue_doubtful(workspace(), scope=split, number=number, seed=seed)
        render.show(report, json, title="Doubtful annotations queued")
    else:
        listed = annotation_checks.list_doubtful(workspace(), scope=split, number=number, seed=seed)
        render_doubtful.print_doubtful(listed, json)


@app.command()
@of_task
def export(
    file: Annotated[Path, typer.Argument(help="CSV file to write; it must not exist.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum articles, the oldest first; by default, all that wait.")
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Also export articles that wait for further people and that this person has not annotated; by "
            "default, only articles that no person has annotated."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the articles that wait for review as a CSV with empty columns category, annotator and comment.

    In a multi-label task, the column category takes several, separated by semicolons, or (none).
    """
    from classifier.pipeline.review import sheets

    exported = sheets.export_sheet(workspace(), file, limit=limit, annotator=annotator)
    render.show(exported, json, title="Exported")


@app.command("import")
@of_task
def import_(
    file: Annotated[Path, typer.Argument(help="The exported CSV file, filled in.")],
    annotator: Annotated[
        str | None, typer.Option(help="Annotator for rows that name no annotator; by default, such rows are invalid.")
    ] = None,
    new_category: Annotated[
        list[str] | None,
        typer.Option(help="Category that is not in use yet; may be repeated. By default, new categories are invalid."),
    ] = None,
    json: Json = False,
) -> None:
    """Import a filled CSV. Running it again on the same file changes nothing; rows without a category stay open.

    Invalid rows are listed, with exit code 2; the other rows are imported. Fix the invalid rows and run it again.
    """
    from classifier.pipeline.review import sheets

    report = sheets.import_sheet(workspace(), file, annotator=annotator, new_categories=new_category or ())
    counts = {name: value for name, value in asdict(report).items() if name != "invalid"}
    if json:
        render.print_json(asdict(report))
    else:
        render.show({**counts, "invalid": len(report.invalid)}, as_json=False, title="Imported")
        render.invalid_rows(report.invalid)
    if report.invalid:
        quoted = render.quote_problems([f"line {row.line}: {row.reason}" for row in report.invalid])
        raise ReviewError(
            f"{file}: {len(report.invalid)} of {report.rows} rows were not imported: {quoted}; fix them and import the "
            "file again"
        )


@app.command()
@of_task
def conflicts(
    settled: Annotated[
        bool, typer.Option("--all", help="Also list articles on which only a person and the source disagree.")
    ] = False,
    json: Json = False,
) -> None:
    """List the articles on which people disagree. They are not used for training or tests until resolved."""
    from classifier.pipeline.review import conflicts

    render.conflicts(conflicts.list_conflicts(workspace(), settled=settled), json)


@app.command()
@of_task
def decide(
    article: Annotated[int, typer.Argument(help="The article's id.")],
    annotator: Annotated[str, typer.Option(help="Name of the person who decides.")],
    category: Annotated[
        list[str] | None,
        typer.Argument(
            help="The category that the article gets; in a multi-label task, all of them.", show_default=False
        ),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="The article has no category of the multi-label task.")] = False,
    comment: Annotated[str | None, typer.Option(help="Reason of the decision; by default, none.")] = None,
    json: Json = False,
) -> None:
    """Resolve a conflict.

    Example: `classifier review decide 17 trade grain --annotator ann`
    """
    from classifier.pipeline.review import conflicts

    if bool(category) == none:
        raise ReviewError(f"article {article}: needs its category, or --none")
    resolution = conflicts.resolve_conflict(workspace(), article, category or [], annotator=annotator, comment=comment)
    values = asdict(resolution)
    shown = {name: value for name, value in values.items() if name != "categories"}
    render.show(values if json else shown, json, title="Decided")


@app.command()
@of_task
def status(json: Json = False) -> None:
    """Show what waits for review, and the champion's accuracy on the randomly drawn articles."""
    from classifier.pipeline.review import review_queue

    render_status.print_review_status(review_queue.read_status(workspace()), json)


@app.command()
@of_task
def agreement(json: Json = False) -> None:
    """Show how far annotators agree beyond chance, on the articles that at least two people annotated.

    Krippendorff's alpha over all and for each category, Cohen's kappa of each two annotators, and of each annotator and
    the majority of the others, in total and by month. 1 is perfect agreement, 0 is chance. Each person's first
    annotation of an article counts, before any conflict was resolved.
    """
    from classifier.cli import render_agreement
    from classifier.pipeline.review import annotator_agreement

    render_agreement.print_agreement(annotator_agreement.read_agreement(workspace()), json)
