"""Read files of object stores (s3://, gs://, abfs://) through fsspec, and tell whether a file has changed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import has_magic
from pathlib import Path
from typing import IO, Any, Literal

import fsspec
from upath import UPath

from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile, name_file_in_errors
from classifier.ingest.text_folders import list_files


@dataclass(frozen=True, slots=True)
class FileStamp:
    """A file's size and the time of its last change, None if the store has no times."""

    size: int
    modified_at: datetime | None


class StoredFile:
    """A file of an object store; every error of the store's client becomes an `OSError`."""

    def __init__(self, path: UPath) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.name

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return self._path.suffix

    def open(self, mode: Literal["rb"], /) -> IO[Any]:
        """Open the file for reading."""
        with _as_oserror():
            return io.BufferedReader(_Translated(self._path.fs.open(self._path.path, mode)), 2**20)

    def exists(self) -> bool:
        """Return whether the file exists."""
        with _as_oserror():
            return bool(self._path.fs.exists(self._path.path))

    def is_dir(self) -> bool:
        """Return whether this is a folder."""
        with _as_oserror():
            return bool(self._path.fs.isdir(self._path.path))

    def is_file(self) -> bool:
        """Return whether this is a file."""
        with _as_oserror():
            return bool(self._path.fs.isfile(self._path.path))

    def iterdir(self) -> Iterator[StoredFile]:
        """Yield the files and folders of a folder."""
        with _as_oserror():
            return iter([StoredFile(path) for path in self._path.iterdir()])

    def stamp(self) -> FileStamp:
        """Return the file's size and time."""
        with _as_oserror():
            size = int(self._path.fs.info(self._path.path)["size"])
            try:
                moment = self._path.fs.modified(self._path.path)
            except NotImplementedError:
                return FileStamp(size, None)
        return FileStamp(size, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


_WEB_SCHEMES = {"http", "https", "ftp", "reference"}
"""Clients of these schemes follow a server or a file anywhere, even into the worker's own network."""


def is_url(pattern: str) -> bool:
    """Return whether a path is a URL, such as s3://bucket/name."""
    return "://" in pattern


def expand(pattern: str) -> list[SourceFile]:
    """Return the files of a store that match a URL or a glob, sorted.

    Raises:
        SourceError: the store cannot be read, or the URL leads to the web.
    """
    for link in pattern.split("::"):  # fsspec chains URLs, as in simplecache::https://host/a.csv
        if link.partition("://")[0].lower() in _WEB_SCHEMES:
            raise SourceError(f"{pattern}: files are not fetched over {link.partition(':')[0]}; download it first")
    try:
        with _as_oserror():
            store, root = fsspec.core.url_to_fs(pattern)
            store.invalidate_cache()
            is_folder = not has_magic(root) and store.isdir(root)
            names = [root] if is_folder else sorted(name for name in store.glob(root) if not store.isdir(name))
            return [StoredFile(UPath(store.unstrip_protocol(name))) for name in names]
    except ImportError as error:
        raise SourceError(f"{pattern}: {error}; install article-classifier[object-stores]") from error
    except OSError as error:
        raise SourceError(f"{pattern}: cannot be read ({_line(error)})") from error


def file_url(file: SourceFile) -> str:
    """Return a file's absolute path or URL."""
    return str(file.absolute()) if isinstance(file, Path) else str(file)


def read_stamp(file: SourceFile) -> FileStamp:
    """Return a file's size and the time of its last change; of a folder, the sum and the last one of its files."""
    if file.is_dir():
        stamps = [read_stamp(member) for member in list_files(file)]
        times = [stamp.modified_at for stamp in stamps if stamp.modified_at]
        return FileStamp(sum(stamp.size for stamp in stamps), max(times) if len(times) == len(stamps) > 0 else None)
    with name_file_in_errors(file):
        if isinstance(file, StoredFile):
            return file.stamp()
        assert isinstance(file, Path)
        status = file.stat()
        return FileStamp(status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def hash_file(file: SourceFile) -> bytes:
    """Return the SHA-256 of a file's bytes; of a folder, that of its files' paths and hashes."""
    digest = hashlib.sha256()
    if file.is_dir():
        for member in list_files(file):
            digest.update(hash_file(member) + str(member).encode("utf-8", "surrogateescape") + b"\0")
        return digest.digest()
    with name_file_in_errors(file), file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.digest()


class _Translated(io.RawIOBase):
    """A client's open file; reading it raises no error but `OSError`."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part: bytes = _translated(self._file.read, len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(_translated(self._file.seek, offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def _translated(function: Callable[..., Any], *arguments: Any) -> Any:
    with _as_oserror():
        return function(*arguments)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Turn every error of a store's client into an `OSError` with one line."""
    try:
        yield
    except (OSError, ImportError, SourceError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).partition("\n")[0]
