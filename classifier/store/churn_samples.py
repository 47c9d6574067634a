"""Samples of the articles that a new champion would label. Functions take a connection and change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from classifier.store import task_rows
from classifier.store.queries import query


@dataclass(frozen=True, slots=True)
class ChurnCandidate:
    """The number of articles without an annotation in force, and their first and last id; 0 if there are none."""

    articles: int
    first: int
    last: int


def count_to_label(connection: Connection) -> ChurnCandidate:
    """Count the articles that a new champion would label."""
    values = {"task_id": task_rows.current_id(connection)}
    articles, first, last = connection.execute(query("count_to_label"), values).one()
    return ChurnCandidate(articles, first or 0, last or 0)


def stream_articles(
    connection: Connection, ids: Sequence[int], champion_id: int | None
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield id, title, text and category_indices of articles that the champion labelled with their present text.

    Without a champion, yield id, title and text of the articles that have no annotation in force.
    """
    name = "articles_to_label" if champion_id is None else "articles_to_relabel"
    values: dict[str, Any] = {"ids": list(ids), "task_id": task_rows.current_id(connection)}
    values |= {} if champion_id is None else {"model_id": champion_id}
    return iter(connection.execute(query(name), values, execution_options={"yield_per": 64}))
