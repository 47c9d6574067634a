"""Read articles from files: CSV, TSV, JSON Lines and Parquet, a chunk of rows at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from classifier.exceptions import SourceError
from classifier.ingest import delimited, json_lines, parquet
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.files import faults_named

__all__ = ["Columns", "RawChunk", "expand", "read"]

FORMATS = ".csv, .tsv, .tab, .jsonl and .ndjson (each also with .gz), .parquet"


def expand(pattern: str) -> list[Path]:
    """Return the files that a path or a glob stands for, sorted."""
    path = Path(pattern)
    with faults_named(path):
        if path.is_dir():
            raise SourceError(f"{pattern}: is a directory; name its files, for example {path / '*.csv'}")
        # a name may hold brackets and yet be no glob; Path.glob would take no absolute pattern
        names = [pattern] if path.exists() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    files = sorted(match for match in map(Path, names) if not match.is_dir())
    if not files:
        raise SourceError(f"{pattern}: no such file")
    return files


def read(path: Path, columns: Columns, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
    """Return an iterator over the file's rows, in chunks of at most `chunk_rows`.

    Memory holds one chunk, whatever the size of the file. What is wrong with the file as a whole is
    a `SourceError`, raised here or while the iterator is used; what is wrong with one row is in its
    chunk's `rejected`.
    """
    if path.is_dir() or not path.exists():
        raise SourceError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}")
    name = path.name.lower()
    match Path(name.removesuffix(".gz")).suffix:
        case ".csv":
            return delimited.read(path, columns, chunk_rows, ",")
        case ".tsv" | ".tab":
            return delimited.read(path, columns, chunk_rows, "\t")
        case ".jsonl" | ".ndjson":
            return json_lines.read(path, columns, chunk_rows)
        case ".parquet" if not name.endswith(".gz"):
            return parquet.read(path, columns, chunk_rows)
        case _:
            raise SourceError(f"{path}: not a known kind of file; what can be read is {FORMATS}")
