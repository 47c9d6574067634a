"""Stream the labels of articles. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Row,
    Select,
    Table,
    and_,
    cast,
    exists,
    func,
    or_,
    select,
)

from classifier.store import tables, views
from classifier.store.queries import query

ROWS_PER_FETCH = 5000
"""Rows that are in memory at a time."""

TEXT_COLUMN = "text"


@dataclass(frozen=True, slots=True)
class LabelSelection:
    """Which labels are exported.

    Attributes:
        task: Only labels of the task of this name; by default, of all tasks.
        source: Only articles of this source; by default, of all.
        since: Only articles published, or if that is unknown ingested, at or after this time.
        changed_since: Only labels that may have changed at or after this time; see `_changed`.
        with_text: Whether each row has the article's text.
        by_article: One row for each article and task, with its labels as a list, instead of one for each label.
    """

    task: str | None = None
    source: str | None = None
    since: datetime | None = None
    changed_since: datetime | None = None
    with_text: bool = False
    by_article: bool = False

    @property
    def view(self) -> Table:
        """The view that is exported."""
        return views.article_label_sets if self.by_article else views.article_labels

    @property
    def columns(self) -> tuple[tuple[str, Any], ...]:
        """The names of the columns with their SQL types: those of the view, then the text."""
        columns = tuple((column.name, column.type) for column in self.view.c)
        return (*columns, (TEXT_COLUMN, tables.articles.c.text.type)) if self.with_text else columns


def stream(connection: Connection, selection: LabelSelection) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield pages of rows in the order of `selection.columns`, by article id, from a cursor on the server.

    All rows are of one moment. A time is its number of microseconds since 1970 in UTC.
    """
    # By default, Postgres plans a cursor for its first rows only.
    connection.execute(select(func.set_config("cursor_tuple_fraction", "1.0", True)))
    rows = connection.execute(_statement(selection), execution_options={"yield_per": ROWS_PER_FETCH})
    yield from rows.partitions()


def of_article(connection: Connection, article_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rows of the view `article_label_sets` of an article, one for each task, by the tasks' names."""
    view = views.article_label_sets
    return connection.execute(select(view).where(view.c.article_id == article_id).order_by(view.c.task)).all()


def settled_until(connection: Connection) -> datetime:
    """Return a time before which no running transaction writes: labels from then on may be missing in an export.

    A label's time is the start of its transaction, which others see only at its end. Call this before `stream`.
    """
    moment: datetime = connection.execute(query("labels_settled_until")).scalar_one()
    return moment


def _statement(selection: LabelSelection) -> Select[Any]:
    labels, articles = selection.view, tables.articles
    columns = [_microseconds(column) if isinstance(column.type, DateTime) else column for column in labels.c]
    statement = select(*columns).order_by(labels.c.article_id)
    if selection.with_text or selection.since is not None or selection.changed_since is not None:
        statement = statement.join(articles, articles.c.id == labels.c.article_id)
    if selection.with_text:
        statement = statement.add_columns(articles.c.text)
    if selection.task is not None:
        statement = statement.where(labels.c.task == selection.task)
    if selection.source is not None:
        statement = statement.where(labels.c.source == selection.source)
    if selection.since is not None:
        statement = statement.where(func.coalesce(articles.c.published_at, articles.c.ingested_at) >= selection.since)
    if selection.changed_since is not None:
        return statement.where(_changed(labels, selection.changed_since))
    return statement.where(labels.c.origin.is_not(None))


def _changed(labels: Table, moment: datetime) -> ColumnElement[bool]:
    """Return the condition that an article's label may have changed at or after a time.

    Since then the article was labelled or annotated, or one of its annotations was retracted, or another model became
    champion, or its text changed. A changed article that waits to be labelled again is included, without a label.
    """
    articles = tables.articles
    annotations, models = tables.annotations, tables.models
    is_new = or_(annotations.c.annotated_at >= moment, annotations.c.retracted_at >= moment)
    tasks = tables.tasks
    of_task = (tasks.c.id == annotations.c.task_id) & (tasks.c.name == labels.c.task)
    annotated = exists().where(annotations.c.article_id == articles.c.id, of_task, is_new)
    of_task = (tasks.c.id == models.c.task_id) & (tasks.c.name == labels.c.task)
    promoted = exists().where(of_task, models.c.status == "champion", models.c.promoted_at >= moment)
    return or_(
        labels.c.labelled_at >= moment,
        annotated,
        and_(articles.c.changed_at >= moment, articles.c.revision > 1),
        and_(labels.c.origin.is_distinct_from("annotation"), promoted),
    )


def _microseconds(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a time as a whole number, which is much faster to read than a time and has no time zone."""
    return cast(func.extract("epoch", column) * 1_000_000, BigInteger).label(column.key)
