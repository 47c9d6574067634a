"""Dead letters: articles that a model could not label. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.articles import QueuedArticle
from classifier.store import labelling_queue, tables, task_rows
from classifier.store.queries import query


def newest(
    connection: Connection, *, source: str | None = None, model: str | None = None, limit: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the dead letters of articles' present texts, newest first."""
    letters, articles, models = tables.dead_letters, tables.articles, tables.models
    statement: Select[*tuple[Any, ...]] = (
        _of_present_texts(
            select(
                letters.c.article_id,
                articles.c.source,
                articles.c.external_id,
                models.c.name.label("model"),
                letters.c.reason,
                letters.c.failed_at,
            )
        )
        .join(models, models.c.id == letters.c.model_id)
        .where(models.c.task_id == task_rows.current_id(connection))
        .order_by(letters.c.failed_at.desc(), letters.c.article_id)
        .limit(limit)
    )
    if source is not None:
        statement = statement.where(articles.c.source == source)
    if model is not None:
        statement = statement.where(models.c.name == model)
    return connection.execute(statement).all()


def count(connection: Connection) -> int:
    """Return the number of articles whose present text a model could not label."""
    letters, models = tables.dead_letters, tables.models
    statement = (
        _of_present_texts(select(func.count(letters.c.article_id.distinct())))
        .join(models, models.c.id == letters.c.model_id)
        .where(models.c.task_id == task_rows.current_id(connection))
    )
    return int(connection.execute(statement).scalar_one())


def add(connection: Connection, model_id: int, article: QueuedArticle, reason: str) -> None:
    """Record that the model cannot label the article, and why."""
    values = {"article_id": article.id, "model_id": model_id, "revision": article.revision, "reason": reason}
    connection.execute(
        upsert(tables.dead_letters)
        .values(values)
        .on_conflict_do_update(
            index_elements=["article_id", "model_id"],
            set_={"revision": article.revision, "reason": reason, "failed_at": func.now()},
        )
    )


def retry(connection: Connection, *, source: str | None, model: str | None) -> tuple[int, int]:
    """Delete dead letters and enqueue their articles again.

    Returns:
        The number of deleted dead letters and the number of enqueued articles.
    """
    labelling_queue.lock(connection)
    values = {"task_id": task_rows.current_id(connection), "source": source, "model": model}
    letters, enqueued = connection.execute(query("retry_dead_letters"), values).one()
    return letters, enqueued


def _of_present_texts(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Exclude the dead letters of texts that have changed since."""
    letters, articles = tables.dead_letters, tables.articles
    same_text = (articles.c.id == letters.c.article_id) & (articles.c.revision == letters.c.revision)
    return statement.select_from(letters).join(articles, same_text)
