"""Keep a training's state on the disk, so that one that was killed goes on.

    HOME/checkpoints/KEY/lock           held while the training runs; goes with the process
                         name           of the model that it will become
                         step-00000120.0002/   steps done and the epoch that comes: state.safetensors, state.json
                         best-0002.safetensors

A state gets its name when it is complete and on the disk. The one before it stays, for the case that it
is damaged. What is left of other trainings is swept after a week.
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

KEPT_DAYS = 7
"""After which a training that nobody went on with is swept away."""

_KEPT_STATES = 2
_STATE, _ARRAYS, _NAME = "state.json", "state.safetensors", "name"


class Checkpoints:
    """The saved states of one training, which holds their lock.

    A state is due `every_s` seconds after the last one, or every `every_steps` steps where that is given.
    """

    def __init__(self, directory: Path, *, every_s: float = 300.0, every_steps: int | None = None) -> None:
        self.directory = directory
        self._every_s, self._every_steps = every_s, every_steps
        self._saved_at = time.monotonic()
        self._best: tuple[str, str] | None = None  # file and hash

    def name(self, fresh: str) -> str:
        """Return the name that this training's model has had from its first attempt on; `fresh` in the first."""
        path = self.directory / _NAME
        if not path.is_file():
            atomic_files.write(path, fresh.encode())
        return path.read_text(encoding="utf-8")

    def due(self, step: int) -> bool:
        """Say whether it is time to save."""
        if self._every_steps is not None and step % self._every_steps == 0:
            return True
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: TrainingState) -> None:
        """Write a state; a disk that is full, or fails, stops no training."""
        try:
            self._write(state)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("%s: the training's state cannot be saved (%s); it goes on", self.directory, error)
        self._saved_at = time.monotonic()

    def newest(self) -> TrainingState | None:
        """Return the last state that is whole; None where there is none, and the training starts afresh."""
        for path in self._states():
            try:
                state = self._read(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                log.warning("%s: damaged (%s); going back to what was saved before it", path, error)
                shutil.rmtree(path, ignore_errors=True)
            else:
                log.info("%s: going on from here", path)
                return state
        return None

    def discard(self) -> None:
        """Remove everything: the model is registered."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted(self.directory.glob("step-*"), reverse=True)

    def _write(self, state: TrainingState) -> None:
        target = self.directory / f"step-{state.position.step:08d}.{state.position.epoch:04d}"
        if target.exists():  # nothing has changed since
            return
        best = self._write_best(state)
        aside = Path(tempfile.mkdtemp(dir=self.directory, prefix=".part-"))
        try:
            save_file(dict(state.network), aside / _ARRAYS)
            described = {
                "format": FORMAT,
                "position": state.position.to_json(),
                "sha256": _sha256(aside / _ARRAYS),
                "best": best,
            }
            (aside / _STATE).write_text(json.dumps(described), encoding="utf-8")
            atomic_files.publish(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        self._clean()

    def _write_best(self, state: TrainingState) -> Sequence[str] | None:
        """Write the best epoch's weights once, and return their file and its hash."""
        name = f"best-{state.position.best_epoch:04d}.safetensors"
        if not state.position.best_epoch or (self._best and self._best[0] == name):
            return self._best
        aside = self.directory / f".part-{name}"
        save_file({f"{index:04d}": np.asarray(array, order="C") for index, array in enumerate(state.best)}, aside)
        digest = _sha256(aside)
        atomic_files.replace(aside, self.directory / name)
        self._best = (name, digest)
        return self._best

    def _clean(self) -> None:
        """Remove what only older states than the last two need, and what a kill left half-written."""
        states = self._states()
        for path in [*states[_KEPT_STATES:], *self.directory.glob(".part-*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        described = [json.loads((path / _STATE).read_text(encoding="utf-8")) for path in states[:_KEPT_STATES]]
        needed = {one["best"][0] for one in described if one["best"]}
        for path in self.directory.glob("best-*"):
            if path.name not in needed:
                path.unlink()

    def _read(self, path: Path) -> TrainingState:
        described = json.loads((path / _STATE).read_text(encoding="utf-8"))
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']}")
        arrays = _load(path / _ARRAYS, described["sha256"])
        best: Mapping[str, NDArray[Any]] = {}
        if described["best"]:
            name, digest = described["best"]
            best = _load(self.directory / name, digest)
            self._best = (name, digest)
        return TrainingState(
            TrainingPosition.from_json(described["position"]), arrays, [best[name] for name in sorted(best)]
        )


@contextmanager
def opened(
    root: Path, key: str, *, every_s: float = 300.0, every_steps: int | None = None, wait: bool = False
) -> Iterator[Checkpoints]:
    """Hold the lock of the training `key` below `root`, and yield its states.

    Raises:
        TrainingInProgressError: another process trains the same, and its end is not to be waited for.
    """
    _sweep(root, but=key)
    with folder_lock.hold_folder(root / key, wait=wait) as directory:
        yield Checkpoints(directory, every_s=every_s, every_steps=every_steps)


def _sweep(root: Path, *, but: str) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    for directory in root.iterdir() if root.is_dir() else ():
        try:  # another process may rename or remove the folder at any moment
            if directory.name == but or not directory.is_dir() or directory.stat().st_mtime > oldest:
                continue
            with folder_lock.hold_folder(directory):
                shutil.rmtree(directory)
                log.info("%s: swept, nobody went on with it in %d days", directory, KEPT_DAYS)
        except (OSError, TrainingInProgressError):
            continue


def _load(path: Path, expected: str) -> dict[str, NDArray[Any]]:
    if (found := _sha256(path)) != expected:
        raise ValueError(f"{path.name}: sha256 is {found[:12]}, {expected[:12]} was written")
    arrays: dict[str, NDArray[Any]] = load_file(path)
    return arrays


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
