"""How sure a model may be: its temperature and its threshold, both from validation articles alone.

The validation split also chose the epoch that was kept. The test split is for telling what was reached, and is not
looked at here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from classifier.articles import AnnotatedArticle, CategoryIndices, Probabilities, Texts
from classifier.evaluation import abstention, reliability, test_articles
from classifier.evaluation.abstention import Threshold
from classifier.evaluation.test_articles import Predictions
from classifier.inference import engines
from classifier.inference.labeller import Labeller
from classifier.model import temperature_scaling
from classifier.model.checkpoint import Checkpoint
from classifier.model.ensemble import Ensemble
from classifier.model.tokenization import Tokenization
from classifier.store import evaluations
from classifier.training.spooled_articles import categories_of, facts

log = logging.getLogger(__name__)

Clusters = NDArray[np.int64]
"""Numbers of clusters of near-duplicates, shape (articles,)."""


def calibrate(
    checkpoint: Checkpoint,
    tokenization: Tokenization,
    categories: tuple[str, ...],
    validation: Sequence[AnnotatedArticle],
    *,
    target_precision: float,
    clusters: Clusters,
    ensemble: Ensemble | None = None,
) -> dict[str, Any]:
    """Fit the temperature of the engine that would label here, with its ensemble, and choose a threshold at it.

    `clusters` are those of `clusters_of`.

    Returns:
        What the model's manifest and row keep of both; nothing without validation articles of its categories.
    """
    labeller = Labeller(
        tokenization, engines.for_checkpoint(checkpoint, len(categories)), categories, ensemble=ensemble
    )
    probabilities, truth = outputs_of(labeller, validation)
    known = truth >= 0
    if not known.any():
        log.info("no validation article of the model's categories: %s", line({}))
        return {}
    fitted = temperature_scaling.fit_temperature(probabilities[known], truth[known])
    calibrated = temperature_scaling.apply(probabilities, fitted)
    threshold = _threshold(calibrated, truth, target_precision, clusters)
    found = {"value": fitted, "articles": int(known.sum())}
    for when, some in (("before", probabilities), ("after", calibrated)):
        found[f"ece_{when}"] = _error(some[known], truth[known], categories)
        found[f"nll_{when}"] = temperature_scaling.negative_log_likelihood(some[known], truth[known])
    chosen = {"temperature": found, "threshold": threshold.as_json()}
    log.info("%s", line(chosen))
    return chosen


def line(chosen: Mapping[str, Any]) -> str:
    """Say in a line what `choose` chose."""
    if not chosen:
        return "not calibrated, abstains from nothing"
    return f"temperature {chosen['temperature']['value']:.4f}; {Threshold.of(chosen['threshold'])}"


def choose_threshold(
    labeller: Labeller, validation: Sequence[AnnotatedArticle], target_precision: float, clusters: Clusters
) -> Threshold:
    """Choose a registered model's threshold anew, at its temperature; there has to be a validation article."""
    found = _threshold(*outputs_of(labeller, validation), target_precision, clusters)
    log.info("%s", found)
    return found


def outputs_of(labeller: Labeller, articles: Sequence[AnnotatedArticle]) -> tuple[Probabilities, CategoryIndices]:
    """Return what is answered, and the columns that are right: -1 where the model does not know the category."""
    columns = {name: column for column, name in enumerate(labeller.categories)}
    truth = np.array([columns.get(category, -1) for category in categories_of(articles)], dtype=np.int64)
    return labeller.probabilities(Texts(articles)), truth


def clusters_of(connection: Connection, articles: Sequence[AnnotatedArticle]) -> Clusters:
    """Return the number of each article's cluster of near-duplicates; they are correct or wrong together."""
    ids = [article_id for article_id, _, _ in facts(articles)]
    found = {row.id: row.cluster_id for row in evaluations.articles_by_id(connection, ids)}
    return test_articles.number_clusters(np.array(ids, dtype=np.int64), [found.get(one) for one in ids])


def _threshold(probabilities: Probabilities, truth: CategoryIndices, wanted: float, clusters: Clusters) -> Threshold:
    right = probabilities.argmax(axis=1) == truth
    return abstention.choose_threshold(probabilities.max(axis=1), right, wanted, clusters=clusters)


def _error(probabilities: Probabilities, truth: CategoryIndices, categories: tuple[str, ...]) -> float:
    answers = Predictions(categories, probabilities.astype(np.float64))
    totals = reliability.contributions(np.asarray(categories)[truth], answers).sum(axis=0)
    return float(reliability.calibration_error(totals))
