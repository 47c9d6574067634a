"""Label the queue page by page; each page is claimed, labelled and written in one transaction.

If a worker dies, its pages roll back and their articles are in the queue again. There is no lease, no cursor and no
partly labelled page, so any number of workers may run and be killed.

A worker has three pages open at a time, each on a connection of its own: one is claimed and tokenized in a thread, one
is in the model, and one is written in another thread. They hold different rows, and a claimed page takes no further
locks, so pages cannot deadlock. Pages are written in the order of their claims. After an error, and if the model is no
longer the champion, pages that are not written yet roll back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine as Database

from classifier.articles import Model, QueuedArticle
from classifier.inference import bisection
from classifier.inference.bisection import LabelledBatch, TextLabeller
from classifier.labelling.claims import Claims, Page
from classifier.model.decisions import decide
from classifier.store import dead_letter_rows, prediction_rows

log = logging.getLogger(__name__)

PAGE_SIZE = 2048
"""Articles in one transaction at most; fewer if the model is slow, see `classifier.labelling.claims`."""

OnPage = Callable[[int, int], None]
"""Receives the numbers of a page's labelled articles and of its dead letters."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """The work of one worker. `replaced` is true if it stopped because its model is no longer the champion."""

    labelled: int
    dead: int
    seconds: float
    replaced: bool


@dataclass(frozen=True, slots=True)
class _PageCounts:
    labelled: int = 0
    dead: int = 0

    def __add__(self, other: _PageCounts) -> _PageCounts:
        return _PageCounts(self.labelled + other.labelled, self.dead + other.dead)


def label_pages(
    database: Database,
    model: Model,
    labeller: TextLabeller,
    *,
    page_size: int = PAGE_SIZE,
    on_page: OnPage = lambda *_: None,
    **claiming: Any,
) -> WorkerReport:
    """Label until nothing waits, the limit is reached, or the model is no longer the champion.

    `on_page` is called after each page, in the thread that committed it. `claiming` are options of `Claims`: `limit`,
    `selection`, `max_rate`, `read_title` and `on_enqueued`.
    """
    started = time.monotonic()
    claims = Claims(database, model, labeller, page_size=page_size, **claiming)
    total = _PageCounts()
    while True:
        counts = _label_until_empty(claims, model, labeller, on_page)
        total += counts
        # Once no page is open, try again: articles that changed while they were in the model are queued again.
        if claims.replaced or counts == _PageCounts():
            return WorkerReport(total.labelled, total.dead, time.monotonic() - started, claims.replaced)


def _label_until_empty(claims: Claims, model: Model, labeller: TextLabeller, on_page: OnPage) -> _PageCounts:
    """Label page after page until a claim finds nothing."""
    total = _PageCounts()
    writing = None
    with ThreadPoolExecutor(1, "write") as writer, _claimed_ahead(claims) as pages:
        for page in pages:
            with _released_on_error(page):
                began = time.monotonic()
                batch = bisection.label_articles(labeller, page.articles, page.prepared)
                claims.record_speed(len(page.articles), time.monotonic() - began)
                if writing is not None:  # at most one page waits to be written; its error ends the worker
                    total += writing.result()
            writing = writer.submit(_write, page, model, batch, on_page)
        if writing is not None:
            total += writing.result()
    return total


@contextmanager
def _claimed_ahead(claims: Claims) -> Iterator[Iterator[Page]]:
    """Yield the pages, claiming the next one in a thread; at the end, release a page that was not used."""
    with ThreadPoolExecutor(1, "claim") as reader:
        following = reader.submit(claims.next)

        def pages() -> Iterator[Page]:
            nonlocal following
            while (page := following.result()) is not None:
                following = reader.submit(claims.next)
                yield page

        try:
            yield pages()
        except BaseException:
            claims.stop()
            raise
        finally:
            if not following.cancel() and following.exception() is None and (page := following.result()) is not None:
                page.release()


@contextmanager
def _released_on_error(page: Page) -> Iterator[None]:
    try:
        yield
    except BaseException:
        page.release()
        raise


def _write(page: Page, model: Model, batch: LabelledBatch[QueuedArticle], on_page: OnPage) -> _PageCounts:
    """Write the page's predictions and dead letters, and commit them with its claim."""
    try:
        if batch.articles:
            decided = decide(model, batch.probabilities)
            prediction_rows.write(
                page.connection, model.id, batch.articles, batch.probabilities, decided.labels, decided.confidence
            )
        for failed in batch.failed:
            # the reason is not logged, because the engine's message may quote the text
            log.warning("article %d cannot be labelled; the reason is in dead_letters", failed.article.id)
            dead_letter_rows.add(page.connection, model.id, failed.article, failed.reason)
        page.connection.commit()
    finally:
        page.release()
    on_page(len(batch.articles), len(batch.failed))
    return _PageCounts(len(batch.articles), len(batch.failed))
