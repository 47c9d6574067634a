"""Pages of the labelling queue, claimed and tokenized for a worker's model.

Each page has a connection and a transaction of its own, from its claim to its commit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from classifier.articles import Model, QueuedArticle
from classifier.inference import bisection
from classifier.inference.bisection import TextLabeller
from classifier.store import labelling_queue, model_rows
from classifier.store.labelling_queue import PageTooLargeError, Position, Selection

BACKFILL_CHUNK = 10_000
"""Articles of a new champion's backlog that one transaction enqueues."""

MAX_PAGE_SECONDS = 30.0
"""Time that a page should be in the model at most.

A change of the page's texts waits for that long, and a promotion's backlog for up to three pages. A worker that is
killed loses the same three pages.
"""

_FIRST_PAGE_SIZE = 256  # articles, before the model's speed is known
_MIN_PAGE_SIZE = 32  # articles, however slow the model is
_MAX_THROTTLED_SECONDS = 5.0  # of articles in a page at a limited rate
_RETRY_S = 0.1


@dataclass(slots=True)
class Page:
    """Claimed articles, by id; `prepared` is None if an article broke the tokenizer."""

    connection: Connection
    articles: list[QueuedArticle]
    prepared: Any | None

    def release(self) -> None:
        """Close the connection; if the page is not committed, it rolls back and its articles are queued again."""
        self.connection.close()


class Claims:
    """Claims one page after the other.

    `next` must run in one thread at a time; `stop` and `record_speed` may run in any thread. `replaced` becomes true
    when the model is no longer the champion.
    """

    def __init__(
        self,
        database: Engine,
        model: Model,
        labeller: TextLabeller,
        *,
        page_size: int,
        limit: int | None = None,
        selection: Selection = Selection(),  # noqa: B008 - frozen
        max_rate: float | None = None,
        read_title: bool = False,
        on_enqueued: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._database, self._model, self._labeller = database, model, labeller
        self._page_size, self._limit, self._selection, self._max_rate = page_size, limit, selection, max_rate
        self._read_title, self._on_enqueued = read_title, on_enqueued
        self._position = labelling_queue.START
        self._size_by_speed = min(page_size, _FIRST_PAGE_SIZE)
        self._size_by_characters = page_size  # articles whose texts are known to fit into a page
        self._began, self._claimed = time.monotonic(), 0
        self._stopped = threading.Event()
        self.replaced = False

    def next(self) -> Page | None:
        """Claim, read and tokenize the next page; return None if there is none."""
        while (size := self._size()) and not self._stopped.is_set():
            page = self._claim(size)
            if page is not None:
                self._claimed += len(page.articles)
                return page
            if self.replaced or not self._enqueue_more():
                return None
        return None

    def stop(self) -> None:
        """Make `next` return soon."""
        self._stopped.set()

    def record_speed(self, articles: int, seconds: float) -> None:
        """Adjust the size of the next pages to the time that the model took for a page."""
        self._size_by_speed = max(_MIN_PAGE_SIZE, int(articles * MAX_PAGE_SECONDS / max(seconds, 1e-6)))

    def _size(self) -> int:
        """Wait until the rate limit allows the next page, and return its size; 0 if the limit is reached."""
        size = min(self._page_size, self._size_by_speed, self._size_by_characters)
        if self._limit is not None:
            size = min(size, self._limit - self._claimed)
        if self._max_rate is not None and size:
            due = self._began + self._claimed / self._max_rate
            self._stopped.wait(max(0.0, due - time.monotonic()))  # this thread has no page open meanwhile
            size = min(size, max(1, int(self._max_rate * _MAX_THROTTLED_SECONDS)))
        return size

    def _claim(self, size: int) -> Page | None:
        connection = self._database.connect()
        try:
            articles, self._position = self._claim_articles(connection, size)
            # The champion is read after the claim, in a newer snapshot. A promotion that this read does not see
            # commits later. Its backlog then finds this page open, and waits until the page ends.
            self.replaced = not model_rows.is_champion(connection, self._model.id)
            if articles and not self.replaced:
                return Page(connection, articles, bisection.prepare_articles(self._labeller, articles))
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _claim_articles(self, connection: Connection, size: int) -> tuple[list[QueuedArticle], Position]:
        """Claim as many articles as fit into a page; after a page that was too large, double the size each time."""
        while True:
            try:
                claimed = labelling_queue.claim(
                    connection, self._model.id, size, self._selection, self._position, read_title=self._read_title
                )
            except PageTooLargeError as error:
                connection.rollback()
                self._size_by_characters = size = error.fitting
            else:
                self._size_by_characters = min(self._page_size, max(self._size_by_characters, 2 * size))
                return claimed

    def _enqueue_more(self) -> bool:
        """Enqueue a further chunk of the champion's backlog; return whether there may be more to label.

        It is called when nothing else waits, so new articles come first and the queue stays short.
        """
        if not self._selection.backfill:
            return False
        with self._database.begin() as connection:
            if model_rows.backfilled_to(connection, self._model.id) is None:
                return False
            chunk = labelling_queue.enqueue_backfill_chunk(connection, self._model.id, BACKFILL_CHUNK)
        if chunk is None:
            self._stopped.wait(_RETRY_S)
        elif chunk.enqueued:
            self._on_enqueued(chunk.enqueued)
        return True
