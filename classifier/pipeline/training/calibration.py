"""Choose a model's temperature and its thresholds on validation articles alone.

A single-label model has one threshold, below which it abstains. A multi-label model has one for each category.

The validation split has also chosen the epoch whose weights are kept. The test split measures the result, and is not
read here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from classifier.articles import AnnotatedArticle, CategoryIndices, LabelMatrix, Probabilities, TaskKind
from classifier.evaluation import abstention, label_set_reliability, reliability, test_articles, thresholds
from classifier.evaluation.abstention import Threshold
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.evaluation.test_articles import Predictions
from classifier.evaluation.thresholds import CategoryThresholds
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import category_tree, multi_label, temperature_scaling
from classifier.model.targets import label_matrix
from classifier.store import category_rows, evaluations
from classifier.training.spooled_articles import categories_of, facts, label_sets_of

log = logging.getLogger(__name__)

Clusters = NDArray[np.int64]
"""Numbers of clusters of near-duplicates, shape (articles,)."""


def calibrate(
    classifier: FineTunedClassifier,
    validation: Sequence[AnnotatedArticle],
    *,
    target_precision: float | None,
    clusters: Clusters,
    min_labels: int = 0,
    parents: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Fit the temperature for the engine that labels on this machine, with the ensemble, and choose the thresholds.

    Args:
        classifier: The trained model, with its ensemble.
        validation: Articles to calibrate on.
        target_precision: Precision that labels above the threshold must reach. If it is None or 0, a single-label model
            never abstains, and the thresholds of a multi-label one are those with the highest F1.
        clusters: The validation articles' clusters, as returned by `clusters_of`.
        min_labels: The least number of labels that a multi-label model gives an article, 0 or 1.
        parents: The parent of each category that has one, if a single-label model backs off.

    Returns:
        What the manifest and the model's row store; empty if no validation article has one of the categories.
    """
    if classifier.model.kind == "multi":
        return _calibrate_multi_label(classifier, validation, target_precision, min_labels)
    probabilities, truth = outputs_of(classifier.labeller(), validation)
    is_known = truth >= 0
    if not is_known.any():
        log.info("no validation article has one of the model's categories: %s", summarize({}))
        return {}
    temperature = temperature_scaling.fit_temperature(probabilities[is_known], truth[is_known])
    calibrated = temperature_scaling.apply_temperature(probabilities, temperature)
    answers = _Answers(classifier.model.categories, calibrated, categories_of(validation))
    threshold = _threshold(answers, target_precision or 0.0, clusters, parents)
    measures = {"value": temperature, "articles": int(is_known.sum())}
    for when, outputs in (("before", probabilities[is_known]), ("after", calibrated[is_known])):
        measures[f"ece_{when}"] = _calibration_error(outputs, truth[is_known], classifier.model.categories)
        measures[f"nll_{when}"] = temperature_scaling.negative_log_likelihood(outputs, truth[is_known])
    calibration = {"temperature": measures, "threshold": threshold.as_json()}
    log.info("%s", summarize(calibration))
    return calibration


def _calibrate_multi_label(
    classifier: FineTunedClassifier,
    validation: Sequence[AnnotatedArticle],
    target_precision: float | None,
    min_labels: int,
) -> dict[str, Any]:
    """Fit the temperature to every decision of a multi-label model, and choose a threshold for each category."""
    probabilities, truth = label_outputs_of(classifier.labeller(), validation)
    if not truth.any():
        log.info("no validation article has one of the model's categories: %s", summarize({}, "multi"))
        return {}
    temperature = temperature_scaling.fit_temperature(probabilities, truth, kind="multi")
    calibrated = temperature_scaling.apply_temperature(probabilities, temperature, kind="multi")
    measures = {"value": temperature, "articles": len(truth)}
    for when, outputs in (("before", probabilities), ("after", calibrated)):
        measures[f"ece_{when}"] = _decision_calibration_error(outputs, truth, classifier.model.categories)
        measures[f"nll_{when}"] = temperature_scaling.negative_log_likelihood(outputs, truth, kind="multi")
    chosen = _category_thresholds(calibrated, truth, target_precision, min_labels)
    calibration = {"temperature": measures, "thresholds": chosen.as_json()}
    log.info("%s", summarize(calibration))
    return calibration


def summarize(calibration: Mapping[str, Any], kind: TaskKind = "single") -> str:
    """Return one line about what `calibrate` returned for a model of the kind."""
    if not calibration and kind == "multi":
        return f"not calibrated, every threshold is {multi_label.DEFAULT_THRESHOLD}"
    if not calibration:
        return "not calibrated, never abstains"
    temperature = f"temperature {calibration['temperature']['value']:.4f}"
    if "thresholds" in calibration:
        return f"{temperature}; {CategoryThresholds.of(calibration['thresholds'])}"
    return f"{temperature}; {Threshold.of(calibration['threshold'])}"


