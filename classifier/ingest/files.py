"""Open the text formats: plain or gzipped UTF-8, with or without a byte order mark."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from classifier.exceptions import SourceError

MAX_RECORD = 32 * 2**20
"""A longer line, or quoted value, is taken for a damaged file: it would have to fit in memory."""

_BUFFER = 2**18
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `SourceError` that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: damaged or cut off gzip data ({error}); fetch the file again") from error
    except OSError as error:
        problem = str(error.strerror or error).partition("\n")[0]
        raise SourceError(f"{path}: cannot be read ({problem})") from error


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked where its name ends in .gz, behind its byte order mark."""
    with faults_named(path), path.open("rb") as packed:
        unpacked = gzip.GzipFile(fileobj=packed) if path.suffix.lower() == ".gz" else packed
        # GzipFile's own readline is Python code: a buffer around it reads lines several times faster
        with io.BufferedReader(unpacked, _BUFFER) as file:
            _skip_mark(path, file)
            yield file


def too_long(path: Path, line: int) -> SourceError:
    """Return the error for a line, or a quoted value, that is longer than `MAX_RECORD`."""
    size = MAX_RECORD // 2**20
    return SourceError(
        f"{path}, line {line}: a row of more than {size} MiB; is a line's end or a closing quote missing?"
    )


def _skip_mark(path: Path, file: io.BufferedReader[Any]) -> None:
    start = file.peek(3)[:3]
    if not start:
        raise SourceError(f"{path}: the file is empty")
    if start.startswith(_UTF16_MARKS):
        raise SourceError(f"{path}: the file is UTF-16; save it as UTF-8")
    if start == _UTF8_MARK:
        file.read(3)
