"""List annotations, and retract wrong ones. A retracted annotation is kept, with the account that retracted it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from classifier.articles import join_labels
from classifier.exceptions import ReviewError
from classifier.pipeline.use_case import use_case
from classifier.store import annotation_rows, labelling_queue, reviews, task_rows, undo
from classifier.store.annotation_rows import AnnotationFilter
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AnnotationDetails:
    """An annotation of an article; `category` shows its categories as one text.

    `retracted_at` is None if it was not retracted.
    """

    annotation_id: int
    source: str
    external_id: str
    category: str
    annotator: str
    annotated_at: datetime
    comment: str | None
    retracted_at: datetime | None
    retracted_by: str | None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retracted:
    """The annotations that were retracted or, if `done` is false, would be, and their articles.

    `enqueued` articles have no annotation in force any more, and wait for a label.
    """

    annotations: int
    articles: int = 0
    enqueued: int = 0
    done: bool = False


@use_case
def list_annotations(workspace: Workspace, chosen: AnnotationFilter, *, limit: int = 20) -> list[AnnotationDetails]:
    """Return annotations, newest first."""
    with workspace.database.connect() as connection:
        rows = annotation_rows.newest(connection, _of_task(connection, chosen), limit=limit)
    return [
        AnnotationDetails(
            row.id,
            row.source,
            row.external_id,
            join_labels(row.categories),
            row.annotator,
            row.annotated_at,
            row.comment,
            row.retracted_at,
            row.retracted_by,
            tuple(row.categories),
        )
        for row in rows
    ]


@use_case
def retract(workspace: Workspace, chosen: AnnotationFilter, *, yes: bool = False) -> Retracted:
    """Retract annotations, so that they count nowhere; without `yes`, only count them.

    Raises:
        ReviewError: an id is unknown, or no annotation is left to retract.
    """
    with workspace.database.begin() as connection:
        if yes:
            reviews.lock(connection)
        chosen = _of_task(connection, chosen)
        _refuse_unknown(chosen.ids, annotation_rows.existing(connection, chosen.ids))
        ids = annotation_rows.ids_in_use(connection, chosen)
        if not ids:
            raise ReviewError("no annotation is left to retract; see: classifier annotations")
        if not yes:
            return Retracted(len(ids))
        pairs = [
            pair
            for batch in undo.batches(ids)
            for pair in annotation_rows.retract(connection, batch, getpass.getuser())
        ]
        task_rows.delete_unused_categories(connection)
        labelling_queue.lock(connection)
        enqueued = undo.enqueue_unannotated(connection, sorted(set(pairs)))
    return Retracted(len(pairs), len({article for article, _ in pairs}), enqueued, done=True)


def _of_task(connection: Connection, chosen: AnnotationFilter) -> AnnotationFilter:
    """Return the annotations of the task; if they are named by their ids, their task does not matter."""
    return chosen if chosen.ids else replace(chosen, task_id=task_rows.current_id(connection))


def _refuse_unknown(ids: Sequence[int], existing: set[int]) -> None:
    if unknown := sorted(set(ids) - existing):
        raise ReviewError(f"annotation {unknown[0]}: unknown; see: classifier annotations")
