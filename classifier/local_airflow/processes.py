"""Stop all processes of a local Airflow, also those of a demo that was killed.

Airflow's processes share a session, not a process group: each running task has a group of its own. So a session is
stopped. A small file records its number and the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil  # type: ignore[import-untyped]

from classifier.exceptions import UserError

TIMEOUT_S = 15.0
"""Seconds that Airflow may take to stop before it is killed."""


class DemoIsRunningError(UserError):
    """A demo already runs in this home."""


@dataclass(frozen=True, slots=True)
class Record:
    """The process of a demo and the session of its Airflow, each with the time of its start."""

    demo: int
    demo_began: float
    session: int
    session_began: float

    @classmethod
    def of(cls, session: int) -> Record:
        """Return the record of this process and of a session that it has started."""
        return cls(os.getpid(), _start_time(os.getpid()) or 0.0, session, _start_time(session) or time.time())

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def stop_stale(path: Path, *, timeout_s: float = TIMEOUT_S) -> int:
    """Stop the recorded session if its demo has ended; return the number of processes.

    Raises:
        DemoIsRunningError: the recorded demo is still running.
    """
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return 0
    except (ValueError, TypeError):  # the demo was killed while it wrote the record
        path.unlink()
        return 0
    if _is_running(record.demo, record.demo_began):
        raise DemoIsRunningError(
            f"{path.parent}: a demo is running here as process {record.demo}; stop it, or set CLASSIFIER_HOME"
        )
    stopped = stop_session(record.session, timeout_s=timeout_s) if _is_ours(record) else 0
    path.unlink()
    return stopped


def _is_ours(record: Record) -> bool:
    """Return whether the session is the recorded one, and not a later one with the same number.

    The system does not reuse a session's number while the session has a process. So if its leader has ended, the
    number still means the recorded session, unless the machine has been restarted.
    """
    if psutil.pid_exists(record.session) and not _is_running(record.session, record.session_began):
        return False
    commands = [" ".join(_command(process)) for process in members(record.session)]
    return psutil.boot_time() < record.session_began and any("airflow" in command for command in commands)


def stop_session(session: int, *, timeout_s: float = TIMEOUT_S) -> int:
    """Terminate every process of a session, kill those that do not end in time, and return their number."""
    processes = members(session)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=timeout_s)
    kill_session(session)
    return len(processes)


def kill_session(session: int) -> None:
    """Kill the processes of a session until none is left, including those started meanwhile."""
    while remaining := members(session):
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=1)


def members(session: int) -> list[psutil.Process]:
    """Return the running processes of a session."""
    result = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                result.append(process)
    return result


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt`, as Ctrl-C does, on SIGTERM and when the terminal is closed."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore requests to stop during a block that is short or that stops things already."""
    before = ignore_interruptions()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interruptions() -> dict[signal.Signals, Any]:
    """Ignore every request to stop from now on; return the handlers that were set before."""

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Do nothing. SIG_IGN would be inherited by processes that are started meanwhile."""

    return {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


def _is_running(pid: int, began: float) -> bool:
    actual = _start_time(pid)
    return actual is not None and abs(actual - began) < 1


def _start_time(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
