"""The table of faults: printed at the end, and written to `docs/benchmarks/stack-test.md` where that is wanted."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import psutil

from tests.support.stack.ground import ROOT, TRANSLATED, postgres_bin, redis_server
from tests.support.stack.stack import Stack

PLACE = ROOT / "docs" / "benchmarks" / "stack-test.md"


@dataclass(frozen=True)
class Row:
    """A fault: what was done, what happened, how the run ended, and the seconds from the fault to that."""

    fault: str
    happened: str
    end: str
    seconds: float


@dataclass
class Report:
    """What is gathered while the stack is at work."""

    rows: list[Row] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    ready_s: Mapping[str, float] = field(default_factory=dict)
    restarted: Mapping[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    complete: bool = False
    notes: list[str] = field(default_factory=list)

    def restarts(self, stack: Stack) -> None:
        """Keep which containers were restarted by themselves, as `restart: always` has it."""
        self.restarted = {name: one.restarts for name, one in stack.containers.items() if one.restarts}

    def add(self, fault: str, happened: str, end: str, seconds: float) -> None:
        """Add a row."""
        self.rows.append(Row(fault, happened, end, seconds))

    def tell(self) -> str:
        """Return the report; it is also written where `CLASSIFIER_TEST_WRITE` is set and all of it is there."""
        text = "\n".join(self._lines()) + "\n"
        if os.environ.get("CLASSIFIER_TEST_WRITE") and self.complete:
            PLACE.write_text(text, encoding="utf-8")
        return text

    def _lines(self) -> Iterator[str]:
        yield from (
            "# The stack, tried",
            "",
            "`make stack-test` starts the services of `docker-compose.yml` as processes, with the commands, the",
            "environment, the order and the health checks that are declared there, has all DAGs run through Airflow's",
            "REST API, and does what production does to them. This page is written by it (`make stack-test WRITE=1`).",
            "",
            "| fault | what happened | the run's end | seconds from the fault to the end |",
            "| --- | --- | --- | --- |",
        )
        yield from (f"| {row.fault} | {row.happened} | {row.end} | {row.seconds:.0f} |" for row in self.rows)
        found = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        yield from ("", f"In the end, of all articles and labels: **{found or 'not counted'}**.", "")
        ready = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.ready_s.items())
        again = ", ".join(f"{name} {count}" for name, count in self.restarted.items()) or "none"
        yield f"- **Up**: seconds until each service was ready: {ready}."
        yield f"- **Restarted** as `restart: always` has it, times: {again}."
        yield f"- **Took** {time.monotonic() - self.began:.0f} s on {_machine()}."
        yield f"- **Versions**: {_versions()}."
        changed = ", ".join(f"`{name}`" for name in ("AIRFLOW_PORT", "AIRFLOW_BASE_URL", *self.settings))
        yield f"- **Changed** in `.env`, as a user would: {changed}; nothing else is overridden."
        yield from ("", "## What stands for what containers give", "", "| in the stack | here |", "| --- | --- |")
        yield from (f"| {there} | {here} |" for there, here in TRANSLATED)
        yield from self.notes


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def _versions() -> str:
    servers = [_said(redis_server(), "--version"), _said(str(postgres_bin() / "postgres"), "--version")]
    return "; ".join([f"Airflow {version('apache-airflow')}", f"Celery {version('celery')}", *servers])


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split()[:3])
