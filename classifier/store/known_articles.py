"""Compare staged rows with the articles that are there. Functions take a connection and never commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from classifier.store import staging
from classifier.store.queries import query


@dataclass(frozen=True, slots=True)
class OtherIds:
    """Texts that are articles already, under another kind of id: `are_hashes` says that these ids are hashes."""

    texts: int
    example: str
    are_hashes: bool


def find_other_ids(connection: Connection) -> OtherIds | None:
    """Return the staged texts that are articles of the same source under another kind of id, or None."""
    steps = staging.steps(connection, "staged_articles")
    rows = [connection.execute(query("texts_with_other_ids"), step).one() for step in steps]
    rows = [row for row in rows if row.texts]
    if not rows:
        return None
    return OtherIds(sum(row.texts for row in rows), rows[0].example, rows[0].are_hashes)


def count_other_splits(connection: Connection) -> int:
    """Return how many staged rows name another split than their article has. Superseded rows must be marked."""
    steps = staging.steps(connection, "staged_articles")
    return sum(connection.execute(query("count_other_splits"), step).scalar_one() for step in steps)


def changed_sources(connection: Connection, run_id: int) -> Counter[str]:
    """Return how many articles this merge changed, by the pattern of the files that an earlier run read them from."""
    sources: Counter[str] = Counter()
    for step in staging.steps(connection, "staged_changes"):
        for row in connection.execute(query("sources_of_changed_articles"), {**step, "run_id": run_id}):
            sources[row.source] += row.articles
    return sources
