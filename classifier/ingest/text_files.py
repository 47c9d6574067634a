"""Open the text formats: plain, gzipped or zstandard, as UTF-8 whatever they are written in."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Literal, Protocol

from classifier.exceptions import SourceError
from classifier.ingest import decoding

MAX_RECORD = 32 * 2**20
"""A longer line, or quoted value, is taken for a damaged file: it would have to fit in memory."""

MAX_EXPANSION = 200
"""How many times its packed size a file may unpack to; text packs to a tenth, and to a fiftieth at best."""

FREE_EXPANSION = 64 * 2**20
"""Bytes that any file may unpack to."""

_BUFFER = 2**18
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_PACKED = {".gz": "gzip", ".zst": "zstandard", ".zip": "zip"}


class SourceFile(Protocol):
    """What is read: a path of this machine or of an object store, or a member of a zip file."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def suffix(self) -> str:
        """The ending of its name, with the dot."""

    def open(self, mode: Literal["rb"], /) -> IO[Any]:
        """Open it."""

    def exists(self) -> bool:
        """Say whether it is there."""

    def is_dir(self) -> bool:
        """Say whether it is a directory."""


class ExpansionLimit:
    """Counts what a file unpacks to, and raises `SourceError` where that is too much for its packed size."""

    def __init__(self, path: SourceFile, packed_size: int = 0) -> None:
        self._path = path
        self._unpacked = 0
        self.packed_size = packed_size

    def add(self, size: int) -> None:
        """Count so many unpacked bytes more."""
        self._unpacked += size
        if self._unpacked > max(FREE_EXPANSION, MAX_EXPANSION * self.packed_size):
            raise SourceError(
                f"{self._path}: unpacks to more than {MAX_EXPANSION} times its size; if that is meant, unpack it first"
            )


class _Counted(io.RawIOBase):
    """An unpacking stream whose output is counted against what it has read of the packed file."""

    def __init__(self, path: SourceFile, stream: Any, packed: IO[Any]) -> None:
        self._stream, self._packed = stream, packed
        self._expansion = ExpansionLimit(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer))
        self._expansion.packed_size = self._packed.tell()
        self._expansion.add(count)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


@contextmanager
def name_file_in_errors(path: SourceFile) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `SourceError` that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.strerror is None and path.suffix.lower() == ".zst":  # pyarrow tells of no better class
            raise _damaged(path, error) from error
        problem = str(error.strerror or error).partition("\n")[0]
        raise SourceError(f"{path}: cannot be read ({problem})") from error


@contextmanager
def open_text(path: SourceFile, encoding: str = "utf-8") -> Iterator[BinaryIO]:
    """Open a file as UTF-8 behind its byte order mark, unpacked where its name ends in .gz or .zst.

    `encoding` is a codec's name, or "auto" to have it recognised from the whole file.
    """
    with name_file_in_errors(path):
        if encoding == "auto":
            encoding = detect_file_encoding(path)
        with open_unpacked(path) as plain:
            if decoding.is_utf8(encoding):
                _skip_mark(path, plain)
                yield plain
            else:
                with io.BufferedReader(decoding.Utf8Stream(str(path), plain, encoding), _BUFFER) as file:
                    _skip_mark(path, file)
                    yield file


def detect_file_encoding(path: SourceFile) -> str:
    """Return the encoding that a file is recognised to have.

    Raises:
        SourceError: it is not UTF-8, and nothing else is likely.
    """
    with name_file_in_errors(path), open_unpacked(path) as file:
        return decoding.detect_encoding(str(path), iter(lambda: file.read(2**20), b""))


@contextmanager
def open_unpacked(path: SourceFile) -> Iterator[io.BufferedReader[Any]]:
    """Open the bytes that a file, packed or not, holds."""
    # GzipFile's own readline is Python code: a buffer around it reads lines several times faster
    with (
        path.open("rb") as packed,
        _stream(path, packed) as stream,
        io.BufferedReader(stream, _BUFFER) as file,
    ):
        yield file


def record_too_long(path: SourceFile, line: int) -> SourceError:
    """Return the error for a line, or a quoted value, that is longer than `MAX_RECORD`."""
    size = MAX_RECORD // 2**20
    return SourceError(
        f"{path}, line {line}: a row of more than {size} MiB; is a line's end or a closing quote missing?"
    )


def _stream(path: SourceFile, packed: IO[Any]) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _Counted(path, gzip.GzipFile(fileobj=packed), packed)
    if suffix == ".zst":
        import pyarrow as pa

        return _Counted(path, pa.CompressedInputStream(packed, "zstd"), packed)
    return packed


def _damaged(path: SourceFile, error: Exception) -> SourceError:
    kind = _PACKED.get(path.suffix.lower(), "packed")
    return SourceError(f"{path}: damaged or cut off {kind} data ({error}); fetch the file again")


def _skip_mark(path: SourceFile, file: io.BufferedReader[Any]) -> None:
    start = file.peek(3)[:3]
    if not start:
        raise SourceError(f"{path}: the file is empty")
    if start.startswith(_UTF16_MARKS):
        raise SourceError(f'{path}: the file is UTF-16; save it as UTF-8, or read it with the encoding "auto"')
    if start == _UTF8_MARK:
        file.read(3)
