"""Label with several processes on one machine, which share its cores and the queue.

If a worker dies, its pages roll back, and the other workers label them.
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
from classifier.store import labelling_queue, task_rows
from classifier.workspace import Workspace, open_workspace

log = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 30.0  # until a worker is killed; it must first finish the batch in the model


@dataclass(frozen=True, slots=True)
class ParallelLabellingReport(LabellingReport):
    """The work of all workers; `failed` of them ended without a report.

    `seconds` includes loading the model.
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
    """Label with several workers, each with its share of the cores, the limit and the rate.

    `options` are those of `classifier.pipeline.labelling.queue.label_queue`. On an interrupt, all workers stop.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
    """
    with workspace.database.connect() as connection:
        task, champion = task_rows.current(connection), registry.champion(connection)
        waiting = sum(labelling_queue.count_waiting(connection).values())
    registry.open_artefact(champion)  # raises before the workers start, rather than in each of them
    on_start(waiting)
    began = time.monotonic()
    with _stopped_by_signals():
        started = [
            _start((workspace.settings, task.id), number, workers, {**options, **share})
            for number, share in enumerate(_shares(workers, options.get("limit"), options.get("max_rate")))
        ]
        try:
            _receive_until_end(started, on_page)
        finally:
            _stop(started)
    with workspace.database.connect() as connection:
        waiting = sum(labelling_queue.count_waiting(connection).values())
    return _total(champion.name, started, waiting, time.monotonic() - began)


def _shares(workers: int, limit: int | None, rate: float | None) -> Iterator[dict[str, Any]]:
    """Yield each worker's limit and rate; if the limit is below the number of workers, there are fewer workers."""
    for number in range(workers if limit is None else min(workers, limit)):
        share = None if limit is None else limit // workers + (number < limit % workers)
        yield {"limit": share, "max_rate": rate and rate / workers}


def _start(opened: tuple[Settings, int], number: int, workers: int, options: dict[str, Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a forked child would share connections and threads' locks
    receiver, sender = context.Pipe(duplex=False)
    arguments = (opened, sender, _cores(number, workers), options)
    process = context.Process(target=_work, args=arguments, name=f"worker {number}", daemon=True)
    process.start()
    sender.close()  # so that the receiver sees the end of the worker
    return _Worker(process, receiver)


def _cores(number: int, workers: int) -> list[int]:
    """Return the cores of a worker; an engine uses one thread for each."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, hardware.available_cores() // workers)
    return [cores[(number * share + offset) % len(cores)] for offset in range(share)]


def _receive_until_end(workers: list[_Worker], on_page: Callable[[int], None]) -> None:
    """Receive the workers' messages until all have ended."""
    open_pipes = {worker.pipe: worker for worker in workers}
    while open_pipes:
        for pipe in pipes.wait(list(open_pipes)):
            worker = open_pipes[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except EOFError:
                del open_pipes[worker.pipe]
                worker.process.join()
                _log_failure(worker)
                continue
            if isinstance(message, LabellingReport):
                worker.report = message
            else:
                worker.committed += message
                on_page(message)


def _log_failure(worker: _Worker) -> None:
    if worker.report is None:
        log.error(
            "%s ended with exit code %s; the other workers continue", worker.process.name, worker.process.exitcode
        )


def _stop(workers: list[_Worker]) -> None:
    """Stop the workers that still run; their open pages roll back."""
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _total(champion: str, workers: list[_Worker], waiting: int, seconds: float) -> ParallelLabellingReport:
    reports = [worker.report for worker in workers if worker.report is not None]
    lost = sum(worker.committed for worker in workers if worker.report is None)
    return ParallelLabellingReport(
        model=reports[-1].model if reports else champion,
        labelled=sum(report.labelled for report in reports) + lost,
        dead_letters=sum(report.dead_letters for report in reports),
        waiting=waiting,
        seconds=seconds,
        engine=reports[-1].engine if reports else "",
        workers=len(workers),
        failed=len(workers) - len(reports),
    )


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Exit on SIGTERM, so that the workers are stopped too, unless the program handles SIGTERM itself."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _work(opened: tuple[Settings, int], pipe: Pipe, cores: list[int], options: dict[str, Any]) -> None:
    """Label in this process; send the number of articles of each page, and at the end the report.

    `opened` are the settings and the id of the task.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the parent stops the workers
    signal.signal(signal.SIGTERM, _exit)
    if cores:
        os.sched_setaffinity(0, cores)

    def send(message: int | LabellingReport) -> None:
        try:
            pipe.send(message)
        except OSError:  # the parent is gone
            sys.exit(1)

    settings, task = opened
    send(queue.label_queue(open_workspace(settings, task=task), on_page=send, **options))
