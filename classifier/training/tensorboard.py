"""Write TensorBoard's event files: `tensorboard --logdir var/checkpoints` while training, `var/models` afterwards.

TensorFlow has the format; its `tf.summary.scalar` would need TensorBoard itself to be installed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifier.training.fit import Progress

_POINTS = 1000
"""Of the loss; an epoch's validation is always written."""


class EventWriter:
    """Writes a training's curves into a folder, one file an attempt.

    TensorBoard forgets what an earlier attempt wrote from the step on at which this one begins.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"events.out.tfevents.{time.time():.6f}"
        self._writer: Any = None

    def __call__(self, now: Progress) -> None:
        """Write the loss now and then, and an epoch's figures at its end."""
        if self._writer is None:
            self._open(now.step)
        if now.ended is not None:
            scores = {"accuracy": now.ended.accuracy, "macro_f1": now.ended.macro_f1}
            self._write(now.step, {f"validation/{name}": score for name, score in scores.items()})
        elif now.step % max(1, now.steps // _POINTS) == 0:
            self._write(now.step, {"train/loss": now.loss})

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> None:
        import tensorflow as tf
        from tensorflow.core.util.event_pb2 import SessionLog

        self._writer = tf.io.TFRecordWriter(str(self._path))
        self._add(file_version="brain.Event:2")
        self._add(step=step, session_log=SessionLog(status=SessionLog.START))

    def _write(self, step: int, values: dict[str, float]) -> None:
        from tensorflow.core.framework.summary_pb2 import Summary

        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(step=step, summary=Summary(value=scalars))

    def _add(self, **fields: Any) -> None:
        from tensorflow.core.util.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
        self._writer.flush()
