"""Processes that behave as containers: started, checked, killed with their children, and restarted."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from classifier.local_airflow import processes
from tests.support.stack.compose import Check

_STEADY_S = 10.0
"""Docker doubles its pause before each restart, until the container has run for so many seconds."""


@dataclass
class Container:
    """A service's process and its children."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    restarts_always: bool
    check: Check | None = None
    check_command: tuple[str, ...] = ()
    user: str | None = None
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _keep_running: bool = False
    _pause_s: float = 0.1
    _began: float = 0.0
    _due: float | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The number of its first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and from now on restart it if it is declared so."""
        with self._lock:
            self._keep_running = self.restarts_always
            self._start()

    def finished(self, within_s: float) -> int:
        """Wait for the end of a container that does not restart, and return its exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def kill(self) -> None:
        """Kill its first process and, as the kernel does in a container, all others."""
        with self._lock:
            assert self._process is not None
            self._process.kill()
            self._end()

    def stop(self, grace_s: float, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal its first process, and kill what still runs after `grace_s`; do not restart it."""
        with self._lock:
            self._keep_running = False
            if self._process is None:
                return
            with suppress(ProcessLookupError):
                self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        with self._lock:
            self._process.kill()
            self._end()

    def restart_if_ended(self) -> None:
        """Restart it if it has ended and must run; the daemon calls this repeatedly."""
        with self._lock:
            if not self._keep_running or self._process is None or self._process.poll() is None:
                return
            now = time.monotonic()
            if self._due is None:
                self._end()
                self._pause_s = 0.1 if now - self._began > _STEADY_S else min(2 * self._pause_s, 60.0)
                self._due = now + self._pause_s
            if now >= self._due:
                self.restarts += 1
                self._start()

    def is_healthy(self) -> bool:
        """Run its health check once, and return whether it passed."""
        if self._process is None or self._process.poll() is not None or self.check is None:
            return False
        with self.log.with_suffix(".check.log").open("ab") as output, suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                self.check_command,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=self.check.timeout_s,
                check=False,
            )
            return done.returncode == 0
        return False

    def last_lines(self, count: int = 20) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"{self.name}:", *lines[-count:]])

    def _start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd="/" if self.user else self.folder,
                user=self.user,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._began, self._due = time.monotonic(), None

    def _end(self) -> None:
        """Kill the processes that the first one has left."""
        assert self._process is not None
        self._process.wait()
        processes.kill_session(self._process.pid)


class Daemon(threading.Thread):
    """Restarts containers as Docker's daemon does, also those that are added later."""

    def __init__(self, containers: Mapping[str, Container]) -> None:
        super().__init__(daemon=True)
        self._containers = containers
        self._ended = threading.Event()

    def run(self) -> None:
        """Watch the containers until `end` is called."""
        while not self._ended.wait(0.2):
            for container in list(self._containers.values()):
                container.restart_if_ended()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()
        self.join()
