"""The review queue and people's annotations. Functions take a connection and never commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select

from classifier import advisory_locks
from classifier.articles import model_input
from classifier.store import category_rows, tables, task_rows, views
from classifier.store.queries import query

SOURCE_ANNOTATORS = "source:%"
"""Pattern of annotators that are sources, not people."""

ReviewRows = Sequence[Row[*tuple[Any, ...]]]


def lock(connection: Connection) -> None:
    """Lock filling the review queue and importing annotations until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.REVIEWS)))


def candidate_pool(connection: Connection, model_id: int, *, share: float) -> ReviewRows:
    """Return the model's predictions on present texts, by article id, in a random share of the table's blocks.

    Columns: id, revision, category_indices, confidence, probabilities, cluster_id and choosable.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "percent": 100 * share}
    return connection.execute(query("review_candidates"), values).all()


def candidate_texts(connection: Connection, model_id: int, ids: Sequence[int]) -> dict[int, str]:
    """Return the articles without a near-duplicate that is annotated, queued or not in the train split, as texts by id.

    A text begins with its article's title, since that helps to tell articles apart, whatever the model reads.
    `ids` are choosable articles of a candidate pool.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "ids": _array(ids)}
    rows = connection.execute(query("review_candidate_texts"), values)
    return {row.id: model_input(row.text, row.title, read_title=True) for row in rows}


def rewritten_articles(connection: Connection, model_id: int, number: int) -> ReviewRows:
    """Return up to `number` articles that people annotated before their content changed.

    The model has labelled their present text. Columns: id, revision, category_indices and confidence.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "number": number}
    return connection.execute(query("rewritten_articles"), values).all()


def articles_before_split(connection: Connection, model_id: int, number: int) -> ReviewRows:
    """Return up to `number` articles whose annotation is in force no longer, because its category was split.

    The model has labelled them. Columns: id, revision, category_indices and confidence.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "number": number}
    return connection.execute(query("articles_before_split"), values).all()


def enqueue(connection: Connection, model_id: int, columns: Mapping[str, Sequence[Any]]) -> int:
    """Add articles to the review queue; return the number of new entries.

    `columns` has ids, revisions, reasons, positions (of the predicted categories, from 1) and confidences.
    """
    values = {name: list(column) for name, column in columns.items()}
    values["positions"] = [json.dumps(list(positions)) for positions in values["positions"]]
    return connection.execute(query("enqueue_reviews"), {"model_id": model_id, **values}).rowcount


def waiting_reviews(connection: Connection, model_id: int) -> ReviewRows:
    """Return the articles that wait in a model's review queue, oldest first.

    Columns: article_id, revision, reasons, predicted_categories and confidence.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id}
    return connection.execute(query("waiting_reviews"), values).all()


def waiting_reasons(connection: Connection, model_id: int, article_id: int) -> list[str]:
    """Return the reasons for which an article waits in a model's review queue; none if it does not wait."""
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "article_id": article_id}
    return list(connection.scalars(query("waiting_reasons"), values))


def articles_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    """Return source, external_id, split, revision, text, title and url of articles by id."""
    table = tables.articles
    names = ("id", "source", "external_id", "split", "revision", "text", "title", "url")
    statement = select(*(table.c[name] for name in names)).where(table.c.id.in_(ids))
    return {row.id: row for row in connection.execute(statement)}


