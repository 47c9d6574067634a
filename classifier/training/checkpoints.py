"""Save a training's state to the disk, so that a training that was killed can resume.

    HOME/checkpoints/KEY/lock           held while the training runs; the kernel releases it with the process
                         name           of the model that the training will produce
                         step-00000120.0002/   steps done and the next epoch: state.safetensors, state.json
                         best-0002.safetensors

A state is renamed to its final name once it is complete and on the disk. The previous state is kept in case the newest
one is damaged. The folders of abandoned trainings are deleted after a week.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from classifier import atomic_files
from classifier.exceptions import TrainingInProgressError
from classifier.training import folder_lock
from classifier.training.training_state import FORMAT, TrainingPosition, TrainingState

log = logging.getLogger(__name__)

RETENTION_DAYS = 7
"""Days after which the folder of a training that was not resumed is deleted."""

_KEPT_STATES = 2
_STATE, _ARRAYS, _NAME = "state.json", "state.safetensors", "name"


class Checkpoints:
    """The saved states of one training, whose lock is held.

    A state is due `every_s` seconds after the last one and, if `every_steps` is given, after every `every_steps` steps.
    """

    def __init__(self, directory: Path, *, every_s: float = 300.0, every_steps: int | None = None) -> None:
        self.directory = directory
        self._every_s, self._every_steps = every_s, every_steps
        self._saved_at = time.monotonic()
        self._best: tuple[str, str] | None = None  # file name and hash

    def model_name(self, new_name: str) -> str:
        """Return the name that the first attempt gave the model; in the first attempt, `new_name`."""
        path = self.directory / _NAME
        if not path.is_file():
            atomic_files.write(path, new_name.encode())
        return path.read_text(encoding="utf-8")

    def due(self, step: int) -> bool:
        """Return whether it is time to save."""
        if self._every_steps is not None and step % self._every_steps == 0:
            return True
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: TrainingState) -> None:
        """Write a state. If the disk is full or fails, log a warning: training continues."""
        try:
            self._write(state)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("%s: cannot save the training's state (%s); training continues", self.directory, error)
        self._saved_at = time.monotonic()

    def newest(self) -> TrainingState | None:
        """Return the newest undamaged state, or None if there is none."""
        for path in self._states():
            try:
                state = self._read(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                log.warning("%s: damaged (%s); using the state before it", path, error)
                shutil.rmtree(path, ignore_errors=True)
            else:
                log.info("%s: resuming from this state", path)
                return state
        return None

    def discard(self) -> None:
        """Delete all states, once they are no longer needed."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted(self.directory.glob("step-*"), reverse=True)

    def _write(self, state: TrainingState) -> None:
        target = self.directory / f"step-{state.position.step:08d}.{state.position.epoch:04d}"
        if target.exists():  # nothing has changed since it was written
            return
        best = self._write_best(state)
        temporary = Path(tempfile.mkdtemp(dir=self.directory, prefix=".part-"))
        try:
            save_file(dict(state.network), temporary / _ARRAYS)
            description = {
                "format": FORMAT,
                "position": state.position.to_json(),
                "sha256": _sha256(temporary / _ARRAYS),
                "best": best,
            }
            (temporary / _STATE).write_text(json.dumps(description), encoding="utf-8")
            atomic_files.publish(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._clean()

    def _write_best(self, state: TrainingState) -> Sequence[str] | None:
        """Write the best epoch's weights unless they are written, and return their file's name and hash."""
        name = f"best-{state.position.best_epoch:04d}.safetensors"
        if not state.position.best_epoch or (self._best and self._best[0] == name):
            return self._best
        temporary = self.directory / f".part-{name}"
        save_file({f"{index:04d}": np.asarray(array, order="C") for index, array in enumerate(state.best)}, temporary)
        digest = _sha256(temporary)
        atomic_files.replace(temporary, self.directory / name)
        self._best = (name, digest)
        return self._best

    def _clean(self) -> None:
        """Delete all but the last two states, the weights that only older states need, and incomplete files."""
        states = self._states()
        for path in [*states[_KEPT_STATES:], *self.directory.glob(".part-*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        descriptions = [json.loads((path / _STATE).read_text(encoding="utf-8")) for path in states[:_KEPT_STATES]]
        needed = {state["best"][0] for state in descriptions if state["best"]}
        for path in self.directory.glob("best-*"):
            if path.name not in needed:
                path.unlink()

    def _read(self, path: Path) -> TrainingState:
        description = json.loads((path / _STATE).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}")
        arrays = _load(path / _ARRAYS, description["sha256"])
        best: Mapping[str, NDArray[Any]] = {}
        if description["best"]:
            name, digest = description["best"]
            best = _load(self.directory / name, digest)
            self._best = (name, digest)
        return TrainingState(
            TrainingPosition.from_json(description["position"]), arrays, [best[name] for name in sorted(best)]
        )


@contextmanager
def open_checkpoints(
    root: Path, key: str, *, every_s: float = 300.0, every_steps: int | None = None, wait: bool = False
) -> Iterator[Checkpoints]:
    """Hold the lock of the training `key` below `root`, and yield its states.

    Raises:
        TrainingInProgressError: another process runs the same training, and `wait` is false.
    """
    _delete_abandoned(root, current=key)
    with folder_lock.hold_folder(root / key, wait=wait) as directory:
        yield Checkpoints(directory, every_s=every_s, every_steps=every_steps)


def _delete_abandoned(root: Path, *, current: str) -> None:
    oldest = time.time() - RETENTION_DAYS * 86_400
    for directory in root.iterdir() if root.is_dir() else ():
        try:  # another process may rename or remove the folder at any moment
            if directory.name == current or not directory.is_dir() or directory.stat().st_mtime > oldest:
                continue
            with folder_lock.hold_folder(directory):
                shutil.rmtree(directory)
                log.info("%s: deleted, since its training was not resumed for %d days", directory, RETENTION_DAYS)
        except (OSError, TrainingInProgressError):
            continue


def _load(path: Path, expected: str) -> dict[str, NDArray[Any]]:
    if (actual := _sha256(path)) != expected:
        raise ValueError(f"{path.name}: sha256 is {actual[:12]}, but {expected[:12]} was written")
    arrays: dict[str, NDArray[Any]] = load_file(path)
    return arrays


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
