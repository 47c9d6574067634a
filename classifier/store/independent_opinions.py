"""What several people annotated independently of each other. Functions take a connection and never commit."""

from __future__ import annotations

from sqlalchemy import Connection

from classifier.store import task_rows
from classifier.store.queries import query
from classifier.store.reviews import ReviewRows


def independent_opinions(connection: Connection) -> ReviewRows:
    """Return each person's first annotation, before any resolution, of the articles that several people annotated.

    Only annotations of the present text count. Columns: article_id, annotator, categories and annotated_at.
    """
    return connection.execute(query("independent_opinions"), {"task_id": task_rows.current_id(connection)}).all()


def second_opinions(connection: Connection, *, people: int, days: int, article_id: int | None = None) -> ReviewRows:
    """Return the articles queued since some days that at least one person, but fewer than `people`, have annotated.

    With an article's id, only this article is looked up.

    Columns: those of `reviews.waiting_reviews`, and annotators.
    """
    task_id = task_rows.current_id(connection)
    values = {"task_id": task_id, "people": people, "days": days, "article_id": article_id}
    return connection.execute(query("second_opinions"), values).all()
