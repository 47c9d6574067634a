"""Decide which changed texts keep their annotations, in the transaction of the ingest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from classifier.ingest import minhash_sketches
from classifier.store import text_changes


def record_small_changes(connection: Connection) -> None:
    """Compare each staged text with its article's original text, and record the changes that are small.

    Any other change makes another text: its annotations are no longer in force, and annotators are asked again.
    """
    for rows in text_changes.changed_texts(connection):
        _record_batch(connection, rows)


def _record_batch(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    new = minhash_sketches.compute_sketches([row.text for row in rows])
    computed = iter(
        minhash_sketches.compute_sketches([row.previous_text for row in rows if row.content_sketch is None])
    )
    old = [next(computed) if row.content_sketch is None else bytes(row.content_sketch) for row in rows]
    small = [index for index in range(len(rows)) if minhash_sketches.is_small_change(old[index], new[index])]
    if small:
        text_changes.add_small_changes(
            connection,
            [rows[index].id for index in small],
            [rows[index].revision for index in small],
            [bytes(rows[index].fingerprint) for index in small],
            [old[index] for index in small],
        )
