"""Read articles from files: CSV, TSV, JSON Lines and Parquet, a chunk of rows at a time."""

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

_TEXT_KINDS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": None, ".ndjson": None}


def expand_pattern(pattern: str) -> list[SourceFile]:
    """Return the files that a path, an address of an object store, or a glob of either stands for, sorted."""
    files = find_files(pattern)
    if not files:
        raise SourceError(f"{pattern}: no such file")
    return files


def find_files(pattern: str) -> list[SourceFile]:
    """Return the files that `expand` finds, none where there are none."""
    return object_store.expand(pattern) if object_store.is_url(pattern) else _local(pattern)


def read_file(
    path: SourceFile, columns: Columns, *, chunk_rows: int = 5000, encoding: str = "utf-8"
) -> Iterator[RawChunk]:
    """Return an iterator over the file's rows, in chunks of at most `chunk_rows`.

    Memory holds one chunk, whatever the size of the file. What is wrong with the file as a whole is
    a `SourceError`, raised here or while the iterator is used; what is wrong with one row is in its
    chunk's `rejected`. `encoding` is that of text files: a codec's name, or "auto" to have it recognised.
    """
    if path.is_dir() or not path.exists():
        raise SourceError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}")
    kind = _kind(path.name)
    match kind:
        case ".jsonl" | ".ndjson":
            return json_lines.read_json_lines(path, columns, chunk_rows, encoding)
        case ".parquet":
            return parquet_files.read_parquet(path, columns, chunk_rows)
        case ".zip":
            return zip_files.read_zip(
                path,
                lambda name: _kind(name) not in {None, ".zip"},
                lambda member: read_file(member, columns, chunk_rows=chunk_rows, encoding=encoding),
            )
        case None:
            raise SourceError(f"{path}: not a known kind of file; what can be read is {FORMATS}")
    return csv_files.read_csv(path, columns, chunk_rows, _TEXT_KINDS[kind] or ",", encoding)


def is_text(file: SourceFile) -> bool:
    """Say whether a file is of a kind that has an encoding."""
    return _kind(file.name) in _TEXT_KINDS


def _kind(name: str) -> str | None:
    """Return the ending that says how a file is read, None where it cannot be."""
    name = name.lower()
    plain = name.removesuffix(".gz").removesuffix(".zst")
    suffix = PurePosixPath(plain).suffix
    if suffix in _TEXT_KINDS or (suffix in {".parquet", ".zip"} and plain == name):
        return suffix
    return None


def _local(pattern: str) -> list[SourceFile]:
    path = Path(pattern)
    with name_file_in_errors(path):
        if path.is_dir():
            raise SourceError(f"{pattern}: is a directory; name its files, for example {path / '*.csv'}")
        # a name may hold brackets and yet be no glob; Path.glob would take no absolute pattern
        names = [pattern] if path.exists() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    return [*sorted(match for match in map(Path, names) if not match.is_dir())]
