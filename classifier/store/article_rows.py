"""The rows of articles: merged from an ingest's staging tables. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from classifier.store import labelling_queue, staging, tables
from classifier.store.queries import query


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What the staged articles changed. `articles` counts distinct staged articles; some are `new` or `changed`."""

    articles: int
    new: int
    changed: int
    annotations: int
    enqueued: int


def merge_staged(connection: Connection, run_id: int) -> MergeCounts:
    """Upsert the staged articles, with their annotations, and enqueue those that need a label.

    The texts must have their splits already. If a text becomes another one, annotations stay in force only if
    `text_changes.add_small_changes` recorded the change before. Each row records the ingest run that brought it.
    """
    staged = sum(step["last"] - step["first"] + 1 for step in staging.steps(connection, "staged_articles"))
    superseded = staging.execute_in_steps(connection, "staged_articles", query("mark_superseded"))
    changed = staging.execute_in_steps(connection, "staged_articles", query("merge_staged_articles"), run_id=run_id)
    annotate = query("annotate_staged_articles")
    annotations: int = sum(
        connection.execute(annotate, {**step, "run_id": run_id}).scalar_one()
        for step in staging.steps(connection, "staged_articles")
    )
    labelling_queue.lock(connection)
    staging.execute_in_steps(connection, "staged_articles", query("dequeue_annotated"))
    enqueued = staging.execute_in_steps(connection, "staged_changes", query("enqueue_staged_articles"))
    steps = staging.steps(connection, "staged_changes")
    new: int = sum(connection.execute(query("count_new"), step).scalar_one() for step in steps)
    return MergeCounts(staged - superseded, new, changed - new, annotations, enqueued)


def last_id(connection: Connection) -> int:
    """Return the highest id of an article, or 0 if there are no articles."""
    return int(connection.scalar(select(func.max(tables.articles.c.id))) or 0)


def describe(connection: Connection, ids: Sequence[int], *, with_text: bool = False) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return how readers know the articles: id, source, external_id and text_hash; title and url; and the text."""
    articles = tables.articles.c
    names = ("id", "source", "external_id", "text_hash", "title", "url", *(("text",) if with_text else ()))
    return connection.execute(select(*(articles[name] for name in names)).where(articles.id.in_(ids))).all()


def find(connection: Connection, source: str, external_id: str) -> Row[*tuple[Any, ...]] | None:
    """Return id, source, external_id, revision, text, title and url of an article, by its source and its id there."""
    articles = tables.articles.c
    names = ("id", "source", "external_id", "revision", "text", "title", "url")
    of_source = (articles.source == source) & (articles.external_id == external_id)
    return connection.execute(select(*(articles[name] for name in names)).where(of_source)).one_or_none()
