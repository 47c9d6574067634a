"""Evaluations, with the model's output on every article. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, exists, func, insert, select

from classifier import advisory_locks
from classifier.articles import Probabilities, Split
from classifier.store import copy, tables
from classifier.store.queries import query

_MAX_PROBABILITIES = 500_000
"""Probabilities sent or read at once, to limit memory."""

_ABANDONED_DAYS = 7


@dataclass(frozen=True, slots=True)
class ArticlePrediction:
    """A model's output on a text, the operations for it (in billions), and its share of the time of its chunk."""

    probabilities: Probabilities
    gflops: float
    seconds: float


def lock(connection: Connection, model_id: int) -> None:
    """Lock the storing of the model's evaluations until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.EVALUATIONS, model_id)))


def newest(connection: Connection, model_id: int, split: Split = "test") -> Row[*tuple[Any, ...]] | None:
    """Return a model's last evaluation on a split, or None if it was never evaluated there."""
    evaluations = tables.evaluations
    statement = (
        select(evaluations)
        .where(evaluations.c.model_id == model_id, evaluations.c.split == split)
        .order_by(evaluations.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def add(connection: Connection, model_id: int, split: Split, values: Mapping[str, Any]) -> int:
    """Insert an evaluation's metrics and return its id."""
    statement = insert(tables.evaluations).values(model_id=model_id, split=split, **values)
    return int(connection.execute(statement.returning(tables.evaluations.c.id)).scalar_one())


def articles_by_id(connection: Connection, ids: Sequence[int]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, cluster_id, source and month of the articles, ordered by id."""
    return connection.execute(query("evaluation_details_of_articles"), {"ids": list(ids)}).all()


def add_predictions(
    connection: Connection,
    evaluation_id: int,
    columns: Mapping[str, Sequence[Any]],
    probabilities: Probabilities,
) -> None:
    """Insert an evaluation's predictions.

    `columns` has ids, hashes, words, clusters, categories, baselines and gflops; `probabilities` has a row for each id.
    """
    width = probabilities.shape[1]
    step = max(1, _MAX_PROBABILITIES // width)
    for start in range(0, len(probabilities), step):
        batch = slice(start, start + step)
        values = {name: list(column[batch]) for name, column in columns.items()}
        outputs = {"probabilities": probabilities[batch].ravel().tolist(), "width": width}
        connection.execute(
            query("insert_evaluation_predictions"), {"evaluation_id": evaluation_id, **outputs, **values}
        )


def evaluated_articles(connection: Connection, evaluation_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return an evaluation's articles, ordered by id."""
    return connection.execute(query("evaluated_articles"), {"evaluation_id": evaluation_id}).all()


def probabilities(connection: Connection, evaluation_id: int, categories: int) -> Probabilities:
    """Return the probabilities of an evaluation's articles, ordered by id, shape (articles, categories)."""
    predictions = tables.evaluation_predictions
    count = select(func.count()).select_from(predictions).where(predictions.c.evaluation_id == evaluation_id)
    result = np.empty((connection.execute(count).scalar_one(), categories), dtype=np.float32)
    rows = connection.execute(
        query("evaluated_probabilities"),
        {"evaluation_id": evaluation_id},
        execution_options={"yield_per": max(1, _MAX_PROBABILITIES // categories)},
    )
    for index, encoded in enumerate(rows.scalars()):
        result[index] = copy.decode_reals(encoded)
    return result


def has_predictions(connection: Connection, evaluation_id: int) -> bool:
    """Return whether the evaluation's predictions are stored."""
    predictions = tables.evaluation_predictions
    return bool(connection.scalar(select(exists().where(predictions.c.evaluation_id == evaluation_id))))


def stored_outputs(
    connection: Connection, model_id: int, engine: str, articles: Mapping[int, bytes]
) -> dict[bytes, ArticlePrediction]:
    """Return the model's stored outputs on the articles, computed by the same engine, by text hash.

    They come from unfinished evaluations and from the newest evaluation. `articles` maps ids to text hashes.
    """
    values = {"model_id": model_id, "engine": engine, "ids": list(articles), "hashes": list(articles.values())}
    return {
        bytes(row.text_hash): ArticlePrediction(copy.decode_reals(row.probabilities), row.gflops, row.seconds)
        for row in connection.execute(query("stored_outputs"), values)
    }


def add_partial_outputs(
    connection: Connection,
    model_id: int,
    engine: str,
    outputs: Mapping[bytes, ArticlePrediction],
) -> None:
    """Store outputs, by text hash, until the model's evaluation is stored. `outputs` must not be empty."""
    first = next(iter(outputs.values()))
    connection.execute(
        query("insert_partial_outputs"),
        {
            "model_id": model_id,
            "engine": engine,
            "hashes": list(outputs),
            "gflops": [output.gflops for output in outputs.values()],
            "seconds": first.seconds,
            "probabilities": np.concatenate([output.probabilities for output in outputs.values()]).tolist(),
            "width": len(first.probabilities),
        },
    )


def delete_partial_outputs(connection: Connection, model_id: int) -> None:
    """Delete the partial outputs of a model whose evaluation is stored, and those abandoned for a week."""
    connection.execute(query("delete_partial_outputs"), {"model_id": model_id, "days": _ABANDONED_DAYS})
