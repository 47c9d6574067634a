"""Write files so that a crash of the process or the machine leaves either the complete file or none.

A rename alone does not guarantee that, because the name may reach the disk before the content does.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a small file atomically: until it is complete, the former content stays.

    Several processes may write the same file at once; the last one to finish wins. A path that is not a regular file,
    such as /dev/stdout, is written to directly.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with temporary(path) as temporary_path:
        temporary_path.write_bytes(content)
        replace(temporary_path, path)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield a unique path in the same folder; if the file is not renamed, it is deleted at the end."""
    temporary_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield temporary_path
    finally:
        temporary_path.unlink(missing_ok=True)


def replace(source: Path, path: Path) -> None:
    """Rename a complete file, and replace the file that has that name."""
    sync(source)
    source.replace(path)
    sync(path.parent)


def publish(source: Path, directory: Path) -> None:
    """Rename a folder of complete files; nothing may have that name yet."""
    for path in source.iterdir():
        sync(path)
    sync(source)
    source.rename(directory)
    sync(directory.parent)
