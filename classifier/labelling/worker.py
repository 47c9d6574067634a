"""Label the queue, page by page: claim, label, write, in one transaction each.

A worker that dies at any point rolls its pages back, and the articles are in the queue again. There is
no lease, no cursor and no half-labelled state, so any number of workers may run, and be killed.

Three pages are open at a time, each with a connection of its own: one is being claimed and tokenised in a
thread, one is in the model, one is being written in another thread. They hold different rows, and a page
waits for nobody's lock once it is claimed, so they cannot wait for one another. They are written in the
order of their claims. On an error, and where the model turns out not to be the champion any more, what is
not written yet rolls back.
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
from classifier.store import dead_letter_rows, prediction_rows

log = logging.getLogger(__name__)

PAGE_SIZE = 2048
"""Articles in one transaction, at most: fewer where the model is slow, see `classifier.labelling.claims`."""

OnPage = Callable[[int, int], None]
"""Is told how many articles of a page were labelled, and how many became dead letters."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker did. `replaced` says that it stopped because its model is no longer champion."""

    labelled: int
    dead: int
    seconds: float
    replaced: bool


def label_pages(
    database: Database,
    model: Model,
    labels: TextLabeller,
    *,
    page_size: int = PAGE_SIZE,
    on_page: OnPage = lambda *_: None,
    **claiming: Any,
) -> WorkerReport:
    """Label until nothing waits, the limit is reached, or the model is no longer champion.

    `on_page` is told of each page, in the thread that committed it, how many articles were labelled and how
    many became dead letters. `claiming` is what `Claims` takes: `limit`, `selection`, `max_rate` and
    `on_enqueued`.
    """
    started = time.monotonic()
    claims = Claims(database, model, labels, page_size=page_size, **claiming)
    labelled = dead = 0
    while True:
        done = _until_empty(claims, model, labels, on_page)
        labelled, dead = labelled + done[0], dead + done[1]
        # Asked again once no page is open: what changed while it was in the model waits again by now.
        if claims.replaced or not any(done):
            return WorkerReport(labelled, dead, time.monotonic() - started, claims.replaced)


def _until_empty(claims: Claims, model: Model, labels: TextLabeller, on_page: OnPage) -> tuple[int, int]:
    """Label page after page until a claim finds nothing; return how many were labelled, and how many dead."""
    written: list[tuple[int, int]] = []
    writing = None
    with ThreadPoolExecutor(1, "write") as writer, _ahead(claims) as pages:
        for page in pages:
            with _released_on_error(page):
                began = time.monotonic()
                found = bisection.label(labels, page.articles, page.prepared)
                claims.note(len(page.articles), time.monotonic() - began)
                if writing is not None:  # one page at a time is behind the model, and its error ends the worker
                    written.append(writing.result())
            writing = writer.submit(_write, page, model, found, on_page)
        if writing is not None:
            written.append(writing.result())
    return sum(labelled for labelled, _ in written), sum(dead for _, dead in written)


@contextmanager
def _ahead(claims: Claims) -> Iterator[Iterator[Page]]:
    """Yield the pages, each while the next is being claimed in a thread; at the end, release what was not taken."""
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


def _write(page: Page, model: Model, found: LabelledBatch[QueuedArticle], on_page: OnPage) -> tuple[int, int]:
    """Write the page's predictions and dead letters, and commit them with its claim; return how many."""
    try:
        if found.articles:
            prediction_rows.write(page.connection, model, found.articles, found.probabilities)
        for one in found.broken:
            # the reason is not logged: what the engine says may quote the text
            log.warning("article %d cannot be labelled; the reason is in dead_letters", one.article.id)
            dead_letter_rows.add(page.connection, model.id, one.article, one.reason)
        page.connection.commit()
    finally:
        page.release()
    on_page(len(found.articles), len(found.broken))
    return len(found.articles), len(found.broken)
