"""Write a training's figures into the database as they come, and never let the database stop the training."""

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
    from classifier.training.fit import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_S = 5.0
"""Between two points of the loss; an epoch's end is written at once."""

_LONGEST_PAUSE_S = 600.0
_KEPT_POINTS = 10_000


class Recorder:
    """Records one training. Points that the database does not take now wait for the next time."""

    def __init__(self, database: Engine, key: str, *, epochs: int, every_s: float = EVERY_S) -> None:
        self._database, self._key, self._epochs, self._every_s = database, key, epochs, every_s
        self._run_id: int | None = None
        self._from_step: int | None = None
        self._points: dict[int, dict[str, Any]] = {}
        self._steps, self._standing = 0, dict[str, Any]()
        self._next_at, self._pause_s = 0.0, every_s
        self._finished = False

    def __call__(self, now: Progress) -> None:
        """Record where the training stands, if it is time."""
        if self._from_step is None:
            self._from_step = now.step - (0 if now.ended else 1)
        if now.ended is None and time.monotonic() < self._next_at:
            return
        point = {"step": now.step, "epoch": now.epoch, "loss": now.loss, "seconds": now.seconds}
        self._steps, self._standing = now.steps, {**point, "seconds_left": now.seconds_left}
        if len(self._points) < _KEPT_POINTS:
            ended = now.ended
            scores = {"accuracy": ended and ended.accuracy, "macro_f1": ended and ended.macro_f1}
            self._points[now.step] = {**point, **scores}
        fails = self._pause_s > self._every_s
        if not fails or time.monotonic() >= self._next_at:
            self._flush()

    def finish(self, *, model_id: int | None = None, error: str | None = None) -> None:
        """Say how the training ended; only the first time counts."""
        if self._finished:
            return
        self._finished = True
        if self._points:
            self._flush()
        key, run_id = self._key, self._run_id
        self._quietly(lambda connection: training_runs.finish(connection, key, run_id, model_id=model_id, error=error))

    def _flush(self) -> None:
        self._run_id, recorded = self._quietly(self._write) or (self._run_id, False)
        if recorded:
            self._points, self._pause_s = {}, self._every_s
        else:
            self._pause_s = min(max(2 * self._pause_s, 30.0), _LONGEST_PAUSE_S)
        self._next_at = time.monotonic() + self._pause_s

    def _write(self, connection: Connection) -> tuple[int, bool]:
        run_id = self._run_id
        if run_id is None:
            from_step = self._from_step or 0
            run_id = training_runs.start(
                connection, self._key, steps=self._steps, epochs=self._epochs, from_step=from_step
            )
        training_runs.record(connection, run_id, list(self._points.values()), self._standing)
        return run_id, True

    def _quietly(self, action: Callable[[Connection], T]) -> T | None:
        """Do it in a transaction of its own; where that fails, say so and go on."""
        try:
            with self._database.begin() as connection:
                connection.execute(text("SET LOCAL statement_timeout = '5s'"))
                return action(connection)
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
            log.warning("the training's figures cannot be written now (%s); it goes on", reason)
            return None


@contextmanager
def record_metrics(database: Engine, key: str, *, epochs: int, every_s: float = EVERY_S) -> Iterator[Recorder]:
    """Yield a recorder; a training that raises is recorded as failed, in one line."""
    recorder = Recorder(database, key, epochs=epochs, every_s=every_s)
    try:
        yield recorder
    except BaseException as error:
        # what is no UserError may quote an article's text
        recorder.finish(error=str(error) if isinstance(error, UserError) else f"{type(error).__name__}; see the log")
        raise
