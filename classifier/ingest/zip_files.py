"""Read the members of a zip file, one after the other."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO, Any

from classifier.exceptions import SourceError
from classifier.ingest import text_files
from classifier.ingest.columns import RawChunk
from classifier.ingest.text_files import SourceFile, name_file_in_errors
from classifier.names import shorten_name

_MAX_NAME_BYTES = 400
"""Bytes of a member's name in a row's position; a zip file allows 65,535."""

log = logging.getLogger(__name__)

MAX_DIRECTORY = 16 * 2**20
"""Bytes of a zip file's directory: about 300,000 members. Python reads all of it, and needs ten times its size."""

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Not bzip2 and LZMA, which zipfile decompresses without a limit: four kilobytes may become gigabytes."""

_MAX_EXPANSION_OF_COMPRESSED = 10
"""A compressed member cannot be compressed much further. If its ratio is higher, it is a bomb inside a bomb."""


def read_zip(
    path: SourceFile, readable: Callable[[str], bool], read_member: Callable[[SourceFile], Iterator[RawChunk]]
) -> Iterator[RawChunk]:
    """Yield the rows of every member whose name is readable; positions start with the member's name."""
    with name_file_in_errors(path), path.open("rb") as file, open_archive(file) as archive:
        archive.filename = str(path)  # errors quote this name, and a file of an object store has none
        names = sorted(name for name in archive.namelist() if _is_data(name))
        chosen = [name for name in names if readable(name)]
        if not chosen:
            raise SourceError(f"{path}: no member can be read; it has {', '.join(names[:10]) or 'nothing'}")
        if ignored := len(names) - len(chosen):
            log.warning("%s: %d members are of an unknown kind and are ignored", path.name, ignored)
        for name in chosen:
            check_member(path, archive.getinfo(name))
            for chunk in _translate_errors(path, name, read_member(zipfile.Path(archive, name))):
                yield chunk if len(chosen) == 1 else _add_name(chunk, shorten_name(name, _MAX_NAME_BYTES))


class _LimitedReads:
    """A file that refuses to read more bytes than a limit at once."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file
        self.limit: int | None = MAX_DIRECTORY

    def read(self, size: int = -1, /) -> bytes:
        if self.limit is not None and size > self.limit:
            raise zipfile.BadZipFile(f"its directory has more than {self.limit // 2**20} MiB")
        data: bytes = self._file.read(size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def open_archive(file: IO[Any]) -> zipfile.ZipFile:
    """Open a zip file whose directory is within the limit."""
    limited = _LimitedReads(file)
    archive = zipfile.ZipFile(limited)
    limited.limit = None
    return archive


def check_member(path: SourceFile, member: zipfile.ZipInfo) -> None:
    """Raise `SourceError` unless a member may be decompressed. zipfile never decompresses more than its stated size."""
    where = f"{path}/{member.filename}"
    if member.compress_type not in _METHODS:
        raise SourceError(f"{where}: cannot be unpacked (method {member.compress_type}); compress it with deflate")
    free, ratio = text_files.FREE_EXPANSION, text_files.MAX_EXPANSION
    if member.filename.lower().endswith((".gz", ".zst", ".xlsx")):
        free, ratio = 2**20, _MAX_EXPANSION_OF_COMPRESSED
    if member.file_size > max(free, ratio * member.compress_size):
        raise SourceError(f"{where}: unpacks to more than {ratio} times its size; if that is meant, unpack it first")


def _is_data(name: str) -> bool:
    """Return whether a member is a file that is neither hidden nor metadata of macOS."""
    parts = name.split("/")
    return not name.endswith("/") and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


def _translate_errors(path: SourceFile, name: str, chunks: Iterator[RawChunk]) -> Iterator[RawChunk]:
    try:
        yield from chunks
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or compressed with an unknown method
        raise SourceError(f"{path}/{name}: cannot be unpacked ({error})") from error


def _add_name(chunk: RawChunk, name: str) -> RawChunk:
    frame = chunk.frame.assign(position=[f"{name}, {position}" for position in chunk.frame["position"]])
    return RawChunk(frame, [replace(row, position=f"{name}, {row.position}") for row in chunk.rejected])
