"""Read the members of a zip file, one after the other."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from classifier.exceptions import SourceError
from classifier.ingest import text_files
from classifier.ingest.columns import RawChunk
from classifier.ingest.text_files import SourceFile, name_file_in_errors
from classifier.names import shortened

_MAX_NAME_BYTES = 400
"""Of a member's name in a row's position; a zip file allows 65,535."""

log = logging.getLogger(__name__)

MAX_DIRECTORY = 16 * 2**20
"""Bytes of a zip file's directory: some 300,000 members. Python reads all of it, and keeps ten times as much."""

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""zipfile unpacks bzip2 and LZMA without a limit: four kilobytes become gigabytes."""

_MAX_EXPANSION_OF_PACKED = 10
"""A member that is packed itself packs no further; if it does, it is a bomb within a bomb."""


def read_zip(
    path: SourceFile, readable: Callable[[str], bool], read_member: Callable[[SourceFile], Iterator[RawChunk]]
) -> Iterator[RawChunk]:
    """Yield the rows of every member that is readable by its name; positions begin with the member's name."""
    with name_file_in_errors(path), path.open("rb") as file, _opened(file) as archive:
        archive.filename = str(path)  # an object store's file has no name of its own, and errors quote it
        names = sorted(name for name in archive.namelist() if _counts(name))
        chosen = [name for name in names if readable(name)]
        if not chosen:
            raise SourceError(f"{path}: no file in it that can be read; it holds {', '.join(names[:10]) or 'nothing'}")
        if ignored := len(names) - len(chosen):
            log.warning("%s: %d files in it are of no known kind", path.name, ignored)
        for name in chosen:
            _check(path, archive.getinfo(name))
            for chunk in _unlocked(path, name, read_member(zipfile.Path(archive, name))):
                yield chunk if len(chosen) == 1 else _named(chunk, shortened(name, _MAX_NAME_BYTES))


class _LimitedReads:
    """A file that refuses to be read by more than a limit at once."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file
        self.limit: int | None = MAX_DIRECTORY

    def read(self, size: int = -1, /) -> bytes:
        if self.limit is not None and size > self.limit:
            raise zipfile.BadZipFile(f"its directory takes more than {self.limit // 2**20} MiB")
        data: bytes = self._file.read(size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _opened(file: IO[Any]) -> zipfile.ZipFile:
    limited = _LimitedReads(file)
    archive = zipfile.ZipFile(limited)
    limited.limit = None
    return archive


def _check(path: SourceFile, member: zipfile.ZipInfo) -> None:
    """Raise unless a member may be unpacked. What its sizes say holds: zipfile unpacks no more of it."""
    where = f"{path}/{member.filename}"
    if member.compress_type not in _METHODS:
        raise SourceError(f"{where}: cannot be unpacked (method {member.compress_type}); pack it with deflate")
    packed = member.filename.lower().endswith((".gz", ".zst"))
    free, times = (2**20, _MAX_EXPANSION_OF_PACKED) if packed else (text_files.FREE_EXPANSION, text_files.MAX_EXPANSION)
    if member.file_size > max(free, times * member.compress_size):
        raise SourceError(f"{where}: unpacks to more than {times} times its size; if that is meant, unpack it first")


def _counts(name: str) -> bool:
    parts = name.split("/")
    return not name.endswith("/") and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


def _unlocked(path: SourceFile, name: str, chunks: Iterator[RawChunk]) -> Iterator[RawChunk]:
    try:
        yield from chunks
    except (RuntimeError, NotImplementedError) as error:  # how zipfile says: encrypted, or packed in a new way
        raise SourceError(f"{path}/{name}: cannot be unpacked ({error})") from error


def _named(chunk: RawChunk, name: str) -> RawChunk:
    from dataclasses import replace

    frame = chunk.frame.assign(position=[f"{name}, {position}" for position in chunk.frame["position"]])
    return RawChunk(frame, [replace(row, position=f"{name}, {row.position}") for row in chunk.rejected])
