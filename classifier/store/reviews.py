"""What humans are asked to look at, and what they said. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select

from classifier import advisory_locks
from classifier.store import tables, views
from classifier.store.queries import query

OF_SOURCES = "source:%"
"""The annotators that are sources, as a pattern."""

ReviewRows = Sequence[Row[*tuple[Any, ...]]]


def lock(connection: Connection) -> None:
    """Let one transaction at a time fill the queue or take reviews in."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.REVIEWS)))


def candidate_pool(connection: Connection, model_id: int, *, share: float) -> ReviewRows:
    """Return what the model said of articles as they are, by id, in a share of the table's blocks drawn at random.

    Columns id, revision, category, confidence, probabilities, cluster_id and choosable.
    """
    return connection.execute(query("review_candidates"), {"model_id": model_id, "percent": 100 * share}).all()


def candidate_texts(connection: Connection, model_id: int, ids: Sequence[int]) -> dict[int, str]:
    """Return the texts of those of the articles of which no near-duplicate is annotated, queued or kept from training.

    `ids` are choosable articles of a pool.
    """
    rows = connection.execute(query("review_candidate_texts"), {"model_id": model_id, "ids": _array(ids)})
    return {row.id: row.text for row in rows}


def rewritten_articles(connection: Connection, model_id: int, number: int) -> ReviewRows:
    """Return up to so many articles of which people have annotated a text that is gone, and the model the present one.

    Columns id, revision, category and confidence.
    """
    return connection.execute(query("rewritten_articles"), {"model_id": model_id, "number": number}).all()


def enqueue(connection: Connection, model_id: int, columns: Mapping[str, Sequence[Any]]) -> int:
    """Ask for articles: ids, revisions, reasons, categories and confidences. Return how many are new."""
    values = {name: list(column) for name, column in columns.items()}
    return connection.execute(query("enqueue_reviews"), {"model_id": model_id, **values}).rowcount


def waiting_reviews(connection: Connection, model_id: int) -> ReviewRows:
    """Return what a model's queue still asks for, oldest first: article_id, revision, reasons, category, confidence."""
    return connection.execute(query("waiting_reviews"), {"model_id": model_id}).all()


def articles_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    """Return source, external_id, revision and text of articles by their id."""
    table = tables.articles
    columns = (table.c.id, table.c.source, table.c.external_id, table.c.revision, table.c.text)
    statement = select(*columns).where(table.c.id.in_(ids))
    return {row.id: row for row in connection.execute(statement)}


def queued_revisions(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the present revision of those of the articles that have ever been asked for."""
    rows = connection.execute(query("queued_revisions"), {"ids": _array(ids)})
    return {row.id: row.revision for row in rows}


def known_categories(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return those of the names that are a category of a model or of an annotation."""
    return {name for (name,) in connection.execute(query("known_categories"), {"names": list(names)})}


def model_categories(connection: Connection) -> set[str]:
    """Return the categories of all models."""
    return {name for (found,) in connection.execute(select(tables.models.c.categories)) for name in found}


def human_categories(connection: Connection) -> set[str]:
    """Return the categories that people have named in annotations."""
    table = tables.annotations
    return set(connection.scalars(select(table.c.category).where(table.c.annotator.not_like(OF_SOURCES)).distinct()))


def annotated_categories(connection: Connection, size: int) -> set[str]:
    """Return the first so many categories of all annotations."""
    return set(connection.scalars(query("annotated_categories"), {"size": size}))


def last_annotation(connection: Connection, article_id: int, annotator: str) -> Row[*tuple[Any, ...]] | None:
    """Return the category that an annotator named last for an article, and whether that is in force."""
    table, in_force = tables.annotations, views.annotations_in_force
    theirs = (table.c.article_id == article_id) & (table.c.annotator == annotator)
    holds = table.c.id.in_(select(in_force.c.id).where(in_force.c.article_id == article_id))
    columns = select(table.c.category, holds.label("in_force"))
    return connection.execute(columns.where(theirs).order_by(table.c.id.desc()).limit(1)).one_or_none()


def add_annotations(connection: Connection, columns: Mapping[str, Sequence[Any]]) -> tuple[int, list[int]]:
    """Insert people's annotations: ids, revisions, categories, annotators and comments.

    Returns:
        How many say something new, and the indices of those not inserted because the text has changed.
    """
    values = {name: list(column) for name, column in columns.items()}
    added, changed = connection.execute(query("insert_annotations"), values).one()
    return added, [place - 1 for place in changed]


def add_resolution(
    connection: Connection, article_id: int, category: str, annotator: str, comment: str | None, revision: int | None
) -> bool:
    """Insert the annotation that settles what people said of an article before.

    Returns:
        Whether it was inserted: not where the text is of another revision, or no person's annotation is in force.
    """
    values = {"article_id": article_id, "category": category, "annotator": annotator, "comment": comment}
    return connection.execute(query("insert_resolution"), {**values, "revision": revision}).rowcount == 1


def has_human_annotation(connection: Connection, article_id: int) -> bool:
    """Return whether a person's annotation of the article's present text is in force."""
    table = views.annotations_in_force
    by_people = (table.c.article_id == article_id) & table.c.annotator.not_like(OF_SOURCES)
    return bool(connection.scalar(select(exists().where(by_people))))


def count_conflicts(connection: Connection) -> int:
    """Count the articles that people disagree on."""
    return int(connection.execute(query("count_conflicts")).scalar_one())


def disagreements(connection: Connection, *, settled: bool, article_id: int | None = None) -> ReviewRows:
    """Return what each annotator says of the articles that people disagree on, by article; of one, if it is given.

    With `settled` also where people agree and the source says otherwise; there `open` is false.
    """
    return connection.execute(query("disagreements"), {"settled": settled, "article_id": article_id}).all()


def audited_predictions(connection: Connection, model_id: int, since: datetime | None) -> ReviewRows:
    """Return category, confidence and `annotated` of the labels of a model that were drawn at random since a time.

    `annotated` is None where nobody has said what is right, or people disagree.
    """
    return connection.execute(query("audited_predictions"), {"model_id": model_id, "since": since}).all()


def _array(ids: Sequence[int]) -> str:
    # one string: psycopg2 would adapt the numbers one by one
    return f"{{{','.join(map(str, ids))}}}"