def queued_revisions(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the present revisions of those of the articles that were ever queued for review in the task."""
    values = {"task_id": task_rows.current_id(connection), "ids": _array(ids)}
    rows = connection.execute(query("queued_revisions"), values)
    return {row.id: row.revision for row in rows}


def known_categories(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return those of the names that are a category of a model, an annotation or a change of the task."""
    values = {"names": list(names), "task_id": task_rows.current_id(connection)}
    return set(connection.scalars(query("known_categories"), values))


def categories_of_other_tasks(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return those of the names that are a category of another task, each with the name of one such task."""
    values = {"names": list(names), "task_id": task_rows.current_id(connection)}
    return {row.name: row.task for row in connection.execute(query("categories_of_other_tasks"), values)}


def model_categories(connection: Connection) -> set[str]:
    """Return the categories of all models of the task under their present names, without retired and split ones."""
    models = tables.models.c
    rows = connection.scalars(select(models.categories).where(models.task_id == task_rows.current_id(connection)))
    return category_rows.taxonomy(connection).active({name for categories in rows for name in categories})


def human_categories(connection: Connection) -> set[str]:
    """Return the categories of people's annotations for the task that were not retracted, and those of splits.

    They have their present names; retired and split ones are left out.
    """
    table = tables.annotations
    by_people = table.c.annotator.not_like(SOURCE_ANNOTATORS) & table.c.retracted_at.is_(None)
    of_task = table.c.task_id == task_rows.current_id(connection)
    names = set(connection.scalars(select(func.unnest(table.c.categories)).where(of_task, by_people).distinct()))
    present = category_rows.taxonomy(connection)
    return present.active(names.union(*present.splits.values()))


def annotated_categories(connection: Connection, size: int, task_id: int | None = None) -> set[str]:
    """Return the first `size` categories of a task's annotations, in alphabetical order; by default, of the task."""
    table = tables.categories
    of_task = table.c.task_id == (task_rows.current_id(connection) if task_id is None else task_id)
    return set(connection.scalars(select(table.c.name).where(of_task).order_by(table.c.name).limit(size)))


def last_annotation(connection: Connection, article_id: int, annotator: str) -> Row[*tuple[Any, ...]] | None:
    """Return the categories of an annotator's last annotation of an article, and whether it is in force."""
    table, in_force = tables.annotations, views.annotations_in_force
    of_task = table.c.task_id == task_rows.current_id(connection)
    by_annotator = (table.c.article_id == article_id) & of_task & (table.c.annotator == annotator)
    is_in_force = table.c.id.in_(select(in_force.c.id).where(in_force.c.article_id == article_id))
    columns = select(table.c.categories, is_in_force.label("in_force"))
    return connection.execute(columns.where(by_annotator).order_by(table.c.id.desc()).limit(1)).one_or_none()


def add_annotations(connection: Connection, columns: Mapping[str, Sequence[Any]]) -> tuple[int, list[int]]:
    """Insert people's annotations.

    `columns` has ids, revisions, categories (a sequence for each), annotators and comments.

    Returns:
        The number of new annotations, and the indices of those not inserted because the text has changed.
    """
    values: dict[str, Any] = {name: list(column) for name, column in columns.items()}
    values["categories"] = [json.dumps(sorted(names)) for names in values["categories"]]
    values |= {"task_id": task_rows.current_id(connection)}
    added, changed = connection.execute(query("insert_annotations"), values).one()
    return added, [ordinal - 1 for ordinal in changed]


def add_resolution(
    connection: Connection,
    article_id: int,
    categories: Sequence[str],
    annotator: str,
    comment: str | None,
    revision: int | None,
) -> bool:
    """Insert the annotation that resolves a disagreement on an article.

    Returns:
        Whether it was inserted. It is not if the text has another revision, or if no person's annotation is in force.
    """
    task_id, names = task_rows.current_id(connection), sorted(categories)
    values = {"task_id": task_id, "article_id": article_id, "categories": names, "annotator": annotator}
    values |= {"comment": comment, "revision": revision}
    task_rows.add_categories(connection, task_id, names)
    return connection.execute(query("insert_resolution"), values).rowcount == 1


def has_human_annotation(connection: Connection, article_id: int) -> bool:
    """Return whether a person's annotation of the article's present text is in force."""
    table = views.annotations_in_force
    of_article = (table.c.article_id == article_id) & (table.c.task_id == task_rows.current_id(connection))
    by_people = of_article & table.c.annotator.not_like(SOURCE_ANNOTATORS)
    return bool(connection.scalar(select(exists().where(by_people))))


def count_conflicts(connection: Connection) -> int:
    """Return the number of articles whose annotators disagree about the task."""
    return int(connection.execute(query("count_conflicts"), {"task_id": task_rows.current_id(connection)}).scalar_one())


def disagreements(connection: Connection, *, settled: bool, article_id: int | None = None) -> ReviewRows:
    """Return each annotator's last annotation of the articles on which people disagree, of all articles or of one.

    With `settled`, also of articles on which people agree and the source does not; these have `open` false.
    """
    values = {"task_id": task_rows.current_id(connection), "settled": settled, "article_id": article_id}
    return connection.execute(query("disagreements"), values).all()


def audited_predictions(connection: Connection, model_id: int, since: datetime | None) -> ReviewRows:
    """Return predicted_categories, confidence and annotated of a model's predictions drawn at random since a time.

    `annotated` is None if the article is not annotated, or if annotators disagree.
    """
    values = {"task_id": task_rows.current_id(connection), "model_id": model_id, "since": since}
    return connection.execute(query("audited_predictions"), values).all()


def _array(ids: Sequence[int]) -> str:
    # One string is faster: psycopg2 would adapt each number.
    return f"{{{','.join(map(str, ids))}}}"
