"""List the most confident wrong predictions of a model's last evaluation: often, the annotation is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from classifier import registry
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions
from classifier.evaluation.test_articles import Predictions, TestArticles
from classifier.pipeline.promotion import evaluation_results, training_exposure
from classifier.pipeline.use_case import use_case
from classifier.store import article_rows
from classifier.store.annotated_articles import input_hash
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test article that the model predicted wrongly.

    Attributes:
        annotated: The category of the annotation that counted at the evaluation.
        confidence: The probability of the predicted category.
        title: None if the article has none; so is `url`.
        text: None unless it was requested, or if it has changed since the evaluation.
    """

    article_id: int
    source: str
    external_id: str
    annotated: str
    predicted: str
    confidence: float
    title: str | None = None
    url: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The most confident mistakes of a model, and how many of the evaluated articles it predicted wrongly."""

    model: str
    test_articles: int
    wrong: int
    mistakes: tuple[Mistake, ...]


@use_case
def list_mistakes(
    workspace: Workspace, name: str | None = None, *, limit: int = 20, with_text: bool = False
) -> Mistakes:
    """Return the mistakes of a model (the newest by default) in its last evaluation, the most confident first.

    Articles that the model was trained on are left out, as from its figures.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        results = evaluation_results.newest_results(connection, model)
        exposure = training_exposure.find_exposure(connection, [model], results.articles)
        compared = evaluation_results.compare_models(results, None, exposure)
        articles, predictions = compared.test_articles, compared.candidate
        truth, predicted = _names(articles, predictions)
        confidence = predictions.confidence
        wrong = np.flatnonzero(predicted != truth)
        chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        details = _describe(connection, articles.ids[chosen].tolist(), with_text=with_text)
    mistakes = [
        _mistake(
            details[article_id],
            results.articles[article_id] if with_text else None,
            annotated=str(truth[row]),
            predicted=str(predicted[row]),
            confidence=float(confidence[row]),
        )
        for row, article_id in zip(chosen.tolist(), articles.ids[chosen].tolist(), strict=True)
    ]
    return Mistakes(model.name, len(articles), len(wrong), tuple(mistakes))


def _names(
    articles: TestArticles | LabelSetArticles, predictions: Predictions | LabelSetPredictions
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the annotated and the predicted labels of each article, several as one text."""
    if isinstance(articles, TestArticles):
        assert isinstance(predictions, Predictions)
        return articles.truth.astype(object), predictions.predicted.astype(object)
    assert isinstance(predictions, LabelSetPredictions)
    return np.array(articles.names, dtype=object), np.array(predictions.names, dtype=object)


def _describe(connection: Connection, ids: list[int], *, with_text: bool) -> dict[int, Row[*tuple[Any, ...]]]:
    return {row.id: row for row in article_rows.describe(connection, ids, with_text=with_text)}


def _mistake(row: Row[*tuple[Any, ...]], evaluated: bytes | None, **prediction: Any) -> Mistake:
    """Return a mistake; `evaluated` is the hash of what was evaluated, None if the text was not requested."""
    text = row.text if evaluated is not None and input_hash(row) == evaluated else None
    return Mistake(row.id, row.source, row.external_id, title=row.title, url=row.url, text=text, **prediction)
