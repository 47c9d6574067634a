"""Counts of labels, exact or estimated from a sample of a table's blocks. Functions change nothing.

With a `share` below 1, Postgres reads only that share of the table's blocks, and the counts are scaled up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from classifier.store import task_rows
from classifier.store.queries import query


def sample_share(connection: Connection, rows: int, *, table: str = "articles") -> float:
    """Return the share of a table's blocks that holds about `rows` rows, or 1 if the table has fewer.

    The table's size is Postgres' own estimate, which VACUUM and ANALYZE update.
    """
    estimate: float = connection.execute(query("estimated_rows"), {"table": table}).scalar_one()
    return min(1.0, rows / max(estimate, 1))


def count_by_origin(connection: Connection, *, share: float = 1.0) -> dict[tuple[str, str], int]:
    """Return the number of articles by split and by origin of their label: annotation, prediction or none."""
    values = {"task_id": task_rows.current_id(connection), "percent": 100 * share}
    rows = connection.execute(query("label_counts_by_origin"), values)
    return {(row.split, row.origin): round(row.articles / share) for row in rows}


def count_by_day(connection: Connection, since: datetime, *, share: float = 1.0) -> dict[date, int]:
    """Return the number of predictions written on each day (UTC) since a time."""
    values = {"task_id": task_rows.current_id(connection), "since": since, "percent": 100 * share}
    rows = connection.execute(query("prediction_counts_by_day"), values)
    return {row.day: round(row.predictions / share) for row in rows}


@dataclass(frozen=True, slots=True)
class CategoryCounts:
    """The articles with a label, how many of them are annotated, and of how many it is the first label."""

    articles: int
    annotated: int
    first_labels: int


def count_by_category(connection: Connection, *, share: float = 1.0) -> dict[str | None, CategoryCounts]:
    """Return the counts of each label; None counts unlabelled articles.

    The labels are those that `article_labels` shows; "" counts articles that have none of a multi-label task.
    """
    values = {"task_id": task_rows.current_id(connection), "percent": 100 * share}
    rows = connection.execute(query("label_counts_by_category"), values)
    return {
        row.category: CategoryCounts(
            *(round(count / share) for count in (row.articles, row.annotated, row.first_labels))
        )
        for row in rows
    }
