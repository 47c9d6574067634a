"""Read the members of a zip file, one after the other."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator

from classifier.exceptions import SourceError
from classifier.ingest.columns import RawChunk
from classifier.ingest.files import File, faults_named
from classifier.names import shortened

_MAX_NAME_BYTES = 400
"""Of a member's name in a row's position; a zip file allows 65,535."""

log = logging.getLogger(__name__)


def read(
    path: File, readable: Callable[[str], bool], read_member: Callable[[File], Iterator[RawChunk]]
) -> Iterator[RawChunk]:
    """Yield the rows of every member that is readable by its name; positions begin with the member's name."""
    with faults_named(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        archive.filename = str(path)  # an object store's file has no name of its own, and errors quote it
        names = sorted(name for name in archive.namelist() if _counts(name))
        chosen = [name for name in names if readable(name)]
        if not chosen:
            raise SourceError(f"{path}: no file in it that can be read; it holds {', '.join(names[:10]) or 'nothing'}")
        if ignored := len(names) - len(chosen):
            log.warning("%s: %d files in it are of no known kind", path.name, ignored)
        for name in chosen:
            for chunk in _unlocked(path, name, read_member(zipfile.Path(archive, name))):
                yield chunk if len(chosen) == 1 else _named(chunk, shortened(name, _MAX_NAME_BYTES))


def _counts(name: str) -> bool:
    parts = name.split("/")
    return not name.endswith("/") and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


def _unlocked(path: File, name: str, chunks: Iterator[RawChunk]) -> Iterator[RawChunk]:
    try:
        yield from chunks
    except (RuntimeError, NotImplementedError) as error:  # how zipfile says: encrypted, or packed in a new way
        raise SourceError(f"{path}/{name}: cannot be unpacked ({error})") from error


def _named(chunk: RawChunk, name: str) -> RawChunk:
    from dataclasses import replace

    frame = chunk.frame.assign(position=[f"{name}, {position}" for position in chunk.frame["position"]])
    return RawChunk(frame, [replace(row, position=f"{name}, {row.position}") for row in chunk.rejected])
