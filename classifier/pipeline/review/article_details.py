"""An article with its labels and annotations in every task, as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from classifier.exceptions import ArticleNotFoundError
from classifier.pipeline.review.sheets import BLIND_REASONS
from classifier.pipeline.use_case import use_case
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

    `is_blind` says that the article waits for review in the workspace's task and its label must not be shown: then no
    label or annotation of that task is among the details. `has_champion` says whether a model can explain its label.
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
    is_blind: bool
    has_champion: bool


@use_case
def read_article(workspace: Workspace, article_id: int) -> ArticleDetails:
    """Return an article by its id.

    Raises:
        ArticleNotFoundError: there is no such article.
    """
    with workspace.database.connect() as connection:
        row = reviews.articles_by_id(connection, [article_id]).get(article_id)
        if row is None:
            raise ArticleNotFoundError(f"article {article_id}: not found; it may have been erased")
        blind, task = is_blind(connection, article_id), task_rows.current(connection).name
        hidden = {task} if blind else set()
        return ArticleDetails(
            row.id,
            row.source,
            row.external_id,
            row.revision,
            row.text,
            row.title,
            row.url,
            tuple(label for label in _labels(connection, article_id) if label.task not in hidden),
            tuple(each for each in _annotations(connection, article_id) if each.task not in hidden),
            blind,
            model_rows.champion(connection) is not None,
        )


def is_blind(connection: Connection, article_id: int) -> bool:
    """Return whether the article waits for an annotation that the model's answer must not influence."""
    champion = model_rows.champion(connection)
    reasons = reviews.waiting_reasons(connection, champion.id, article_id) if champion else []
    return not BLIND_REASONS.isdisjoint(reasons)


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
