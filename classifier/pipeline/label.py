"""Label what waits for a label with the champion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from classifier import registry
from classifier.articles import Model
from classifier.labelling import engine as engines
from classifier.labelling import worker
from classifier.labelling.pages import Labeller
from classifier.pipeline.use_case import use_case
from classifier.store import reads, writes
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

STRETCH = 10_000
"""Articles looked at in one transaction when a new champion's backlog is enqueued."""


@dataclass(frozen=True, slots=True)
class Labelled:
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


@use_case
def run(
    workspace: Workspace,
    *,
    limit: int | None = None,
    page_size: int = 512,
    engine: engines.EngineName = "auto",
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> Labelled:
    """Label until the queue is empty, going on with the new champion if it changes meanwhile.

    `on_start` is told how many articles wait, `on_page` how many each committed page had.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
    """
    labelled = dead = 0
    seconds = 0.0
    while True:
        with workspace.database.connect() as connection:
            champion = registry.champion(connection)
        files = registry.open_artefact(champion)
        enqueue_backlog(workspace, champion)
        chosen = engines.choose(files, engine=engine)
        labeller = Labeller.of(files, chosen, home=workspace.settings.home)
        on_start(_waiting(workspace))
        rest = None if limit is None else limit - labelled - dead
        done = worker.work(workspace.database, champion, labeller, page_size=page_size, limit=rest, on_page=on_page)
        labelled, dead, seconds = labelled + done.labelled, dead + done.dead, seconds + done.seconds
        if not done.replaced:
            waiting = _waiting(workspace)
            return Labelled(champion.name, labelled, dead, waiting, seconds, f"{chosen.name} {chosen.precision}")
        log.info("%s is no longer the champion: going on with the new one", champion.name)


def enqueue_backlog(workspace: Workspace, champion: Model) -> None:
    """Enqueue, stretch by stretch, what a new champion has not labelled yet; a crash loses a stretch at most."""
    while True:
        with workspace.database.begin() as connection:
            writes.lock_queue(connection)
            after = reads.backfilled_to(connection, champion.id)
            if after is None:
                return
            last = writes.enqueue_backlog(connection, champion.id, after=after, size=STRETCH)
            writes.set_backfilled_to(connection, champion.id, last)


def _waiting(workspace: Workspace) -> int:
    with workspace.database.connect() as connection:
        return reads.queue_length(connection)
