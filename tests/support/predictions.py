"""Predictions without a network: written past the labelling, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from classifier.articles import Model, Probabilities, QueuedArticle
from classifier.model.decisions import decide
from classifier.store import model_rows, prediction_rows
from tests.support.synthetic import add_model

CATEGORIES = ("a", "b")

INSERT_ARTICLES = (
    "INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split) "
    "SELECT 's', n, 'text', '', '', 'train' FROM generate_series(1, 20000) AS n"
)
INSERT_PREDICTIONS = (
    "INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities) "
    "SELECT id, :model, 1, '{1}', 1, '{1,0}' FROM articles"
)


def write_predictions(
    connection: Connection, model: Model, articles: Sequence[QueuedArticle], probabilities: Probabilities
) -> None:
    """Write what the model answers with these probabilities, as a worker does."""
    decided = decide(model, probabilities)
    prediction_rows.write(connection, model.id, articles, probabilities, decided.labels, decided.confidence)


def label(
    connection: Connection, ids: Sequence[int], name: str = "m1", *, champion: bool = True, seed: int = 0
) -> Model:
    """Register a model with random predictions of the articles; with `champion`, promote it."""
    model = Model(add_model(connection, name), name, "", "", "", CATEGORIES)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(2), len(ids)).astype(np.float32)
    articles = [QueuedArticle(article_id, 1, "") for article_id in ids]
    write_predictions(connection, model, articles, probabilities)
    if champion:
        model_rows.make_champion(connection, model.id)
    return model
