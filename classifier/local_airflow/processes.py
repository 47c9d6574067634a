"""Stop all that a demo started, now or after a demo that was killed before it could.

Airflow's processes share a session, not a process group: it puts each running task into a group of its
own. So the session is what is stopped. A small file records it, and whose it is.
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
"""How long Airflow may take to stop by itself; then it is killed."""


class DemoIsRunningError(UserError):
    """A demo already runs in this home."""


@dataclass(frozen=True, slots=True)
class Record:
    """A demo's process and the session of its Airflow, each with the moment it began."""

    demo: int
    demo_began: float
    session: int
    session_began: float

    @classmethod
    def of(cls, session: int) -> Record:
        """Describe this process and the session that it has started."""
        return cls(os.getpid(), _began(os.getpid()) or 0.0, session, _began(session) or time.time())

    def write(self, path: Path) -> None:
        """Write the record."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def stop_stale(path: Path, *, patience_s: float = TIMEOUT_S) -> int:
    """Stop what the recorded demo left, if that demo is gone, and return how many processes that were.

    Raises:
        DemoIsRunningError: the recorded demo is alive.
    """
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return 0
    except (ValueError, TypeError):  # cut off while it was written
        path.unlink()
        return 0
    if _is(record.demo, record.demo_began):
        raise DemoIsRunningError(
            f"a demo already runs here, as process {record.demo}; stop it first, or set CLASSIFIER_HOME"
        )
    stopped = stop_session(record.session, patience_s=patience_s) if _is_ours(record) else 0
    path.unlink()
    return stopped


def _is_ours(record: Record) -> bool:
    """Say whether the session is the recorded one, and not a later one of the same number.

    A number is not given out again while its session has a member, so without its leader it is still
    ours, unless the machine was started anew.
    """
    if psutil.pid_exists(record.session) and not _is(record.session, record.session_began):
        return False
    members = _members(record.session)
    return psutil.boot_time() < record.session_began and any("airflow" in " ".join(_command(one)) for one in members)


def stop_session(session: int, *, patience_s: float = TIMEOUT_S) -> int:
    """Stop every process of a session, politely and then not, and return how many there were."""
    members = _members(session)
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(members, timeout=patience_s)
    while late := _members(session):  # also what was started meanwhile
        for process in late:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(late, timeout=1)
    return len(members)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn a request to stop, or a closed terminal, into what Ctrl-C is: a `KeyboardInterrupt`."""

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
    """Let nobody interrupt what takes a moment, or what is being stopped already."""
    before = ignore_interruptions()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interruptions() -> dict[signal.Signals, Any]:
    """Ignore every request to stop from now on, and return the handlers that were there."""

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Do nothing. SIG_IGN would do as well, but a process started meanwhile would inherit it."""

    return {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


def _members(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _is(pid: int, began: float) -> bool:
    actual = _began(pid)
    return actual is not None and abs(actual - began) < 1


def _began(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
