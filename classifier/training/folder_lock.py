"""A folder that one process at a time works in. The lock is the kernel's, so it goes with the process."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.exceptions import TrainingInProgressError

log = logging.getLogger(__name__)

_LOCK = "lock"


@contextmanager
def hold_folder(directory: Path, *, wait: bool = False) -> Iterator[Path]:
    """Hold the folder's lock, making the folder if need be, and yield the folder.

    Raises:
        TrainingInProgressError: another process holds it, and its end is not to be waited for.
    """
    file = _lock(directory, wait)
    try:
        yield directory
    finally:
        os.close(file)


def _lock(directory: Path, wait: bool) -> int:
    """Return a descriptor that holds the folder's lock until it is closed, or the process ends."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # whoever had it has just removed the folder
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            taken = f"the same articles and recipe are being trained already, by process {holder}"
            if not wait:
                os.close(file)
                raise TrainingInProgressError(f"{taken}; wait for it, or stop it") from error
            log.warning("%s; waiting for its end", taken)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_there(directory / _LOCK, file):
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
            return file
        os.close(file)


def _is_there(path: Path, file: int) -> bool:
    """Say whether the open file still has its name: its holder may have removed it before letting go."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
