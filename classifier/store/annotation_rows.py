"""List and retract annotations, of people and of sources. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, true

from classifier.store import tables, views
from classifier.store.queries import query


@dataclass(frozen=True, slots=True)
class AnnotationFilter:
    """Annotations by task, ids, annotator, their article's id, and the time from `since` to before `until`."""

    task_id: int | None = None
    ids: tuple[int, ...] = ()
    annotator: str | None = None
    external_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition on the tables `annotations` and `articles`."""
        annotations, articles = tables.annotations.c, tables.articles.c
        return and_(
            true() if self.task_id is None else annotations.task_id == self.task_id,
            *((annotations.id.in_(self.ids),) if self.ids else ()),
            *((annotations.annotator == self.annotator,) if self.annotator is not None else ()),
            *((articles.external_id == self.external_id,) if self.external_id is not None else ()),
            *((annotations.annotated_at >= self.since,) if self.since is not None else ()),
            *((annotations.annotated_at < self.until,) if self.until is not None else ()),
        )


def newest(connection: Connection, chosen: AnnotationFilter, *, limit: int | None) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return annotations in the categories of today, newest first, with their article's source and external_id."""
    annotations, articles, tasks = tables.annotations, tables.articles, tables.tasks
    present = func.present_categories(annotations.c.categories, tasks.c.former_names, tasks.c.present_names)
    others = (column for column in annotations.c if column.name != "categories")
    statement = (
        select(*others, present.label("categories"), articles.c.source, articles.c.external_id)
        .join(articles, articles.c.id == annotations.c.article_id)
        .join(tasks, tasks.c.id == annotations.c.task_id)
        .where(chosen.condition)
        .order_by(annotations.c.id.desc())
        .limit(limit)
    )
    return connection.execute(statement).all()


def ids_in_use(connection: Connection, chosen: AnnotationFilter) -> list[int]:
    """Return the annotations that were not retracted."""
    annotations, articles = tables.annotations, tables.articles
    statement = (
        select(annotations.c.id)
        .join(articles, articles.c.id == annotations.c.article_id)
        .where(chosen.condition, annotations.c.retracted_at.is_(None))
        .order_by(annotations.c.id)
    )
    return list(connection.execute(statement).scalars())


def existing(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are annotations."""
    return set(connection.execute(select(tables.annotations.c.id).where(tables.annotations.c.id.in_(ids))).scalars())


def retract(connection: Connection, ids: Sequence[int], retracted_by: str) -> list[tuple[int, int]]:
    """Retract annotations, and return the ids of their articles and tasks, a pair for each annotation."""
    values = {"ids": list(ids), "retracted_by": retracted_by}
    return [(row.article_id, row.task_id) for row in connection.execute(query("retract_annotations"), values)]


def of_article(connection: Connection, article_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the annotations of an article in every task that is not archived, the newest first.

    Columns: task, categories, annotator, annotated_at, comment and in_force.
    """
    annotations, tasks, in_force = tables.annotations.c, tables.tasks.c, views.annotations_in_force.c
    is_in_force = annotations.id.in_(select(in_force.id).where(in_force.article_id == article_id)).label("in_force")
    present = func.present_categories(annotations.categories, tasks.former_names, tasks.present_names)
    columns = (annotations.annotator, annotations.annotated_at, annotations.comment)
    statement = (
        select(tasks.name.label("task"), present.label("categories"), *columns, is_in_force)
        .join_from(tables.annotations, tables.tasks, tasks.id == annotations.task_id)
        .where(annotations.article_id == article_id, tasks.archived_at.is_(None))
    )
    return connection.execute(statement.order_by(annotations.id.desc())).all()
