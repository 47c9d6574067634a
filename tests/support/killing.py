"""Run a command that kills itself after a number of steps, so the moment does not depend on the machine's speed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.support.paths import ROOT

PROGRAM = """
import os, signal, sys, threading
from sqlalchemy import Engine, event
from classifier.store import connections, staging

kill_at, step = int(os.environ["TEST_KILL_AT"]), os.environ.get("TEST_STEP")
staging.STEP = int(step) if step else staging.STEP
lock, steps = threading.Lock(), 0

def tick(*_):
    global steps
    with lock:
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

def counted(method):
    def call(self, *arguments):
        tick()
        method(self, *arguments)
        tick()
    return call

connections.Cursor.copy_expert = counted(connections.Cursor.copy_expert)
connections.DriverConnection.commit = counted(connections.DriverConnection.commit)
for name in ("before_cursor_execute", "after_cursor_execute"):
    event.listen(Engine, name, tick)

from classifier.cli.app import main
sys.argv = ["classifier", *sys.argv[1:]]
main()
"""
"""Each statement, COPY and commit counts as two steps, so a kill can fall before it or after it."""

NEVER = 0


def start(
    arguments: Sequence[str], kill_at: int, environment: Mapping[str, str], *, merge_step: int | None = None
) -> subprocess.Popen[str]:
    """Start a command that kills itself at its step `kill_at`; an ingest merges `merge_step` rows at a time."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment, "TEST_KILL_AT": str(kill_at)}
    if merge_step is not None:
        variables["TEST_STEP"] = str(merge_step)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> bool:
    """Wait for the end of the process; return whether it was killed, perhaps after it had done all its work.

    Raises:
        AssertionError: the process failed.
    """
    _, errors = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, errors
    return process.returncode != 0
