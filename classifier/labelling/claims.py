"""Pages of the queue, claimed and tokenised for a worker's model.

A page's transaction lives from its claim to its commit, on a connection of its own.
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
from classifier.store.labelling_queue import PageTooLargeError, Selection

BACKFILL_CHUNK = 10_000
"""Articles of a new champion's backlog that are looked at in one transaction."""

PAGE_SECONDS = 30.0
"""How long a page is to be in the model at most.

That is how long a change of its texts, and a third of how long a promotion's backlog, waits for it, and a
third of what a kill costs.
"""

_FIRST, _LEAST = 256, 32  # articles: while the model's speed is not known yet, and however slow it is
_THROTTLED_SECONDS = 5.0  # of articles in a page at most, where the rate is limited
_RETRY_S = 0.1


@dataclass(slots=True)
class Page:
    """Claimed articles, by id; `prepared` is None where an article broke the tokenizer."""

    connection: Connection
    articles: list[QueuedArticle]
    prepared: Any | None

    def release(self) -> None:
        """Roll back what is not committed: the articles are in the queue again."""
        self.connection.close()


class Claims:
    """Claims one page after the other. `next` runs in one thread at a time; `stop` and `note` in any.

    `replaced` says that the model is not the champion any more.
    """

    def __init__(
        self,
        database: Engine,
        model: Model,
        labels: TextLabeller,
        *,
        page_size: int,
        limit: int | None = None,
        selection: Selection = Selection(),  # noqa: B008 - frozen
        max_rate: float | None = None,
        on_enqueued: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._database, self._model, self._labels = database, model, labels
        self._page_size, self._limit, self._selection, self._max_rate = page_size, limit, selection, max_rate
        self._on_enqueued = on_enqueued
        self._place = labelling_queue.START
        self._expected = min(page_size, _FIRST)
        self._fitting = page_size  # as far as is known, so many texts are no more than a page may hold
        self._began, self._claimed = time.monotonic(), 0
        self._stopped = threading.Event()
        self.replaced = False

    def next(self) -> Page | None:
        """Claim, read and tokenise the next page; None where there is none."""
        while (size := self._size()) and not self._stopped.is_set():
            page = self._claim(size)
            if page is not None:
                self._claimed += len(page.articles)
                return page
            if self.replaced or not self._enqueue_more():
                return None
        return None

    def stop(self) -> None:
        """Make `next` come to its end soon."""
        self._stopped.set()

    def note(self, articles: int, seconds: float) -> None:
        """Take account of how long the model took for a page."""
        self._expected = max(_LEAST, int(articles * PAGE_SECONDS / max(seconds, 1e-6)))

    def _size(self) -> int:
        """Return how many articles to claim next, 0 for none, after waiting for the rate's limit."""
        size = min(self._page_size, self._expected, self._fitting)
        if self._limit is not None:
            size = min(size, self._limit - self._claimed)
        if self._max_rate is not None and size:
            due = self._began + self._claimed / self._max_rate
            self._stopped.wait(max(0.0, due - time.monotonic()))  # with no page of this thread's open
            size = min(size, max(1, int(self._max_rate * _THROTTLED_SECONDS)))
        return size

    def _claim(self, size: int) -> Page | None:
        connection = self._database.connect()
        try:
            articles, self._place = self._take(connection, size)
            # Asked after the claim, in a newer snapshot: a promotion that is not seen here commits later, and
            # its backlog then finds this page open and waits for its end.
            self.replaced = not model_rows.is_champion(connection, self._model.id)
            if articles and not self.replaced:
                return Page(connection, articles, bisection.prepare(self._labels, articles))
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _take(self, connection: Connection, size: int) -> tuple[list[QueuedArticle], labelling_queue.Position]:
        """Claim as many articles as a page may hold; after a page that was too large, try twice as many each time."""
        while True:
            try:
                found = labelling_queue.claim(connection, self._model.id, size, self._selection, self._place)
            except PageTooLargeError as error:
                connection.rollback()
                self._fitting = size = error.fitting
            else:
                self._fitting = min(self._page_size, max(self._fitting, 2 * size))
                return found

    def _enqueue_more(self) -> bool:
        """Enqueue a further stretch of the champion's backlog; False where there is none.

        Only once nothing else waits: new articles come first, and the queue stays short.
        """
        if not self._selection.backfill:
            return False
        with self._database.begin() as connection:
            if model_rows.backfilled_to(connection, self._model.id) is None:
                return False
            stretch = labelling_queue.enqueue_backfill_chunk(connection, self._model.id, BACKFILL_CHUNK)
        if stretch is None:
            self._stopped.wait(_RETRY_S)
        elif stretch.enqueued:
            self._on_enqueued(stretch.enqueued)
        return True
