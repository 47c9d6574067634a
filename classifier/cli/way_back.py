"""`classifier runs` and `classifier annotations`: see what came in, and take it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace
from classifier.exceptions import ReviewError

if TYPE_CHECKING:
    from classifier.store.annotation_rows import AnnotationFilter

runs_app = typer.Typer(help="List ingests, or undo one.", invoke_without_command=True)
annotations_app = typer.Typer(
    help="List the annotations of people and sources, or retract wrong ones.", invoke_without_command=True
)

Source = Annotated[str | None, typer.Option(help="Only the runs of this source, as the list names it.")]
Limit = Annotated[int, typer.Option(min=1, help="Maximum rows to show, the newest.")]
Annotator = Annotated[
    str | None, typer.Option(help='Only annotations of this annotator; a source\'s annotator is "source:NAME".')
]
ExternalId = Annotated[str | None, typer.Option("--id", help="Only annotations of articles with this id.")]
Since = Annotated[datetime | None, typer.Option(help="Only annotations made at or after this time (UTC).")]
Until = Annotated[datetime | None, typer.Option(help="Only annotations made before this time (UTC).")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; by default, only show what would be done.")]

_NOT_DONE = "Nothing was changed. Add --yes to do it."


@runs_app.callback()
def list_runs(context: typer.Context, source: Source = None, limit: Limit = 20, json: Json = False) -> None:
    """List the ingests with their counts, newest first, if no command is given."""
    if context.invoked_subcommand is not None:
        return
    from classifier.pipeline.ingest import undo

    columns = {"run": "id", "source": "source", "began": "started_at", "state": "state"}
    rows = undo.list_runs(workspace(), source=source, limit=limit)
    empty = "none yet; run: classifier ingest FILES, or classifier sources ingest"
    render.print_list(rows, json, "Ingests", {**columns, **{name: name for name in render.COUNTS}}, empty=empty)


@runs_app.command("undo")
def undo_run(
    run: Annotated[int, typer.Argument(help="Number of the run, as the list shows it.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take back what one ingest brought, if nothing newer builds on it: articles, categories and rejected rows.

    Texts that it changed stay, because the former texts are not kept; their articles are listed.
    """
    from classifier.pipeline.ingest import undo

    report = undo.undo_run(workspace(), run, yes=yes)
    if json:
        render.show(report, json)
        return
    values = {"articles": report.articles, "categories of other articles": report.categories}
    values |= {"rejected rows": report.rejected_rows, "enqueued for a label": report.enqueued}
    render.show(values, as_json=False, title="Undone" if report.done else "Would be undone")
    if report.changed_kept:
        named = ", ".join(f"{article.source} {article.external_id}" for article in report.changed)
        more = " …" if report.changed_kept > len(report.changed) else ""
        render.warn(f"{report.changed_kept} articles keep the texts that the run changed: {named}{more}")
    render.STDOUT.print(_ENDED if report.done else _NOT_DONE)


_ENDED = "Files and feeds that were read are not read again until they change; to read a file again, ingest it by name."


@annotations_app.callback()
def list_annotations(
    context: typer.Context,
    annotator: Annotator = None,
    id: ExternalId = None,  # noqa: A002
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the annotations, newest first, if no command is given."""
    if context.invoked_subcommand is not None:
        return
    from classifier.pipeline.review import retraction

    rows = retraction.list_annotations(workspace(), _filter((), annotator, id, since, until), limit=limit)
    columns = {"annotation": "annotation_id", "source": "source", "id": "external_id", "category": "category"}
    columns |= {"annotator": "annotator", "when": "annotated_at", "retracted": "retracted_at"}
    render.print_list(rows, json, "Annotations", columns)


@annotations_app.command()
def retract(
    annotation: Annotated[
        list[int] | None, typer.Argument(help="Numbers of annotations, as the list shows them.")
    ] = None,
    annotator: Annotator = None,
    id: ExternalId = None,  # noqa: A002
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Retract annotations: they count nowhere, but stay stored with the account that retracted them.

    Articles that lose their last annotation are enqueued for a label.

    Example: `classifier annotations retract --annotator ann --since 2026-05-01 --yes`
    """
    from classifier.pipeline.review import retraction

    if not annotation and annotator is None and id is None:
        raise ReviewError("no annotation is named; give numbers, --annotator or --id")
    report = retraction.retract(workspace(), _filter(annotation or (), annotator, id, since, until), yes=yes)
    render.show(report, json, title="Retracted" if report.done else "Would be retracted")
    if not report.done and not json:
        render.STDOUT.print(_NOT_DONE)


def _filter(
    ids: list[int] | tuple[int, ...],
    annotator: str | None,
    external_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> AnnotationFilter:
    from classifier.store.annotation_rows import AnnotationFilter

    return AnnotationFilter(tuple(ids), annotator, external_id, since and _to_utc(since), until and _to_utc(until))


def _to_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
