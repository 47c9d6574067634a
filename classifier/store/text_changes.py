"""Staged texts that differ little from what was annotated. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from classifier.store.queries import query

BATCH_SIZE = 32
"""Changes in memory at once: each has two texts, and a text may have megabytes."""


def changed_texts(connection: Connection) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """Yield, in batches, the staged texts that differ from their article's by more than case and white space.

    Columns id and revision of the article, fingerprint and text as staged, and the article's `content_sketch` or,
    where it has none, its `former` text.
    """
    with connection.execute(query("staged_changed_texts"), execution_options={"yield_per": BATCH_SIZE}) as rows:
        yield from rows.partitions()


def add_small_changes(
    connection: Connection,
    ids: Sequence[int],
    revisions: Sequence[int],
    fingerprints: Sequence[bytes],
    sketches: Sequence[bytes],
) -> None:
    """Note changes that leave annotations in force, with the sketches of the texts that the articles began with."""
    values = {"ids": ids, "revisions": revisions, "fingerprints": fingerprints, "sketches": sketches}
    connection.execute(query("add_small_changes"), {name: list(column) for name, column in values.items()})
