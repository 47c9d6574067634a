"""Which articles wait for an annotator: those that no person has annotated, and a share of the others for more people.

The setting `review_overlap` is the share of the queue that `review_annotators` people annotate, to measure how far they
agree. A hash of the article's id decides, so a larger share only adds articles. Such an article stays in the queue
until enough people have annotated its present text, until a conflict on it is resolved, or for `DAYS` days; a new
champion does not end that. An annotator never gets an article again that they have annotated.

Articles that wait for further people do not count towards the size to which the queue is filled. Otherwise they would
displace new articles while one person annotates alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from classifier.settings import Settings
from classifier.store import independent_opinions, reviews

DAYS = 30
"""Days after which an article no longer waits for further people: the wait must end if no other person annotates."""

WaitingRow = Row[*tuple[Any, ...]]
"""A row of `reviews.waiting_reviews`."""


def load_waiting(
    connection: Connection, settings: Settings, model_id: int, annotator: str | None = None
) -> list[WaitingRow]:
    """Return the articles that wait for an annotator, the oldest first, those for further people last.

    Without an annotator, return only articles that no person has annotated: a reader may have annotated the others.
    """
    rows = {row.article_id: row for row in reviews.waiting_reviews(connection, model_id)}
    if annotator is not None:
        second = load_second_opinions(connection, settings)
        rows |= {row.article_id: row for row in second if annotator not in row.annotators}
    return list(rows.values())


def load_second_opinions(
    connection: Connection, settings: Settings, *, article_id: int | None = None
) -> Sequence[WaitingRow]:
    """Return the articles that wait for further people, with the people who have annotated them; or only this one."""
    if not settings.review_overlap or (article_id is not None and not is_shared(article_id, settings.review_overlap)):
        return []
    rows = independent_opinions.second_opinions(
        connection, people=settings.review_annotators, days=DAYS, article_id=article_id
    )
    return [row for row in rows if is_shared(row.article_id, settings.review_overlap)]


def is_shared(article_id: int, share: float) -> bool:
    """Return whether an article is among the share of articles that several people annotate."""
    digest = hashlib.sha256(f"overlap {article_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
