"""Write a training's metrics into the database while it runs; a failing database does not stop the training."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import UserError
from classifier.store import training_runs

if TYPE_CHECKING:
    from classifier.training.fit import TrainingProgress

log = logging.getLogger(__name__)

T = TypeVar("T")

INTERVAL_S = 5.0
"""Seconds between two points of the loss; the end of an epoch is written at once."""

_MIN_RETRY_S, _MAX_RETRY_S = 30.0, 600.0
_MAX_POINTS = 10_000


class MetricsRecorder:
    """Records one training. Points that cannot be written are kept for the next attempt."""

    def __init__(self, database: Engine, key: str, *, epochs: int, interval_s: float = INTERVAL_S) -> None:
        self._database, self._key, self._epochs, self._interval_s = database, key, epochs, interval_s
        self._run_id: int | None = None
        self._from_step: int | None = None
        self._points: dict[int, dict[str, Any]] = {}
        self._steps, self._progress = 0, dict[str, Any]()
        self._next_at, self._pause_s = 0.0, interval_s
        self._finished = False

    def __call__(self, progress: TrainingProgress) -> None:
        """Record the progress at the end of an epoch, or if the interval has passed."""
        if self._from_step is None:
            self._from_step = progress.step - (0 if progress.ended else 1)
        if progress.ended is None and time.monotonic() < self._next_at:
            return
        point = {"step": progress.step, "epoch": progress.epoch, "loss": progress.loss, "seconds": progress.seconds}
        self._steps, self._progress = progress.steps, {**point, "seconds_left": progress.seconds_left}
        if len(self._points) < _MAX_POINTS:
            ended = progress.ended
            scores = {"accuracy": ended and ended.accuracy, "macro_f1": ended and ended.macro_f1}
            self._points[progress.step] = {**point, **scores}
        is_failing = self._pause_s > self._interval_s
        if not is_failing or time.monotonic() >= self._next_at:
            self._flush()

    def finish(self, *, model_id: int | None = None, error: str | None = None) -> None:
        """Record how the training ended; only the first call counts."""
        if self._finished:
            return
        self._finished = True
        if self._points:
            self._flush()
        key, run_id = self._key, self._run_id
        self._try(lambda connection: training_runs.finish(connection, key, run_id, model_id=model_id, error=error))

    def _flush(self) -> None:
        """Write the points; after a failure, wait longer before the next attempt."""
        run_id = self._try(self._write)
        if run_id is not None:
            self._run_id, self._points, self._pause_s = run_id, {}, self._interval_s
        else:
            self._pause_s = min(max(2 * self._pause_s, _MIN_RETRY_S), _MAX_RETRY_S)
        self._next_at = time.monotonic() + self._pause_s

    def _write(self, connection: Connection) -> int:
        """Write the points and the progress, and return the run's id."""
        run_id = self._run_id
        if run_id is None:
            from_step = self._from_step or 0
            run_id = training_runs.start(
                connection, self._key, steps=self._steps, epochs=self._epochs, from_step=from_step
            )
        training_runs.record(connection, run_id, list(self._points.values()), self._progress)
        return run_id

    def _try(self, action: Callable[[Connection], T]) -> T | None:
        """Return the result of the action in its own transaction; if it fails, log a warning and return None."""
        try:
            with self._database.begin() as connection:
                connection.execute(text("SET LOCAL statement_timeout = '5s'"))
                return action(connection)
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
            log.warning("cannot write the training's metrics now (%s); training continues", reason)
            return None


@contextmanager
def record_metrics(
    database: Engine, key: str, *, epochs: int, interval_s: float = INTERVAL_S
) -> Iterator[MetricsRecorder]:
    """Yield a recorder; if the training raises, it is recorded as failed, with one line."""
    recorder = MetricsRecorder(database, key, epochs=epochs, interval_s=interval_s)
    try:
        yield recorder
    except BaseException as error:
        # only a UserError is sure not to quote an article's text
        recorder.finish(error=str(error) if isinstance(error, UserError) else f"{type(error).__name__}; see the log")
        raise
