"""Show the demo's steps: live on a terminal, in plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

_QUIET_S = 20.0
"""Where there is no terminal, how long a step says nothing more after it has said something."""


@dataclass(slots=True)
class Display:
    """Shows steps, and remembers how long each one took."""

    console: Console
    took: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step while it runs, and what came of it."""
        shown = Step(title, self.console)
        if self.console.is_terminal:
            with Live(get_renderable=shown.render, console=self.console, transient=True, refresh_per_second=4):
                yield shown
        else:
            self.say(f"{title} ...")
            yield shown
        self.took.append((title, shown.seconds))
        self.say(shown.summary)

    def say(self, line: str) -> None:
        """Print a line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Step:
    """A step under way."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._detail = ""
        self._result = ""
        self._began = time.monotonic()
        self._said = self._began
        self._spinner = Spinner("dots")

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began

    @property
    def summary(self) -> str:
        """The line that stays when it is over."""
        return f"{self._title}: {duration(self.seconds)}{_aside(self._result)}"

    def now(self, detail: str) -> None:
        """Show how far it is."""
        due = time.monotonic() - self._said >= _QUIET_S
        if not self._console.is_terminal and due and detail != self._detail:
            self._said = time.monotonic()
            self._console.print(f"  {detail}", markup=False, highlight=False, soft_wrap=True)
        self._detail = detail

    def result(self, result: str) -> None:
        """Keep what came of it, for the summary."""
        self._result = result

    def render(self) -> RenderableType:
        """Draw it as it is now."""
        line = f"{self._title}  {duration(self.seconds)}{_aside(self._detail)}"
        self._spinner.update(text=Text(line, overflow="ellipsis", no_wrap=True))
        return self._spinner


def _aside(detail: str) -> str:
    return f"  ({detail})" if detail else ""


def duration(seconds: float) -> str:
    """Return seconds as people say them: 3.2 s, 2 min 05 s."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"
