"""The queue of articles that wait for a label. Functions take a connection and never commit.

Three kinds of transactions meet here, and none may wait for another that waits for it:

- A *page* takes rows off the queue. It skips what others hold, so it waits for nobody.
- What *adds* to the queue (an ingest, dead letters tried again) takes one advisory lock, since two of them
  touch the same rows in different orders. An ingest of a changed text waits for the page that holds it.
- A champion's *backlog* adds too, and waits for nobody: where it cannot have its locks at once it leaves it
  for later, so that neither an ingest nor a worker with new articles is held up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from classifier import advisory_locks
from classifier.articles import QueuedArticle
from classifier.store import tables
from classifier.store.queries import query

NEW, BACKFILL = 0, 1
"""Priorities: new and changed articles, and what a new champion has to label again."""


Position = tuple[int, int]
"""Priority and article id of a row of the queue."""

START: Position = (-1, 0)

PAGE_BYTES = 32 * 2**20
"""The texts of a page, in UTF-8, at most, unless it has one article: three pages are in memory at a time."""


class PageTooLargeError(Exception):
    """The claimed texts are larger than a page may be; roll back, and claim `fitting` articles."""

    def __init__(self, fitting: int) -> None:
        super().__init__(fitting)
        self.fitting = fitting


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the waiting articles to label; by default all.

    `since` is when an article was published, or came where that is not known.
    """

    new: bool = True
    backfill: bool = True
    source: str | None = None
    since: datetime | None = None

    @property
    def priorities(self) -> dict[str, int]:
        """The first and the last priority."""
        return {"first": NEW if self.new else BACKFILL, "last": BACKFILL if self.backfill else NEW}

    @property
    def of_articles(self) -> dict[str, Any]:
        """What an article has to be like; empty for any."""
        wanted = {"source": self.source, "since": self.since}
        return wanted if any(wanted.values()) else {}


@dataclass(frozen=True, slots=True)
class BackfillChunk:
    """A part of the backlog that was looked at; `finished` says that there is no further one."""

    enqueued: int
    finished: bool


def lock(connection: Connection) -> None:
    """Let one transaction at a time add to the queue; labellers go on."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.LABELLING_QUEUE)))


def try_lock_pages(connection: Connection, model_id: int) -> bool:
    """Keep workers of a model from opening a page until the transaction ends; False if one is open."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(advisory_locks.OPEN_PAGES, model_id))))


def claim(
    connection: Connection, model_id: int, size: int, selection: Selection, after: Position = START
) -> tuple[list[QueuedArticle], Position]:
    """Take up to `size` articles off the queue, for as long as this transaction lives.

    New articles go first. Returns them by id, and where in the queue the next claim of a part of the articles
    goes on; it begins again at the start where nothing is found.

    Raises:
        PageTooLargeError: their texts are larger than a page may be; none of them has been read.
    """
    connection.execute(query("open_page"), {"pages": advisory_locks.OPEN_PAGES, "model_id": model_id})
    values = {"size": size, **selection.priorities}
    if not selection.of_articles:
        found = connection.execute(query("claim_page"), values).all()
    else:
        place = {"after_priority": after[0], "after_id": after[1]}
        found = connection.execute(query("claim_selected_page"), {**values, **selection.of_articles, **place}).all()
        if not found and after != START:
            return claim(connection, model_id, size, selection)
    if not found:
        return [], START
    _check_size(found)
    rows = connection.execute(query("claimed_articles"), {"ids": [row.article_id for row in found]})
    return [QueuedArticle(*row) for row in rows], max((row.priority, row.article_id) for row in found)


def enqueue_backfill_chunk(connection: Connection, model_id: int, size: int) -> BackfillChunk | None:
    """Enqueue what the champion lacks among the next `size` articles.

    None means that it has to be tried again: somebody else does it, adds to the queue, or has a page of a
    former champion open. Where all is enqueued already the stretch is empty and finished.
    """
    after = connection.execute(query("claim_backfill"), {"model_id": model_id}).scalar_one_or_none()
    if after is None or not _alone(connection, model_id):
        return None
    values = {"model_id": model_id, "after": after, "size": size}
    last, enqueued = connection.execute(query("enqueue_backfill_chunk"), values).one()
    connection.execute(update(tables.models).where(tables.models.c.id == model_id).values(backfilled_to=last))
    return BackfillChunk(enqueued, finished=last is None)


def dequeue_labelled(connection: Connection, model_id: int, *, after: int, size: int) -> int | None:
    """Delete from the next `size` queue entries those that the champion has labelled already.

    Returns:
        The last article id that was examined, or None if there are no further entries.
    """
    values = {"model_id": model_id, "after": after, "size": size}
    last: int | None = connection.execute(query("dequeue_labelled"), values).scalar_one()
    return last


def count_waiting(connection: Connection) -> dict[int, int]:
    """Return how many articles of each priority wait for a label."""
    queue = tables.labelling_queue
    statement = select(queue.c.priority, func.count()).group_by(queue.c.priority)
    return {NEW: 0, BACKFILL: 0, **{row[0]: row[1] for row in connection.execute(statement)}}


def remaining_backfill(connection: Connection) -> int:
    """Return about how many articles the champion's backlog has not looked at yet."""
    return int(connection.execute(query("remaining_backfill")).scalar_one_or_none() or 0)


def labelling_rate(connection: Connection, *, minutes: int = 15, most: int = 20_000) -> float | None:
    """Return the articles a second of the newest predictions, None where fewer than two pages are that new."""
    found: Row[Any] = connection.execute(query("labelling_rate"), {"minutes": minutes, "most": most}).one()
    return float(found.labelled / found.seconds) if found.seconds else None


def _check_size(found: Sequence[Row[*tuple[Any, ...]]]) -> None:
    sizes = [row.bytes or 0 for row in sorted(found, key=lambda row: (row.priority, row.article_id))]
    fitting = sum(total <= PAGE_BYTES for total in accumulate(sizes))
    if fitting < len(sizes) > 1:
        raise PageTooLargeError(max(1, fitting))


def _alone(connection: Connection, model_id: int) -> bool:
    """Say whether nobody adds to the queue and no page of another model is open, and keep it so."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(advisory_locks.LABELLING_QUEUE))).scalar_one():
        return False
    values = {"pages": advisory_locks.OPEN_PAGES, "model_id": model_id}
    return bool(connection.execute(query("try_lock_pages_of_other_models"), values).scalar_one())
