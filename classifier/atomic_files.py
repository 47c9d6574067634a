"""Put files on the disk so that a crash, of the machine too, leaves either all of them or none.

A rename alone is not enough: the name may reach the disk before the content does.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a small file whole: until the end, whatever was there before stays.

    Several processes may write the same file at once: the last one that finishes wins. What is no file, such as
    /dev/stdout, is written to as it is.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with temporary(path) as aside:
        aside.write_bytes(content)
        replace(aside, path)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Provide a name beside the path that no other process uses; remove its file if it was not renamed."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def replace(aside: Path, path: Path) -> None:
    """Give a finished file its name, in place of the file that has it."""
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def publish(aside: Path, directory: Path) -> None:
    """Give a finished folder of files its name, which nothing may have yet."""
    for path in aside.iterdir():
        sync(path)
    sync(aside)
    aside.rename(directory)
    sync(directory.parent)
