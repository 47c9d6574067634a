"""Show the demo's steps: live on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

_LINE_INTERVAL_S = 20.0
"""Seconds between two lines of a step if there is no terminal."""


@dataclass(slots=True)
class Display:
    """Shows steps and records how long each took."""

    console: Console
    took: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step while it runs, then its duration and result."""
        step = Step(title, self.console)
        if self.console.is_terminal:
            with Live(get_renderable=step.render, console=self.console, transient=True, refresh_per_second=4):
                yield step
        else:
            self.print(f"{title} ...")
            yield step
        self.took.append((title, step.seconds))
        self.print(step.summary)

    def print(self, line: str) -> None:
        """Print a line without markup, highlighting or wrapping."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Step:
    """A step that is running."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._progress = ""
        self._result = ""
        self._began = time.monotonic()
        self._last_line = self._began
        self._spinner = Spinner("dots")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def summary(self) -> str:
        """The line that stays when the step has ended."""
        return f"{self._title}: {duration(self.seconds)}{_in_parentheses(self._result)}"

    def progress(self, progress: str) -> None:
        """Show how far the step is."""
        due = time.monotonic() - self._last_line >= _LINE_INTERVAL_S
        if not self._console.is_terminal and due and progress != self._progress:
            self._last_line = time.monotonic()
            self._console.print(f"  {progress}", markup=False, highlight=False, soft_wrap=True)
        self._progress = progress

    def result(self, result: str) -> None:
        """Set the result for the summary."""
        self._result = result

    def render(self) -> RenderableType:
        """Return the line that shows the step now."""
        line = f"{self._title}  {duration(self.seconds)}{_in_parentheses(self._progress)}"
        self._spinner.update(text=Text(line, overflow="ellipsis", no_wrap=True))
        return self._spinner


def _in_parentheses(detail: str) -> str:
    return f"  ({detail})" if detail else ""


def duration(seconds: float) -> str:
    """Return a duration for people: 3.2 s, 2 min 05 s."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes} min {remainder:02} s"
