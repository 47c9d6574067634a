"""Search every table of a database, and every file of a folder, for strings in clear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy import Engine

from tests.support.synthetic import query


def tables_with(database: Engine, *strings: str) -> set[str]:
    """Return the tables of all schemas of the classifier in which a row shows one of the strings."""
    names = query(
        database,
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    result = set()
    for schema, name in names:
        raw = database.raw_connection()
        with raw.cursor() as cursor:
            lines = _Lines()
            cursor.copy_expert(f'COPY "{schema}"."{name}" TO STDOUT', lines)
        raw.close()
        if any(string in lines.text for string in strings):
            result.add(name)
    return result


class _Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, chunk: bytes | str) -> None:
        self.text += chunk if isinstance(chunk, str) else chunk.decode()


def files_with(folder: Path, *needles: bytes) -> set[str]:
    """Return the files in which one of the byte strings occurs; those of Parquet are also unpacked."""
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(needle in content for needle in needles for content in _contents(path))
    }


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        for column in pq.read_table(path).columns:
            for cell in column.to_pylist():
                yield cell if isinstance(cell, bytes) else str(cell).encode()
