"""What the container test found: printed and, if asked for, written to `docs/benchmarks/container-test.md`."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psutil

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "benchmarks" / "container-test.md"
KEPT = "<!-- measured by hand; `make container-test WRITE=1` keeps what follows -->"
"""The line of the page below which nothing is replaced."""


@dataclass(frozen=True)
class Row:
    """A step or a fault: what was done, what happened, how it ended, and how many seconds it took."""

    what: str
    happened: str
    end: str
    seconds: float


@dataclass
class Report:
    """The results that the tests collect."""

    steps: list[Row] = field(default_factory=list)
    faults: list[Row] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    images_mb: dict[str, float] = field(default_factory=dict)
    memory_mib: Mapping[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    complete: bool = False
    notes: list[str] = field(default_factory=list)

    def step(self, what: str, happened: str, seconds: float, end: str = "success") -> None:
        """Add a step."""
        self.steps.append(Row(what, happened, end, seconds))

    def fault(self, what: str, happened: str, end: str, seconds: float) -> None:
        """Add a fault."""
        self.faults.append(Row(what, happened, end, seconds))

    def render(self) -> str:
        """Return the report; if it is complete and `CLASSIFIER_TEST_WRITE` is set, also write it."""
        text = "\n".join(self._lines()) + "\n"
        if os.environ.get("CLASSIFIER_TEST_WRITE") and self.complete:
            former = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
            kept = former[former.index(KEPT) :] if KEPT in former else f"{KEPT}\n"
            PAGE.write_text(f"{text}\n{kept}", encoding="utf-8")
        return text

    def _lines(self) -> Iterator[str]:
        yield from (
            "# The stack in containers",
            "",
            "`make container-test` builds the images and runs the stack with Docker Compose, in a checkout made under",
            "umask 077. It follows the lines of [install](../how-to/install.md), [back up and",
            "restore](../how-to/back-up-and-restore.md) and [upgrade](../how-to/upgrade.md). It works on real articles",
            "(BBC) and injects the faults of a production system. `make container-test WRITE=1` writes this page.",
            "",
            "| step | what happened | end | seconds |",
            "| --- | --- | --- | --- |",
        )
        yield from map(_line, self.steps)
        yield from (
            "",
            "## Faults",
            "",
            "| fault | what happened | state of the run | seconds from the fault to the end |",
            "| --- | --- | --- | --- |",
        )
        yield from map(_line, self.faults)
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        yield from ("", f"At the end: **{counts or 'not counted'}**.", "")
        images = ", ".join(f"{name} {size:,.0f} MB" for name, size in self.images_mb.items())
        memory = ", ".join(f"{name} {size:,.0f}" for name, size in self.memory_mib.items())
        yield f"- **Images**, uncompressed: {images}."
        yield f"- **Memory at rest**, MiB: {memory}; together {sum(self.memory_mib.values()):,.0f}."
        yield f"- **Duration**: {time.monotonic() - self.began:.0f} s on {_machine()}; {_versions()}."
        yield from (f"- {note}" for note in self.notes)


def _line(row: Row) -> str:
    return f"| {row.what} | {row.happened} | {row.end} | {row.seconds:.0f} |"


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def _versions() -> str:
    engine = ("docker", "version", "--format", "{{.Server.Version}}")
    compose = ("docker", "compose", "version", "--short")
    versions = [subprocess.run(command, capture_output=True, text=True, check=False) for command in (engine, compose)]
    return f"Docker Engine {versions[0].stdout.strip()}, Compose {versions[1].stdout.strip()}"
