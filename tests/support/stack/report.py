"""The table of faults: printed at the end and, if asked for, written to `docs/benchmarks/stack-test.md`."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import psutil

from tests.support.stack.container_host import ROOT, TRANSLATED, postgres_bin, redis_server
from tests.support.stack.stack import Stack

PAGE = ROOT / "docs" / "benchmarks" / "stack-test.md"


@dataclass(frozen=True)
class Row:
    """A fault: what was done, what happened, how the run ended, and the seconds from the fault to the end."""

    fault: str
    happened: str
    end: str
    seconds: float


@dataclass
class Report:
    """The results that the tests collect."""

    rows: list[Row] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    ready_s: Mapping[str, float] = field(default_factory=dict)
    restarted: Mapping[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    complete: bool = False
    notes: list[str] = field(default_factory=list)

    def restarts(self, stack: Stack) -> None:
        """Record the containers that `restart: always` has restarted."""
        self.restarted = {
            name: container.restarts for name, container in stack.containers.items() if container.restarts
        }

    def add(self, fault: str, happened: str, end: str, seconds: float) -> None:
        """Add a row."""
        self.rows.append(Row(fault, happened, end, seconds))

    def render(self) -> str:
        """Return the report; if it is complete and `CLASSIFIER_TEST_WRITE` is set, also write it."""
        text = "\n".join(self._lines()) + "\n"
        if os.environ.get("CLASSIFIER_TEST_WRITE") and self.complete:
            PAGE.write_text(text, encoding="utf-8")
        return text

    def _lines(self) -> Iterator[str]:
        yield from (
            "# The stack under faults",
            "",
            "`make stack-test` starts the services of `docker-compose.yml` as processes, with the declared commands,",
            "environment, order and health checks. It runs all DAGs through Airflow's REST API and injects the faults",
            "of a production system. `make stack-test WRITE=1` writes this page.",
            "",
            "| fault | what happened | state of the run | seconds from the fault to the end |",
            "| --- | --- | --- | --- |",
        )
        yield from (f"| {row.fault} | {row.happened} | {row.end} | {row.seconds:.0f} |" for row in self.rows)
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        yield from ("", f"At the end: **{counts or 'not counted'}**.", "")
        ready = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.ready_s.items())
        restarted = ", ".join(f"{name} {count}" for name, count in self.restarted.items()) or "none"
        yield f"- **Start**: seconds until each service was ready: {ready}."
        yield f"- **Restarts** by `restart: always`: {restarted}."
        yield f"- **Duration**: {time.monotonic() - self.began:.0f} s on {_machine()}."
        yield f"- **Versions**: {_versions()}."
        changed = ", ".join(f"`{name}`" for name in ("AIRFLOW_PORT", "AIRFLOW_BASE_URL", *self.settings))
        yield f"- **Changed** in `.env`, as a user would: {changed}; nothing else is overridden."
        yield from ("", "## Replacements for containers", "", "| in the stack | in this test |", "| --- | --- |")
        yield from (f"| {container} | {replacement} |" for container, replacement in TRANSLATED)
        yield from self.notes


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def _versions() -> str:
    servers = [_first_words(redis_server(), "--version"), _first_words(str(postgres_bin() / "postgres"), "--version")]
    return "; ".join([f"Airflow {version('apache-airflow')}", f"Celery {version('celery')}", *servers])


def _first_words(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split()[:3])
