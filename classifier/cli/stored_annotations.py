"""`classifier annotations`: list the annotations of people and sources, and retract wrong ones."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, of_task, to_utc, workspace
from classifier.exceptions import ReviewError

if TYPE_CHECKING:
    from classifier.store.annotation_rows import AnnotationFilter

app = typer.Typer(
    help="List the annotations of people and sources, or retract wrong ones.", invoke_without_command=True
)

Annotator = Annotated[
    str | None, typer.Option(help='Only annotations of this annotator; a source\'s annotator is "source:NAME".')
]
ExternalId = Annotated[str | None, typer.Option("--id", help="Only annotations of articles with this id.")]
Since = Annotated[datetime | None, typer.Option(help="Only annotations made at or after this time (UTC).")]
Until = Annotated[datetime | None, typer.Option(help="Only annotations made before this time (UTC).")]


@app.callback()
@of_task
def list_annotations(
    context: typer.Context,
    annotator: Annotator = None,
    id: ExternalId = None,  # noqa: A002
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of annotations, the newest.")] = 20,
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


@app.command()
@of_task
def retract(
    annotation: Annotated[
        list[int] | None, typer.Argument(help="Numbers of annotations, as the list shows them.")
    ] = None,
    annotator: Annotator = None,
    id: ExternalId = None,  # noqa: A002
    since: Since = None,
    until: Until = None,
    yes: Annotated[bool, typer.Option("--yes", help="Retract them; by default, only count them.")] = False,
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
        render.STDOUT.print("Nothing was changed. Add --yes to retract them.")


def _filter(
    ids: list[int] | tuple[int, ...],
    annotator: str | None,
    external_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> AnnotationFilter:
    from classifier.store.annotation_rows import AnnotationFilter

    return AnnotationFilter(None, tuple(ids), annotator, external_id, to_utc(since), to_utc(until))
