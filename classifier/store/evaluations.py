"""Evaluations with every article's answer. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, exists, select

from classifier.articles import Probabilities
from classifier.store import tables
from classifier.store.queries import query

_NUMBERS_AT_ONCE = 1_000_000


def articles_by_id(connection: Connection, ids: Sequence[int]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, cluster_id, source and month of articles, by id."""
    return connection.execute(query("articles_by_id"), {"ids": list(ids)}).all()


def add_predictions(
    connection: Connection,
    evaluation_id: int,
    columns: Mapping[str, Sequence[Any]],
    probabilities: Probabilities,
) -> None:
    """Insert an evaluation's answers: the columns ids, hashes, words, clusters, categories and baselines.

    With many categories the probabilities of all articles would be gigabytes in a statement: they go in parts.
    """
    width = probabilities.shape[1]
    size = max(1, _NUMBERS_AT_ONCE // width)
    for start in range(0, len(probabilities), size):
        part = slice(start, start + size)
        values = {name: list(column[part]) for name, column in columns.items()}
        flat = probabilities[part].ravel().tolist()
        given = {"evaluation_id": evaluation_id, "probabilities": flat, "width": width, **values}
        connection.execute(query("insert_evaluation_predictions"), given)


def articles(connection: Connection, evaluation_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return an evaluation's articles with what was answered, by id."""
    return connection.execute(query("evaluated_articles"), {"evaluation_id": evaluation_id}).all()


def has_predictions(connection: Connection, evaluation_id: int) -> bool:
    """Say whether the answers were kept: those of older versions were not."""
    kept = tables.evaluation_predictions
    return bool(connection.scalar(select(exists().where(kept.c.evaluation_id == evaluation_id))))
