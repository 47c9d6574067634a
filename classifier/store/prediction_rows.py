"""Models' predictions on articles. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from classifier.articles import LabelMatrix, Probabilities, QueuedArticle
from classifier.store import copy, tables
from classifier.store.queries import query


def write(
    connection: Connection,
    model_id: int,
    articles: Sequence[QueuedArticle],
    probabilities: Probabilities,
    labels: LabelMatrix,
    confidence: NDArray[np.float32],
) -> None:
    """COPY a model's predictions on the articles, replacing its previous ones.

    `probabilities` and `labels` have the shape (articles, categories), `confidence` is (articles,).
    """
    ids = np.fromiter((article.id for article in articles), np.int64, count=len(articles))
    revisions = np.fromiter((article.revision for article in articles), np.int32, count=len(articles))
    connection.execute(query("delete_previous_predictions"), {"model_id": model_id, "ids": ids.tolist()})
    data = copy.predictions_binary(model_id, ids, revisions, probabilities, labels, confidence)
    copy.copy(connection, "copy_predictions", data)


def count(connection: Connection, model_id: int, first: int, last: int) -> int:
    """Return the number of a model's predictions on the articles with ids from `first` to `last`."""
    predictions = tables.predictions
    of_articles = predictions.c.article_id.between(first, last)
    statement = select(func.count()).select_from(predictions).where(predictions.c.model_id == model_id, of_articles)
    return int(connection.scalar(statement) or 0)


def delete(connection: Connection, model_id: int, first: int, last: int) -> int:
    """Delete a model's predictions and dead letters on the articles with ids from `first` to `last`.

    Returns:
        The number of deleted predictions.
    """
    values = {"model_id": model_id, "first": first, "last": last}
    return int(connection.execute(query("delete_predictions"), values).scalar_one())
