"""Open text files as UTF-8: plain, gzip or Zstandard, in any encoding."""

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
"""Bytes. A file with a longer line or quoted value counts as damaged, because the value must fit in memory."""

MAX_EXPANSION = 200
"""Maximum ratio of uncompressed to compressed size. Text compresses to a tenth, at best to a fiftieth."""

FREE_EXPANSION = 64 * 2**20
"""Uncompressed bytes that are allowed at any ratio."""

_BUFFER_BYTES = 2**18
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstandard", ".zip": "zip"}


class SourceFile(Protocol):
    """A file that can be read: a local path, a file of an object store, or a member of a zip file."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""

    def open(self, mode: Literal["rb"], /) -> IO[Any]:
        """Open the file."""

    def exists(self) -> bool:
        """Return whether the file exists."""

    def is_dir(self) -> bool:
        """Return whether this is a directory."""


class ExpansionLimit:
    """Counts the uncompressed bytes of a file, and raises `SourceError` if the ratio is too high."""

    def __init__(self, path: SourceFile, compressed_size: int = 0) -> None:
        self._path = path
        self._uncompressed = 0
        self.compressed_size = compressed_size

    def add(self, size: int) -> None:
        """Add a number of uncompressed bytes."""
        self._uncompressed += size
        if self._uncompressed > max(FREE_EXPANSION, MAX_EXPANSION * self.compressed_size):
            raise SourceError(
                f"{self._path}: unpacks to more than {MAX_EXPANSION} times its size; if that is meant, unpack it first"
            )


class _LimitedStream(io.RawIOBase):
    """A decompressing stream whose output is limited by what it has read of the compressed file."""

    def __init__(self, path: SourceFile, stream: Any, packed: IO[Any]) -> None:
        self._stream, self._packed = stream, packed
        self._expansion = ExpansionLimit(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer))
        self._expansion.compressed_size = self._packed.tell()
        self._expansion.add(count)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


@contextmanager
def name_file_in_errors(path: SourceFile) -> Iterator[None]:
    """Turn an error while a file is read into a `SourceError` that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise _damage_error(path, error) from error
    except OSError as error:
        if error.strerror is None and path.suffix.lower() == ".zst":  # pyarrow raises no more specific class
            raise _damage_error(path, error) from error
        problem = str(error.strerror or error).partition("\n")[0]
        raise SourceError(f"{path}: cannot be read ({problem})") from error


@contextmanager
def open_text(path: SourceFile, encoding: str = "utf-8") -> Iterator[BinaryIO]:
    """Open a file as UTF-8 without its byte order mark. A name that ends in .gz or .zst is decompressed.

    `encoding` is a codec's name, or "auto" to detect it from the whole file.
    """
    encoding = resolve_encoding(path, encoding)
    with name_file_in_errors(path), open_unpacked(path) as plain:
        if decoding.is_utf8(encoding):
            _skip_mark(path, plain)
            yield plain
        else:
            with io.BufferedReader(decoding.Utf8Stream(str(path), plain, encoding), _BUFFER_BYTES) as file:
                _skip_mark(path, file)
                yield file


def resolve_encoding(path: SourceFile, encoding: str) -> str:
    """Return the encoding, or the detected one if it is "auto".

    Raises:
        SourceError: it must be detected, and no encoding is likely.
    """
    return detect_file_encoding(path) if encoding == "auto" else encoding


def detect_file_encoding(path: SourceFile) -> str:
    """Return the detected encoding of a file.

    Raises:
        SourceError: the file is not UTF-8, and no other encoding is likely.
    """
    with name_file_in_errors(path), open_unpacked(path) as file:
        return decoding.detect_encoding(str(path), iter(lambda: file.read(2**20), b""))


@contextmanager
def open_unpacked(path: SourceFile) -> Iterator[io.BufferedReader[Any]]:
    """Open the uncompressed bytes of a file."""
    # GzipFile's readline is Python code; with a buffer around it, lines are read several times faster
    with (
        path.open("rb") as packed,
        _open_stream(path, packed) as stream,
        io.BufferedReader(stream, _BUFFER_BYTES) as file,
    ):
        yield file


def record_too_long(path: SourceFile, line: int) -> SourceError:
    """Return the error for a line or quoted value that is longer than `MAX_RECORD`."""
    size = MAX_RECORD // 2**20
    return SourceError(
        f"{path}, line {line}: a row has more than {size} MiB; add the missing line end or closing quote"
    )


def _open_stream(path: SourceFile, packed: IO[Any]) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _LimitedStream(path, gzip.GzipFile(fileobj=packed), packed)
    if suffix == ".zst":
        import pyarrow as pa

        return _LimitedStream(path, pa.CompressedInputStream(packed, "zstd"), packed)
    return packed


def _damage_error(path: SourceFile, error: Exception) -> SourceError:
    kind = _COMPRESSIONS.get(path.suffix.lower(), "compressed")
    return SourceError(f"{path}: damaged or cut off {kind} data ({error}); fetch the file again")


def _skip_mark(path: SourceFile, file: io.BufferedReader[Any]) -> None:
    start = file.peek(3)[:3]
    if not start:
        raise SourceError(f"{path}: the file is empty")
    if start.startswith(_UTF16_MARKS):
        raise SourceError(f'{path}: the file is UTF-16; save it as UTF-8, or read it with the encoding "auto"')
    if start == _UTF8_MARK:
        file.read(3)
