"""Label the articles of the labelling queue with the champion."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from classifier import registry
from classifier.articles import Model
from classifier.exceptions import ArtefactError
from classifier.inference import bisection, engines
from classifier.labelling import worker
from classifier.labelling.worker import PAGE_SIZE
from classifier.pipeline.use_case import use_case
from classifier.store import labelling_queue
from classifier.store.labelling_queue import Selection
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_RETRIES = 5
"""Retries in a row after a transient failure; they wait 1, 2, 4, 8 and 16 seconds."""

TRANSIENT_ERRORS = (*bisection.FAULTS, OperationalError, InterfaceError, ArtefactError)
"""Failures that may be transient: memory, a device, a restart of the database, a folder that is not mounted."""


@dataclass(frozen=True, slots=True)
class LabellingReport:
    """The result of one run. `seconds` and the rate exclude loading the model."""

    model: str
    labelled: int
    dead_letters: int
    waiting: int
    seconds: float
    engine: str

    @property
    def articles_per_second(self) -> float:
        """The rate; 0 if nothing was labelled."""
        return self.labelled / self.seconds if self.seconds and self.labelled else 0.0


@dataclass(slots=True)
class _Run:
    """The articles committed so far, over all retries and champions."""

    limit: int | None
    on_start: Callable[[int], None]
    on_page: Callable[[int], None]
    labelled: int = 0
    dead: int = 0
    seconds: float = 0.0
    total: int = 0
    failures: int = 0
    engine: str | None = None

    @property
    def remaining(self) -> int | None:
        """The articles that the limit still allows."""
        return None if self.limit is None else self.limit - self.labelled - self.dead

    def add_page(self, labelled: int, dead: int) -> None:
        self.labelled, self.dead, self.failures = self.labelled + labelled, self.dead + dead, 0
        self.on_page(labelled + dead)

    def add_waiting(self, articles: int) -> None:
        self.total += articles
        self.on_start(self.total)


@use_case
def label_queue(
    workspace: Workspace,
    *,
    limit: int | None = None,
    page_size: int = PAGE_SIZE,
    engine: engines.EngineName = "auto",
    selection: Selection = Selection(),  # noqa: B008 - frozen
    max_rate: float | None = None,
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> LabellingReport:
    """Label until nothing waits; if the champion changes, continue with the new one.

    `max_rate` is in articles a second. `on_start` receives the number of articles to label, again whenever it grows;
    `on_page` receives the number of articles of each committed page. Once the first labeller is loaded, transient
    failures are retried `MAX_RETRIES` times in a row.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
    """
    state = _Run(limit, on_start, on_page)
    options = {"page_size": page_size, "selection": selection, "max_rate": max_rate}
    while True:
        try:
            champion, replaced = _label(workspace, state, engine, options)
            waiting = _waiting(workspace)
        except TRANSIENT_ERRORS as error:
            _wait_or_raise(state, error)
            continue
        if not replaced:
            return LabellingReport(
                champion.name, state.labelled, state.dead, waiting, state.seconds, state.engine or ""
            )
        log.info("%s is no longer the champion: continuing with the new champion", champion.name)


def _label(
    workspace: Workspace, state: _Run, engine: engines.EngineName, options: Mapping[str, Any]
) -> tuple[Model, bool]:
    """Label with the present champion; return it, and whether another model has replaced it as champion."""
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
    labeller = registry.open_classifier(champion).labeller(engine, home=workspace.settings.home)
    state.engine = labeller.engine_name
    state.total = state.labelled + state.dead
    state.add_waiting(_waiting(workspace))
    began = time.monotonic()
    try:
        report = worker.label_pages(
            workspace.database,
            champion,
            labeller,
            limit=state.remaining,
            read_title=labeller.read_title,
            on_page=state.add_page,
            on_enqueued=state.add_waiting,
            **options,
        )
    finally:
        state.seconds += time.monotonic() - began
    return champion, report.replaced


def _wait_or_raise(state: _Run, error: Exception) -> None:
    """Wait before a retry; raise the error if no labeller was loaded yet, because then the user must act."""
    if state.engine is None or state.failures == MAX_RETRIES:
        raise error
    seconds = 2**state.failures
    state.failures += 1
    log.warning("%s: retrying in %d s (%d of %d)", type(error).__name__, seconds, state.failures, MAX_RETRIES)
    time.sleep(seconds)


def _waiting(workspace: Workspace) -> int:
    with workspace.database.connect() as connection:
        return sum(labelling_queue.count_waiting(connection).values())
