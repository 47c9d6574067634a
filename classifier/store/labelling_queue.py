"""The queue of articles that wait for a label. Functions take a connection and never commit.

Three kinds of transactions use the queue, and they must not deadlock:

- A *page* claims rows of the queue. It skips rows that others hold, so it never waits.
- An *ingest*, or a retry of dead letters, adds rows. It takes one advisory lock, since two of them may lock the same
  rows in different orders. An ingest of a changed text waits for the page that holds the article.
- A champion's *backfill* adds rows too, and never waits: if it cannot acquire its locks at once, it is retried later.
  So it blocks neither an ingest nor a worker with new articles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from classifier import advisory_locks
from classifier.articles import QueuedArticle, model_input
from classifier.store import tables, task_rows
from classifier.store.queries import query

NEW, BACKFILL = 0, 1
"""Priorities: new and changed articles, and articles that a new champion has to label again."""

Position = tuple[int, int]
"""Priority and article id of a row of the queue."""

START: Position = (-1, 0)
"""Before the first row of the queue."""

PAGE_BYTES = 32 * 2**20
"""Limit on the UTF-8 bytes of a page's texts: three pages are in memory at once. A single article may exceed it."""


class PageTooLargeError(Exception):
    """The claimed texts are too large for a page: roll back, and claim only `fitting` articles."""

    def __init__(self, fitting: int) -> None:
        super().__init__(fitting)
        self.fitting = fitting


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the waiting articles to label; by default all.

    `since` refers to the time of publication or, if that is unknown, of ingest.
    """

    new: bool = True
    backfill: bool = True
    source: str | None = None
    since: datetime | None = None

    @property
    def priorities(self) -> dict[str, int]:
        """The first and the last selected priority."""
        return {"first": NEW if self.new else BACKFILL, "last": BACKFILL if self.backfill else NEW}

    @property
    def of_articles(self) -> dict[str, Any]:
        """The conditions on articles; empty if there are none."""
        conditions = {"source": self.source, "since": self.since}
        return conditions if any(conditions.values()) else {}


@dataclass(frozen=True, slots=True)
class BackfillChunk:
    """The number of articles that a chunk of the backfill enqueued; `finished` if there is no further chunk."""

    enqueued: int
    finished: bool


def lock(connection: Connection) -> None:
    """Lock adding to the queue until the transaction ends; workers that label are not blocked."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.LABELLING_QUEUE)))


def try_lock_pages(connection: Connection, model_id: int) -> bool:
    """Prevent pages of a model until the transaction ends; return False if one is open."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(advisory_locks.OPEN_PAGES, model_id))))


def claim(
    connection: Connection,
    model_id: int,
    size: int,
    selection: Selection,
    after: Position = START,
    *,
    read_title: bool = False,
) -> tuple[list[QueuedArticle], Position]:
    """Claim up to `size` articles of the queue until the transaction ends, new articles first.

    `read_title` says whether the model reads titles.

    Returns:
        The articles, ordered by id, and the position after which the next claim of the same selection continues. A
        claim that finds no article after its position starts again at the beginning.

    Raises:
        PageTooLargeError: the texts are too large for a page; none of them has been read.
    """
    connection.execute(query("open_page"), {"pages": advisory_locks.OPEN_PAGES, "model_id": model_id})
    values = {"task_id": task_rows.current_id(connection), "size": size, **selection.priorities}
    if not selection.of_articles:
        claimed = connection.execute(query("claim_page"), values).all()
    else:
        position = {"after_priority": after[0], "after_id": after[1]}
        values = {**values, **selection.of_articles, **position}
        claimed = connection.execute(query("claim_selected_page"), values).all()
        if not claimed and after != START:
            return claim(connection, model_id, size, selection, read_title=read_title)
    if not claimed:
        return [], START
    _check_size(claimed)
    rows = connection.execute(query("claimed_articles"), {"ids": [row.article_id for row in claimed]})
    articles = [
        QueuedArticle(row.id, row.revision, model_input(row.text, row.title, read_title=read_title)) for row in rows
    ]
    return articles, max((row.priority, row.article_id) for row in claimed)


def enqueue_backfill_chunk(connection: Connection, model_id: int, size: int) -> BackfillChunk | None:
    """Enqueue those of the next `size` articles that the champion has not labelled.

    Returns:
        The chunk; it is empty and finished if the backfill was finished before. None if it must be retried: another
        transaction continues the backfill, adds to the queue, or has a page of a former champion open.
    """
    after = connection.execute(query("claim_backfill"), {"model_id": model_id}).scalar_one_or_none()
    if after is None or not _try_lock_exclusively(connection, model_id):
        return None
    values = {"model_id": model_id, "task_id": task_rows.current_id(connection), "after": after, "size": size}
    last, enqueued = connection.execute(query("enqueue_backfill_chunk"), values).one()
    connection.execute(update(tables.models).where(tables.models.c.id == model_id).values(backfilled_to=last))
    return BackfillChunk(enqueued, finished=last is None)


def dequeue_labelled(connection: Connection, model_id: int, *, after: int, size: int) -> int | None:
    """Delete from the next `size` queue entries those that the champion has labelled already.

    Returns:
        The last article id that was examined, or None if there are no further entries.
    """
    values = {"model_id": model_id, "task_id": task_rows.current_id(connection), "after": after, "size": size}
    last: int | None = connection.execute(query("dequeue_labelled"), values).scalar_one()
    return last


def count_waiting(connection: Connection) -> dict[int, int]:
    """Return the number of waiting articles by priority."""
    queue = tables.labelling_queue
    of_task = queue.c.task_id == task_rows.current_id(connection)
    statement = select(queue.c.priority, func.count()).where(of_task).group_by(queue.c.priority)
    return {NEW: 0, BACKFILL: 0, **{row[0]: row[1] for row in connection.execute(statement)}}


def remaining_backfill(connection: Connection) -> int:
    """Return about how many articles the champion's backfill has not examined yet."""
    values = {"task_id": task_rows.current_id(connection)}
    return int(connection.execute(query("remaining_backfill"), values).scalar_one_or_none() or 0)


def labelling_rate(connection: Connection, *, minutes: int = 15, max_predictions: int = 20_000) -> float | None:
    """Return the articles labelled per second, from the newest predictions of the last minutes.

    None if these are fewer than two pages.
    """
    values = {"task_id": task_rows.current_id(connection), "minutes": minutes, "max_predictions": max_predictions}
    recent: Row[Any] = connection.execute(query("labelling_rate"), values).one()
    return float(recent.labelled / recent.seconds) if recent.seconds else None


def _check_size(claimed: Sequence[Row[*tuple[Any, ...]]]) -> None:
    sizes = [row.bytes or 0 for row in sorted(claimed, key=lambda row: (row.priority, row.article_id))]
    fitting = sum(total <= PAGE_BYTES for total in accumulate(sizes))
    if fitting < len(sizes) > 1:
        raise PageTooLargeError(max(1, fitting))


def _try_lock_exclusively(connection: Connection, model_id: int) -> bool:
    """Prevent adding to the queue, and pages of other models, until the transaction ends; False if impossible."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(advisory_locks.LABELLING_QUEUE))).scalar_one():
        return False
    values = {"pages": advisory_locks.OPEN_PAGES, "model_id": model_id, "task_id": task_rows.current_id(connection)}
    return bool(connection.execute(query("try_lock_pages_of_other_models"), values).scalar_one())
