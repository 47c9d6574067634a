"""Lock a folder, so that one process at a time works in it.

The kernel holds the lock (`flock`) and releases it with the process, however that ends. The library `filelock` uses the
same call, but it neither names the process that holds the lock nor creates the folder again if the holder removes it.
This module would still need code for both, which is most of it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.exceptions import TrainingInProgressError

log = logging.getLogger(__name__)

_LOCK_FILE = "lock"


@contextmanager
def hold_folder(directory: Path, *, wait: bool = False) -> Iterator[Path]:
    """Hold the folder's lock, creating the folder if it does not exist, and yield the folder.

    Raises:
        TrainingInProgressError: another process holds the lock, and `wait` is false.
    """
    file = _lock(directory, wait)
    try:
        yield directory
    finally:
        os.close(file)


def _lock(directory: Path, wait: bool) -> int:
    """Return a descriptor that holds the folder's lock until it is closed or the process ends."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the previous holder has just removed the folder
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            message = f"{directory}: process {holder} is training with the same articles and recipe"
            if not wait:
                os.close(file)
                raise TrainingInProgressError(f"{message}; wait for it, or stop it") from error
            log.warning("%s; waiting for it to end", message)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_linked(directory / _LOCK_FILE, file):
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
            return file
        os.close(file)


def _is_linked(path: Path, file: int) -> bool:
    """Return whether the open file still has this path: its holder may have removed it before the lock was free."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
