"""Label what waits for a label with the champion."""

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

RETRIES = 5
"""How often in a row a fault of the machine is tried again, after 1, 2, 4, 8 and 16 seconds."""

FAULTS = (*bisection.FAULTS, OperationalError, InterfaceError, ArtefactError)
"""What may pass: no memory, no device, a database that restarts, a model's folder that is not mounted."""


@dataclass(frozen=True, slots=True)
class LabellingReport:
    """What one run of a labeller did. `seconds` and the rate leave out loading the model."""

    model: str
    labelled: int
    dead_letters: int
    waiting: int
    seconds: float
    engine: str

    @property
    def articles_per_second(self) -> float:
        """The rate, 0 where nothing was labelled."""
        return self.labelled / self.seconds if self.seconds and self.labelled else 0.0


@dataclass(slots=True)
class _Run:
    """What has been committed so far, whatever came between."""

    limit: int | None
    on_start: Callable[[int], None]
    on_page: Callable[[int], None]
    labelled: int = 0
    dead: int = 0
    seconds: float = 0.0
    total: int = 0
    faults: int = 0
    engine: str | None = None

    @property
    def rest(self) -> int | None:
        """What the limit leaves."""
        return None if self.limit is None else self.limit - self.labelled - self.dead

    def page(self, labelled: int, dead: int) -> None:
        self.labelled, self.dead, self.faults = self.labelled + labelled, self.dead + dead, 0
        self.on_page(labelled + dead)

    def expect(self, more: int) -> None:
        self.total += more
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
    """Label until nothing waits, going on with the new champion if it changes meanwhile.

    `max_rate` is articles a second. `on_start` is told how many articles there are to label in all, again when
    there turn out to be more; `on_page` how many each committed page had. Once it has begun, a fault of the
    machine is tried again `RETRIES` times.

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
        except FAULTS as error:
            _wait_or_raise(state, error)
            continue
        if not replaced:
            return LabellingReport(
                champion.name, state.labelled, state.dead, waiting, state.seconds, state.engine or ""
            )
        log.info("%s is no longer the champion: going on with the new one", champion.name)


def _label(
    workspace: Workspace, state: _Run, engine: engines.EngineName, options: Mapping[str, Any]
) -> tuple[Model, bool]:
    """Label with the present champion; return it, and whether another one has taken its place."""
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
    labeller = registry.open_classifier(champion).labeller(engine, home=workspace.settings.home)
    state.engine = labeller.engine_name
    state.total = state.labelled + state.dead
    state.expect(_waiting(workspace))
    began = time.monotonic()
    try:
        worked = worker.label_pages(
            workspace.database,
            champion,
            labeller,
            limit=state.rest,
            on_page=state.page,
            on_enqueued=state.expect,
            **options,
        )
    finally:
        state.seconds += time.monotonic() - began
    return champion, worked.replaced


def _wait_or_raise(state: _Run, error: Exception) -> None:
    """Wait before the next try; what fails before anything began is the user's to mend, and is raised."""
    if state.engine is None or state.faults == RETRIES:
        raise error
    seconds = 2**state.faults
    state.faults += 1
    log.warning("%s: trying again in %d s (%d of %d)", type(error).__name__, seconds, state.faults, RETRIES)
    time.sleep(seconds)


def _waiting(workspace: Workspace) -> int:
    with workspace.database.connect() as connection:
        return sum(labelling_queue.waiting(connection).values())
