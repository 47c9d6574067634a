"""Write TensorBoard's event files in the format that TensorFlow includes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class EventFile:
    """An event file of scalars, whose values replace those of earlier files from `step` on."""

    def __init__(self, path: Path, *, step: int) -> None:
        import tensorflow as tf
        from tensorflow.core.util.event_pb2 import SessionLog

        self._writer = tf.io.TFRecordWriter(str(path))
        self._add(file_version="brain.Event:2")
        self._add(step=step, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step, by their tags."""
        from tensorflow.core.framework.summary_pb2 import Summary

        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(step=step, summary=Summary(value=scalars))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, **fields: Any) -> None:
        from tensorflow.core.util.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
        self._writer.flush()