def choose_threshold(
    labeller: Labeller,
    validation: Sequence[AnnotatedArticle],
    target_precision: float,
    clusters: Clusters,
    parents: Mapping[str, str],
) -> Threshold:
    """Return a new threshold for a registered model, at its temperature, from at least one validation article.

    If the model is to back off, `parents` has the parent of each category that has one.
    """
    answers = _Answers(labeller.categories, outputs_of(labeller, validation)[0], categories_of(validation))
    threshold = _threshold(answers, target_precision, clusters, parents)
    log.info("%s", threshold)
    return threshold


def choose_category_thresholds(
    labeller: Labeller, validation: Sequence[AnnotatedArticle], target_precision: float | None, min_labels: int
) -> CategoryThresholds:
    """Return new thresholds for a registered multi-label model, from at least one validation article.

    They are chosen for the precision or, if it is None or 0, for the highest F1.
    """
    chosen = _category_thresholds(*label_outputs_of(labeller, validation), target_precision, min_labels)
    log.info("%s", chosen)
    return chosen


def label_outputs_of(labeller: Labeller, articles: Sequence[AnnotatedArticle]) -> tuple[Probabilities, LabelMatrix]:
    """Return a multi-label model's probabilities, and whether each article has each of the model's categories."""
    truth = label_matrix(label_sets_of(articles), labeller.categories)
    return labeller.probabilities(labeller.tokenization.texts(articles)), truth


def outputs_of(labeller: Labeller, articles: Sequence[AnnotatedArticle]) -> tuple[Probabilities, CategoryIndices]:
    """Return the predicted probabilities, and the annotated categories' columns: -1 for those the model lacks."""
    columns = {name: column for column, name in enumerate(labeller.categories)}
    truth = np.array([columns.get(category, -1) for category in categories_of(articles)], dtype=np.int64)
    return labeller.probabilities(labeller.tokenization.texts(articles)), truth


def clusters_of(connection: Connection, articles: Sequence[AnnotatedArticle]) -> Clusters:
    """Return each article's cluster of near-duplicates, whose predictions are correct or wrong together."""
    ids = [article_id for article_id, _, _ in facts(articles)]
    cluster_ids = {row.id: row.cluster_id for row in evaluations.articles_by_id(connection, ids)}
    return test_articles.number_clusters(
        np.array(ids, dtype=np.int64), [cluster_ids.get(article_id) for article_id in ids]
    )


def parents_for_back_off(connection: Connection, *, back_off: bool) -> dict[str, str]:
    """Return the parents of the task's categories of today, or none if models do not back off."""
    return dict(category_rows.taxonomy(connection).parents) if back_off else {}


@dataclass(frozen=True, slots=True)
class _Answers:
    """A single-label model's probabilities, (articles, categories), and the annotated category of each article."""

    categories: tuple[str, ...]
    probabilities: Probabilities
    truth: Sequence[str]


def _threshold(answers: _Answers, target_precision: float, clusters: Clusters, parents: Mapping[str, str]) -> Threshold:
    paths = category_tree.find_paths(answers.probabilities, answers.categories, parents)
    confidence, correct = paths.probabilities, paths.correct(answers.truth)
    if confidence.shape[1] == 1:  # no category of the model has a parent
        confidence, correct = confidence[:, 0], correct[:, 0]
    return abstention.choose_threshold(confidence, correct, target_precision, clusters=clusters)


def _category_thresholds(
    probabilities: Probabilities, truth: LabelMatrix, target_precision: float | None, min_labels: int
) -> CategoryThresholds:
    return thresholds.choose_thresholds(
        probabilities,
        truth,
        goal="precision" if target_precision else "f1",
        target_precision=target_precision or None,
        min_labels=min_labels,
    )


def _decision_calibration_error(probabilities: Probabilities, truth: LabelMatrix, categories: tuple[str, ...]) -> float:
    """Return the expected calibration error over all decisions, one an article and category."""
    totals = label_set_reliability.contributions(truth, LabelSetPredictions(categories, probabilities, truth)).sum(
        axis=0
    )
    return float(reliability.calibration_error(totals))


def _calibration_error(probabilities: Probabilities, truth: CategoryIndices, categories: tuple[str, ...]) -> float:
    predictions = Predictions(categories, probabilities.astype(np.float64))
    totals = reliability.contributions(np.asarray(categories)[truth], predictions).sum(axis=0)
    return float(reliability.calibration_error(totals))
