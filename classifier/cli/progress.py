"""Progress on standard error, that vanishes when it is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from classifier.training.fit import TrainingProgress

STDERR = Console(stderr=True)


@contextmanager
def counter(what: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Count up, where the total is not known."""
    columns = (TextColumn("{task.completed:,.0f}"), TextColumn(what), TimeElapsedColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task(what, total=None)
        yield lambda count: shown.advance(task, count)


@contextmanager
def bar(what: str, *, quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Yield two functions: one that sets the total and one that advances."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task(what, total=None)
        yield lambda total: shown.update(task, total=total), lambda count: shown.advance(task, count)


@contextmanager
def training(*, quiet: bool) -> Iterator[Callable[[TrainingProgress], None]]:
    """Show a training's step, loss, last validation score and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task("training", total=None)

        def on_progress(now: TrainingProgress) -> None:
            score = "" if now.validation is None else f", validation macro-F1 {now.validation:.4f}"
            description = f"epoch {now.epoch}, loss {now.loss:.3f}{score}"
            shown.update(task, total=now.steps, completed=now.step, description=description)

        yield on_progress


def _progress(
    columns: tuple[TextColumn | BarColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn, ...],
    *,
    quiet: bool,
) -> Progress:
    return Progress(*columns, console=STDERR, transient=True, disable=quiet or not STDERR.is_terminal)
