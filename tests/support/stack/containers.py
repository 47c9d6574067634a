"""Processes that are treated as containers: started, checked, killed with all that they started, and restarted."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from classifier.local_airflow import processes
from tests.support.stack.compose import Check

_STEADY_S = 10.0
"""Docker waits twice as long before each restart, until the container has run for so long."""


@dataclass
class Container:
    """A service's process and all that it started."""

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
    _wanted: bool = False
    _pause_s: float = 0.1
    _began: float = 0.0
    _due: float | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def log(self) -> Path:
        """The file of what it says."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and keep it running if it is one that restarts."""
        with self._lock:
            self._wanted = self.restarts_always
            self._start()

    def finished(self, within_s: float) -> int:
        """Wait for the end of one that does not restart, and return its exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def kill(self) -> None:
        """Kill its first process, and with it, as the kernel does with a container's, all others."""
        with self._lock:
            assert self._process is not None
            self._process.kill()
            self._end()

    def stop(self, grace_s: float, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask its first process to stop, and end whatever is left; it is not restarted."""
        with self._lock:
            self._wanted = False
            if self._process is None:
                return
            with suppress(ProcessLookupError):
                self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        with self._lock:
            self._process.kill()
            self._end()

    def watch(self) -> None:
        """Restart it if it ended and is to run; called again and again."""
        with self._lock:
            if not self._wanted or self._process is None or self._process.poll() is None:
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
        """Make its health check once."""
        if self._process is None or self._process.poll() is not None or self.check is None:
            return False
        with self.log.with_suffix(".check.log").open("ab") as said, suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                self.check_command,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
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
        with self.log.open("ab") as said:
            self._process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd="/" if self.user else self.folder,
                user=self.user,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._began, self._due = time.monotonic(), None

    def _end(self) -> None:
        """Kill what the first process has left, until nothing is."""
        assert self._process is not None
        self._process.wait()
        while left := processes._members(self._process.pid):
            for one in left:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(left, timeout=1)


class Daemon(threading.Thread):
    """Watches over containers, also those that are added later, as Docker's daemon does."""

    def __init__(self, containers: Mapping[str, Container]) -> None:
        super().__init__(daemon=True)
        self._containers = containers
        self._over = threading.Event()

    def run(self) -> None:
        """Watch, until it is told to end."""
        while not self._over.wait(0.2):
            for container in list(self._containers.values()):
                container.watch()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        self.join()
