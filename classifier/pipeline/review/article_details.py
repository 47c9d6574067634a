"""An article with its labels and annotations in every task, as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from classifier.exceptions import ArticleNotFoundError
from classifier.pipeline.review import overlap
from classifier.pipeline.review.sheets import BLIND_REASONS
from classifier.pipeline.use_case import use_case
from classifier.settings import Settings
from classifier.store import annotation_rows, article_labels, model_rows, reviews, task_rows
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TaskLabels:
    """The labels of an article in a task; `confidences` are empty for an annotation, `labels` None if it waits."""

    task: str
    labels: tuple[str, ...] | None
    confidences: tuple[float, ...]
    origin: str | None
    abstained: bool
    model: str | None
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ArticleAnnotation:
    """An annotation of an article in a task, and whether it is in force."""

    task: str
    categories: tuple[str, ...]
    annotator: str
    annotated_at: datetime
    comment: str | None
    in_force: bool


@dataclass(frozen=True, slots=True)
class ArticleDetails:
    """An article, with its labels and annotations in every task that is not archived, the newest annotation first.

    `hidden_tasks` are the tasks in which the reader should annotate the article first, without knowing its label or
    another person's answer: no label or annotation of these tasks is among the details. `is_blind` says that the answer
    of the model of the workspace's task must not be shown or explained either. `has_champion` says whether it has one.
    """

    id: int
    source: str
    external_id: str
    revision: int
    text: str
    title: str | None
    url: str | None
    labels: tuple[TaskLabels, ...]
    annotations: tuple[ArticleAnnotation, ...]
    hidden_tasks: tuple[str, ...]
    is_blind: bool
    has_champion: bool


@dataclass(frozen=True, slots=True)
class Blindness:
    """What must not influence a reader who should annotate an article: labels and annotations, the model's answer."""

    to_labels: bool
    to_model: bool


@use_case
def read_article(workspace: Workspace, article_id: int, reader: str) -> ArticleDetails:
    """Return an article by its id, for the reader of this name.

    Raises:
        ArticleNotFoundError: there is no such article.
    """
    with workspace.database.connect() as connection:
        row = reviews.articles_by_id(connection, [article_id]).get(article_id)
        if row is None:
            raise ArticleNotFoundError(f"article {article_id}: not found; it may have been erased")
        labels, annotations = _labels(connection, article_id), _annotations(connection, article_id)
        has_champion, task = model_rows.champion(connection) is not None, task_rows.current(connection)
        tasks = task_rows.active(connection)
    blind = {each.id: _read_blindness(workspace.with_task(each.id), article_id, reader) for each in tasks}
    hidden = tuple(each.name for each in tasks if blind[each.id].to_labels)
    return ArticleDetails(
        row.id,
        row.source,
        row.external_id,
        row.revision,
        row.text,
        row.title,
        row.url,
        tuple(label for label in labels if label.task not in hidden),
        tuple(annotation for annotation in annotations if annotation.task not in hidden),
        hidden,
        blind[task.id].to_model,
        has_champion,
    )


def find_blindness(connection: Connection, settings: Settings, article_id: int, reader: str) -> Blindness:
    """Return what must not influence the reader, if the article waits for their annotation in the connection's task.

    An article that is annotated may wait for further people. They see the model's answer if the first person saw it.
    """
    champion = model_rows.champion(connection)
    reasons = set(reviews.waiting_reasons(connection, champion.id, article_id) if champion else ())
    further = [
        row
        for row in overlap.load_second_opinions(connection, settings, article_id=article_id)
        if reader not in row.annotators
    ]
    reasons.update(*(row.reasons for row in further))
    to_model = not BLIND_REASONS.isdisjoint(reasons)
    return Blindness(to_labels=to_model or bool(further), to_model=to_model)


def _read_blindness(workspace: Workspace, article_id: int, reader: str) -> Blindness:
    with workspace.database.connect() as connection:
        return find_blindness(connection, workspace.settings, article_id, reader)


def _labels(connection: Connection, article_id: int) -> list[TaskLabels]:
    return [
        TaskLabels(
            row.task,
            None if row.labels is None else tuple(row.labels),
            tuple(row.confidences or ()),
            row.origin,
            bool(row.abstained),
            row.model,
            row.labelled_at,
        )
        for row in article_labels.of_article(connection, article_id)
    ]


def _annotations(connection: Connection, article_id: int) -> list[ArticleAnnotation]:
    return [
        ArticleAnnotation(
            row.task, tuple(row.categories), row.annotator, row.annotated_at, row.comment, bool(row.in_force)
        )
        for row in annotation_rows.of_article(connection, article_id)
    ]
