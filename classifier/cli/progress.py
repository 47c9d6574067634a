"""Progress bars on standard error, which are hidden unless it is a terminal."""

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
def counter(unit: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a counter without a total."""
    columns = (TextColumn("{task.completed:,.0f}"), TextColumn(unit), TimeElapsedColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task(unit, total=None)
        yield lambda count: shown.advance(task, count)


@contextmanager
def bar(title: str, *, quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Yield two functions: one that sets the total and one that advances."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task(title, total=None)
        yield lambda total: shown.update(task, total=total), lambda count: shown.advance(task, count)


@contextmanager
def training(*, quiet: bool) -> Iterator[Callable[[TrainingProgress], None]]:
    """Yield a function that shows a training's step, loss, last validation score and time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(columns, quiet=quiet) as shown:
        task = shown.add_task("training", total=None)

        def on_progress(progress: TrainingProgress) -> None:
            score = "" if progress.validation is None else f", validation macro-F1 {progress.validation:.4f}"
            description = f"epoch {progress.epoch}, loss {progress.loss:.3f}{score}"
            shown.update(task, total=progress.steps, completed=progress.step, description=description)

        yield on_progress


def _progress(
    columns: tuple[TextColumn | BarColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn, ...],
    *,
    quiet: bool,
) -> Progress:
    return Progress(*columns, console=STDERR, transient=True, disable=quiet or not STDERR.is_terminal)
