"""Evaluations with every article's answer. Functions take a connection and never commit."""

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

_CELLS = 500_000
"""Probabilities that are sent or read at once, to bound memory."""

_FORGOTTEN_DAYS = 7


@dataclass(frozen=True, slots=True)
class ArticlePrediction:
    """What a model answered on a text, how much was computed for it, and its share of the time that its chunk took."""

    probabilities: Probabilities
    gflops: float
    seconds: float


def lock(connection: Connection, model_id: int) -> None:
    """Let one transaction at a time store an evaluation of the model."""
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
    """Return id, cluster_id, source and month of articles, by id."""
    return connection.execute(query("evaluation_details_of_articles"), {"ids": list(ids)}).all()


def add_predictions(
    connection: Connection,
    evaluation_id: int,
    columns: Mapping[str, Sequence[Any]],
    probabilities: Probabilities,
) -> None:
    """Insert an evaluation's answers: the columns ids, hashes, words, clusters, categories, baselines and gflops."""
    width = probabilities.shape[1]
    step = max(1, _CELLS // width)
    for start in range(0, len(probabilities), step):
        some = slice(start, start + step)
        values = {name: list(column[some]) for name, column in columns.items()}
        given = {"evaluation_id": evaluation_id, "probabilities": probabilities[some].ravel().tolist(), "width": width}
        connection.execute(query("insert_evaluation_predictions"), {**given, **values})


def evaluated_articles(connection: Connection, evaluation_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return an evaluation's articles, by id."""
    return connection.execute(query("evaluated_articles"), {"evaluation_id": evaluation_id}).all()


def probabilities(connection: Connection, evaluation_id: int, categories: int) -> Probabilities:
    """Return what was answered on an evaluation's articles, by id, shape (articles, categories)."""
    kept = tables.evaluation_predictions
    count = select(func.count()).select_from(kept).where(kept.c.evaluation_id == evaluation_id)
    found = np.empty((connection.execute(count).scalar_one(), categories), dtype=np.float32)
    rows = connection.execute(
        query("evaluated_probabilities"),
        {"evaluation_id": evaluation_id},
        execution_options={"yield_per": max(1, _CELLS // categories)},
    )
    for place, sent in enumerate(rows.scalars()):
        found[place] = copy.decode_reals(sent)
    return found


def has_predictions(connection: Connection, evaluation_id: int) -> bool:
    """Say whether the answers were kept: those of older versions were not."""
    kept = tables.evaluation_predictions
    return bool(connection.scalar(select(exists().where(kept.c.evaluation_id == evaluation_id))))


def stored_outputs(
    connection: Connection, model_id: int, engine: str, articles: Mapping[int, bytes]
) -> dict[bytes, ArticlePrediction]:
    """Return what the model has answered with this engine before on the articles, ids with text hashes, by text hash.

    It is of attempts to evaluate it that have not ended, and of its newest evaluation.
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
    answers: Mapping[bytes, ArticlePrediction],
) -> None:
    """Keep answers, by text hash, until the model's evaluation is stored. There has to be one."""
    first = next(iter(answers.values()))
    connection.execute(
        query("insert_partial_outputs"),
        {
            "model_id": model_id,
            "engine": engine,
            "hashes": list(answers),
            "gflops": [answer.gflops for answer in answers.values()],
            "seconds": first.seconds,
            "probabilities": np.concatenate([answer.probabilities for answer in answers.values()]).tolist(),
            "width": len(first.probabilities),
        },
    )


def delete_partial_outputs(connection: Connection, model_id: int) -> None:
    """Delete what was kept for an evaluation that is stored now, and what nobody continued with for a week."""
    connection.execute(query("delete_partial_outputs"), {"model_id": model_id, "days": _FORGOTTEN_DAYS})
