"""Label the queue, page by page: claim, label, write, in one transaction each.

A worker that dies at any point rolls its page back, and the articles are in the queue again. There is
no lease, no cursor and no half-labelled state, so any number of workers may run, and be killed.

An article that breaks the model is found by halving its page and becomes a dead letter in the same
transaction; its neighbours are labelled. A fault of the machine (no memory, no database) or of the
whole model is never blamed on an article: it ends the worker.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from classifier.articles import Model, Prediction, Probabilities, QueuedArticle
from classifier.store import reads, writes

log = logging.getLogger(__name__)

_PROBE = "a"
"""A text that every working model can label."""


class Labels(Protocol):
    """What turns texts into probabilities, in the texts' order."""

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Return shape (texts, categories)."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker did. `replaced` says that it stopped because its model is no longer champion."""

    labelled: int
    dead: int
    seconds: float
    replaced: bool


@dataclass(frozen=True, slots=True)
class _Page:
    size: int
    dead: int


def work(
    database: Database,
    model: Model,
    labels: Labels,
    *,
    page_size: int = 512,
    limit: int | None = None,
    on_page: Callable[[int], None] = lambda _: None,
) -> Worked:
    """Label until the queue is empty, `limit` articles are done, or the model is no longer champion.

    `on_page` is told how many articles each committed page had.
    """
    started = time.monotonic()
    done = dead = 0
    while limit is None or done + dead < limit:
        size = page_size if limit is None else min(page_size, limit - done - dead)
        page = _label_page(database, model, labels, size)
        if page is None or not page.size:
            return Worked(done, dead, time.monotonic() - started, replaced=page is None)
        done, dead = done + page.size - page.dead, dead + page.dead
        on_page(page.size)
    return Worked(done, dead, time.monotonic() - started, replaced=False)


def _label_page(database: Database, model: Model, labels: Labels, size: int) -> _Page | None:
    """Label one page, or return None if the model turned out not to be the champion any more."""
    with database.begin() as connection:
        articles = writes.claim_page(connection, size)
        # Asked after the claim, in a newer snapshot: a promotion that is not seen here commits later,
        # and then waits for this page's rows before it enqueues them again.
        if not reads.is_champion(connection, model.id):
            connection.rollback()
            return None
        dead = 0
        for found in _predict(model, labels, articles):
            dead += _write(connection, model, found)
    return _Page(len(articles), dead)


@dataclass(frozen=True, slots=True)
class _Broken:
    article: QueuedArticle
    reason: str


def _write(connection: Connection, model: Model, found: list[Prediction] | _Broken) -> int:
    if isinstance(found, _Broken):
        # the reason is not logged: what the engine says may quote the text
        log.warning("article %d cannot be labelled; the reason is in dead_letters", found.article.id)
        writes.bury(connection, model.id, found.article, found.reason)
        return 1
    writes.write_predictions(connection, model.id, found)
    return 0


def _predict(model: Model, labels: Labels, articles: Sequence[QueuedArticle]) -> Iterator[list[Prediction] | _Broken]:
    """Yield predictions, halving the page around whatever breaks the model."""
    if not articles:
        return
    try:
        found = labels.probabilities([article.text for article in articles])
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever the engine raises, one article is the cause
        if len(articles) == 1:
            labels.probabilities([_PROBE])  # raises, and ends the worker, where no article is to blame
            yield _Broken(articles[0], f"{type(error).__name__}: {_first_line(error)}")
            return
        half = len(articles) // 2
        yield from _predict(model, labels, articles[:half])
        yield from _predict(model, labels, articles[half:])
        return
    yield [_prediction(model, article, row) for article, row in zip(articles, found, strict=True)]


def _prediction(model: Model, article: QueuedArticle, probabilities: Probabilities) -> Prediction:
    best = int(probabilities.argmax())
    values = tuple(float(value) for value in probabilities)
    return Prediction(article.id, article.revision, model.categories[best], values[best], values)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:500]
