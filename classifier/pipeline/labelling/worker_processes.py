"""Label with several processes on one machine, which share its cores and the queue.

A worker that dies takes nothing with it: its pages roll back, and the others go on and label them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any

from classifier import registry
from classifier.model import hardware
from classifier.pipeline.labelling import queue
from classifier.pipeline.labelling.queue import LabellingReport
from classifier.pipeline.use_case import use_case
from classifier.settings import Settings
from classifier.store import labelling_queue
from classifier.workspace import Workspace, open_workspace

log = logging.getLogger(__name__)

_PATIENCE_S = 30.0  # how long a worker that was told to stop may take: the batch that is in the model


@dataclass(frozen=True, slots=True)
class ParallelLabellingReport(LabellingReport):
    """What the workers did together; `failed` of them ended before their time.

    `seconds` is the time of all of it, loading the model too.
    """

    workers: int
    failed: int


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Pipe
    committed: int = 0
    report: LabellingReport | None = None


@use_case
def label_in_processes(
    workspace: Workspace,
    workers: int,
    options: Mapping[str, Any],
    *,
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> ParallelLabellingReport:
    """Label with so many workers, each with its share of the cores, the limit and the rate.

    `options` are those of `classifier.pipeline.labelling.queue.label_queue`. Interrupted, all of them stop.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
    """
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        waiting = sum(labelling_queue.count_waiting(connection).values())
    registry.open_artefact(champion)
    on_start(waiting)
    began = time.monotonic()
    with _stopped_by_signals():
        crew = [
            _start(workspace.settings, number, workers, {**options, **share})
            for number, share in enumerate(_shares(workers, options.get("limit"), options.get("max_rate")))
        ]
        try:
            _watch(crew, on_page)
        finally:
            _stop(crew)
    with workspace.database.connect() as connection:
        waiting = sum(labelling_queue.count_waiting(connection).values())
    return _summed(champion.name, crew, waiting, time.monotonic() - began)


def _shares(workers: int, limit: int | None, rate: float | None) -> Iterator[dict[str, Any]]:
    """Yield each worker's limit and rate; with a limit below the number of workers, there are fewer."""
    for number in range(workers if limit is None else min(workers, limit)):
        share = None if limit is None else limit // workers + (number < limit % workers)
        yield {"limit": share, "max_rate": rate and rate / workers}


def _start(settings: Settings, number: int, workers: int, options: dict[str, Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a forked child would share connections and threads' locks
    ours, theirs = context.Pipe(duplex=False)
    arguments = (settings, theirs, _cores(number, workers), options)
    process = context.Process(target=_work, args=arguments, name=f"worker {number}", daemon=True)
    process.start()
    theirs.close()  # so that its end is seen here
    return _Worker(process, ours)


def _cores(number: int, workers: int) -> list[int]:
    """Return the cores of a worker: an engine takes as many threads as it has."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, hardware.available_cores() // workers)
    return [cores[(number * share + offset) % len(cores)] for offset in range(share)]


def _watch(crew: list[_Worker], on_page: Callable[[int], None]) -> None:
    """Take the workers' messages until all have ended."""
    open_pipes = {worker.pipe: worker for worker in crew}
    while open_pipes:
        for pipe in pipes.wait(list(open_pipes)):
            worker = open_pipes[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except EOFError:
                del open_pipes[worker.pipe]
                worker.process.join()
                _tell(worker)
                continue
            if isinstance(message, LabellingReport):
                worker.report = message
            else:
                worker.committed += message
                on_page(message)


def _tell(worker: _Worker) -> None:
    if worker.report is None:
        log.error("%s ended with exit code %s; the others go on", worker.process.name, worker.process.exitcode)


def _stop(crew: list[_Worker]) -> None:
    """Stop what still runs; open pages roll back."""
    for worker in crew:
        if worker.process.is_alive():
            worker.process.terminate()
    deadline = time.monotonic() + _PATIENCE_S
    for worker in crew:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _summed(champion: str, crew: list[_Worker], waiting: int, seconds: float) -> ParallelLabellingReport:
    reports = [worker.report for worker in crew if worker.report is not None]
    lost = sum(worker.committed for worker in crew if worker.report is None)
    return ParallelLabellingReport(
        model=reports[-1].model if reports else champion,
        labelled=sum(report.labelled for report in reports) + lost,
        dead_letters=sum(report.dead_letters for report in reports),
        waiting=waiting,
        seconds=seconds,
        engine=reports[-1].engine if reports else "",
        workers=len(crew),
        failed=len(crew) - len(reports),
    )


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Take SIGTERM for an orderly end, so that the workers are stopped too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _work(settings: Settings, pipe: Pipe, cores: list[int], options: dict[str, Any]) -> None:
    """Label in this process, and send how many articles each page had, at the end the report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the first process stops the others
    signal.signal(signal.SIGTERM, _exit)
    if cores:
        os.sched_setaffinity(0, cores)

    def send(message: int | LabellingReport) -> None:
        try:
            pipe.send(message)
        except OSError:  # the first process is gone: nobody wants this any more
            sys.exit(1)

    send(queue.label_queue(open_workspace(settings), on_page=send, **options))
