"""Give a folder a path that every program can use: short, and without characters that have a meaning elsewhere.

The path of a Unix socket may have about 100 bytes, and shells, database URLs and configuration files give spaces,
quotes, `%`, `#`, `$` and `,` a meaning. A symbolic link in a folder of the user stands for such a path.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from classifier.exceptions import SettingsError

MAX_BYTES = 80
"""Longest path that is used unchanged: a socket's name and its limit of 104 bytes on macOS leave this much."""

_REMEDY = "set TMPDIR to a folder that belongs to you"
_PLAIN = re.compile(r"/[A-Za-z0-9._/-]*")
_PARENTS = ("/tmp", "/var/tmp")  # noqa: S108 - `_own_folder` checks who owns the folder inside


def plain(directory: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Return an absolute folder's path if it is plain, else the path of a link to it, which is made if necessary.

    A path of more than `max_bytes` is not plain. Every process of the user gets the same link, as long as they have
    the same folder for temporary files.

    Raises:
        SettingsError: the link cannot be made, or another user owns the folder for it.
    """
    path = str(directory)
    if _is_plain(path, max_bytes):
        return directory
    link = _own_folder() / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    try:
        if not link.is_symlink() or link.readlink() != directory:
            temporary = link.with_name(f"{link.name}.{os.getpid()}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(directory)
            temporary.replace(link)
    except OSError as error:
        raise SettingsError(f"{link}: cannot make a link ({error.strerror}); {_REMEDY}") from error
    return link


def _is_plain(path: str, max_bytes: int = MAX_BYTES) -> bool:
    return len(path) <= max_bytes and _PLAIN.fullmatch(path) is not None


def _own_folder() -> Path:
    """Return the folder of the user's links, made with rights that let no other user change a link."""
    parent = next(filter(_is_plain, (tempfile.gettempdir(), *_PARENTS)))
    folder = Path(parent) / f"article-classifier-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise SettingsError(f"{folder}: cannot make the folder ({error.strerror}); {_REMEDY}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SettingsError(f"{folder}: another user owns or may change it; {_REMEDY}")
    return folder
