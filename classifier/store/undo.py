"""What an ingest run brought, to take it back. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from classifier.store import tables
from classifier.store.queries import query

BATCH_SIZE = 5000
"""Rows that one statement processes."""


def find_run(connection: Connection, run_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return an ingest run, locked until the transaction ends, or None if there is no such run."""
    runs = tables.ingest_runs
    return connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one_or_none()


def articles_of(connection: Connection, run_id: int) -> list[int]:
    """Return the articles that a run inserted."""
    return list(connection.execute(query("articles_of_run"), {"run_id": run_id}).scalars())


def lock_articles(connection: Connection, ids: Sequence[int]) -> None:
    """Lock articles. They must have left the labelling queue: a worker that has claimed one waits for this lock."""
    for batch in batches(ids):
        connection.execute(query("lock_articles"), {"ids": batch})


def count_newer(connection: Connection, run_id: int, ids: Sequence[int]) -> dict[str, int]:
    """Return how many annotations and changes were built on the articles after their run, by kind."""
    totals: dict[str, int] = {}
    for batch in batches(ids):
        row = connection.execute(query("newer_on_articles"), {"run_id": run_id, "ids": batch}).mappings().one()
        totals = {name: totals.get(name, 0) + count for name, count in row.items()}
    return totals


def changed_by(connection: Connection, run_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, source and external_id of articles of other runs whose texts this run changed."""
    return connection.execute(query("articles_changed_by_run"), {"run_id": run_id}).all()


def annotations_of(connection: Connection, run_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, article_id and task_id of the annotations that a run added to texts of other runs."""
    return connection.execute(query("annotations_of_run"), {"run_id": run_id}).all()


def delete_annotations(connection: Connection, ids: Sequence[int]) -> None:
    """Delete annotations."""
    for batch in batches(ids):
        connection.execute(query("delete_annotations"), {"ids": batch})


def count_rejected(connection: Connection, run_id: int) -> int:
    """Return the number of a run's rejected rows."""
    rows = tables.rejected_rows
    return int(connection.scalar(select(func.count()).where(rows.c.run_id == run_id)) or 0)


def delete_rejected(connection: Connection, run_id: int) -> None:
    """Delete the rejected rows of a run."""
    connection.execute(query("delete_rejected_rows_of_run"), {"run_id": run_id})


def mark_undone(connection: Connection, run_id: int) -> None:
    """Record that a run was undone."""
    runs = tables.ingest_runs
    connection.execute(update(runs).where(runs.c.id == run_id).values(undone_at=func.now()))


def enqueue_unannotated(connection: Connection, pairs: Sequence[tuple[int, int]]) -> int:
    """Enqueue articles for tasks, as pairs of ids, if they have no annotation in force; return the number of entries.

    The queue must be locked.
    """
    statement, total = query("enqueue_unannotated"), 0
    for first in range(0, len(pairs), BATCH_SIZE):
        batch = pairs[first : first + BATCH_SIZE]
        values = {"ids": [article for article, _ in batch], "tasks": [task for _, task in batch]}
        total += connection.execute(statement, values).rowcount
    return total


def batches(ids: Sequence[int]) -> Iterator[list[int]]:
    """Yield the ids in batches."""
    return (list(ids[first : first + BATCH_SIZE]) for first in range(0, len(ids), BATCH_SIZE))
