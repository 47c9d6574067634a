"""Small changes of staged texts, which leave annotations in force. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from classifier.store.queries import query

BATCH_SIZE = 32
"""Changes in memory at once: each has two texts, and a text may have several megabytes."""


def changed_texts(connection: Connection) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """Yield, in batches, the staged texts that differ from their article's by more than case and white space.

    Columns: id and revision of the article, fingerprint and text of the staged row, and the article's
    `content_sketch` or, if it has none, its `previous_text`.
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
    """Record changes that leave annotations in force, with the sketches of the texts at `content_revision`."""
    values = {"ids": ids, "revisions": revisions, "fingerprints": fingerprints, "sketches": sketches}
    connection.execute(query("add_small_changes"), {name: list(column) for name, column in values.items()})
