"""How a command ends: one line on standard error and an exit code, unless it ends with its result or with a bug.

An error of the user ends with 2, Ctrl-C with 130 and SIGTERM with 143. What was committed stays; the rest is rolled
back or deleted.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from classifier.exceptions import UserError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MAKE_ROOM = "make room, and run the same command again"
_ELSEWHERE = "run it as a user with rights there, or name another folder in CLASSIFIER_HOME"
_FULL_TEXTS = tuple(os.strerror(number) for number in _FULL)
_GRACE_S = 0.2
"""Seconds that Python has to handle a signal before the database's statement is cancelled."""

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


def run(command: Callable[[], object]) -> None:
    """Run a command that may raise, and end the process with a line and an exit code if it does."""
    with _interruptible() as received:
        try:
            _run_and_flush(command)
        except UserError as error:
            _end("error", str(error), 2)
        except KeyboardInterrupt:
            _end_stopped(received)
        except SystemExit as end:
            if _has_context(end, KeyboardInterrupt):  # the library of the command line turns it into an exit
                _end_stopped(received)
            raise
        except Exception as error:
            if (line := _system_error(error)) is None:
                raise
            _end("error", line, 2)


def warn(line: str) -> None:
    """Print a warning on standard error."""
    _print("warning", line, "yellow")


def _run_and_flush(command: Callable[[], object]) -> None:
    """Run a command and write its output, while errors of both can still be reported."""
    try:
        command()
    finally:
        try:
            if sys.stdout is not None:  # it is None if the command was started with a closed one
                sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as `head`, has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_error(error: BaseException | None) -> str | None:
    """Return the line for an error of the system that users can fix: a full disk, a missing right. None for others.

    Some libraries raise their own errors with only the text of the system's error.
    """
    while error is not None:
        text = " ".join(str(error).split())
        full = next((reason for reason in _FULL_TEXTS if reason in text), None)
        if isinstance(error, OSError) and error.errno in _FULL:
            return f"{error.filename or 'the disk'}: {os.strerror(error.errno)}; {_MAKE_ROOM}"
        if full is not None:
            return f"the disk: {full}; {_MAKE_ROOM}"
        if isinstance(error, OSError) and error.errno in _FORBIDDEN and error.filename:
            return f"{error.filename}: {os.strerror(error.errno)}; {_ELSEWHERE}"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _interruptible() -> Iterator[list[signal.Signals]]:
    """Raise `KeyboardInterrupt` on SIGTERM, as on Ctrl-C; yield a list that receives the signal.

    A second signal ends the process at once.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _NAMES}
    with _cancelled_statements(received):
        try:
            yield received
        finally:
            for number, handler in before.items():
                if not received and signal.getsignal(number) is stop:  # a command may ignore signals until its end
                    signal.signal(number, handler)


@contextmanager
def _cancelled_statements(received: list[signal.Signals]) -> Iterator[None]:
    """Cancel the database's statement if a signal arrives while Python waits for it.

    Python handles a signal only after the driver has returned. The wakeup file receives a byte at once.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def cancel_when_busy() -> None:
        while number := reader.recv(1):
            while number[0] in _NAMES and not received:
                time.sleep(_GRACE_S)
                if not received and (connections := sys.modules.get("classifier.store.connections")):
                    connections.cancel_statements()

    thread = threading.Thread(target=cancel_when_busy, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join(_GRACE_S)
        reader.close()


def _end_stopped(received: list[signal.Signals]) -> NoReturn:
    number = received[0] if received else signal.SIGINT
    line = f"by {_NAMES[number]}; nothing is half done, and the same command continues or starts again"
    _end("stopped", line, 128 + number)


def _has_context(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _end(label: str, line: str, code: int) -> NoReturn:
    _print(label, line, "red")
    sys.exit(code)


def _print(label: str, line: str, style: str) -> None:
    text = " ".join(line.splitlines())
    Console(stderr=True, soft_wrap=True).print(Text.assemble((f"{label}:", style), f" {text}"))
