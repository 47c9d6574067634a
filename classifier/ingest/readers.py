"""Read articles from CSV, TSV, JSON Lines and Parquet files, a chunk of rows at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from classifier.exceptions import SourceError
from classifier.ingest import csv_files, json_lines, object_store, parquet_files, zip_files
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.text_files import SourceFile, name_file_in_errors

__all__ = ["Columns", "RawChunk", "SourceFile", "expand_pattern", "read_file"]

FORMATS = ".csv, .tsv, .tab, .jsonl and .ndjson (each also with .gz or .zst), .parquet, and .zip of these"

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": None, ".ndjson": None}


def expand_pattern(pattern: str) -> list[SourceFile]:
    """Return the files that match a path, a URL of an object store, or a glob of either, sorted.

    Raises:
        SourceError: no file matches.
    """
    files = find_files(pattern)
    if not files:
        raise SourceError(f"{pattern}: no such file")
    return files


def find_files(pattern: str) -> list[SourceFile]:
    """Return the files that match, sorted, or an empty list."""
    return object_store.expand(pattern) if object_store.is_url(pattern) else _find_local(pattern)


def read_file(
    path: SourceFile, columns: Columns, *, chunk_rows: int = 5000, encoding: str = "utf-8"
) -> Iterator[RawChunk]:
    """Return an iterator over the file's rows, in chunks of at most `chunk_rows`.

    Memory holds one chunk, whatever the size of the file. An invalid row is in its chunk's `rejected`. `encoding` is
    that of text files: a codec's name, or "auto" to detect it.

    Raises:
        SourceError: the file cannot be read. It may also be raised by the iterator.
    """
    if path.is_dir() or not path.exists():
        raise SourceError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}")
    kind = _find_kind(path.name)
    match kind:
        case ".jsonl" | ".ndjson":
            return json_lines.read_json_lines(path, columns, chunk_rows, encoding)
        case ".parquet":
            return parquet_files.read_parquet(path, columns, chunk_rows)
        case ".zip":
            return zip_files.read_zip(
                path,
                lambda name: _find_kind(name) not in {None, ".zip"},
                lambda member: read_file(member, columns, chunk_rows=chunk_rows, encoding=encoding),
            )
        case None:
            raise SourceError(f"{path}: unknown kind of file; supported are {FORMATS}")
    return csv_files.read_csv(path, columns, chunk_rows, _DELIMITERS[kind] or ",", encoding)


def is_text(file: SourceFile) -> bool:
    """Return whether a file is a text file, which has an encoding."""
    return _find_kind(file.name) in _DELIMITERS


def _find_kind(name: str) -> str | None:
    """Return the suffix that decides how a file is read, or None if it is unknown."""
    name = name.lower()
    plain = name.removesuffix(".gz").removesuffix(".zst")
    suffix = PurePosixPath(plain).suffix
    if suffix in _DELIMITERS or (suffix in {".parquet", ".zip"} and plain == name):
        return suffix
    return None


def _find_local(pattern: str) -> list[SourceFile]:
    path = Path(pattern)
    with name_file_in_errors(path):
        if path.is_dir():
            raise SourceError(f"{pattern}: is a directory; name its files, for example {path / '*.csv'}")
        # a file's name may have brackets without being a glob; Path.glob accepts no absolute pattern
        names = [pattern] if path.exists() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    return [*sorted(match for match in map(Path, names) if not match.is_dir())]
