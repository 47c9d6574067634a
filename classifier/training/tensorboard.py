"""Write a training's curves for TensorBoard.

tensorboard --logdir var/checkpoints    while training
tensorboard --logdir var/models         afterwards
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # TensorFlow takes seconds to import: only when it is needed
    from classifier.model.keras.event_file import EventFile
    from classifier.training.fit import TrainingProgress

_MAX_POINTS = 1000
"""Maximum points of the loss; an epoch's metrics are always written."""


class EventWriter:
    """Writes a training's curves into a folder, one file per attempt."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"events.out.tfevents.{time.time():.6f}"
        self._file: EventFile | None = None

    def __call__(self, progress: TrainingProgress) -> None:
        """Write the loss at regular steps, and an epoch's metrics at its end."""
        if self._file is None:
            from classifier.model.keras.event_file import EventFile

            self._file = EventFile(self._path, step=progress.step)
        if progress.ended is not None:
            scores = {"accuracy": progress.ended.accuracy, "macro_f1": progress.ended.macro_f1}
            self._file.write(progress.step, {f"validation/{name}": score for name, score in scores.items()})
        elif progress.step % max(1, progress.steps // _MAX_POINTS) == 0:
            self._file.write(progress.step, {"train/loss": progress.loss})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
