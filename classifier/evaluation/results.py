"""The results of a model's evaluation on the test articles, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation import bootstrap, reliability
from classifier.evaluation.slices import SlicedArticles, slices
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles
from classifier.model import category_tree, temperature_scaling

RESAMPLES = 2_000
"""Bootstrap resamples of the intervals that are shown; the gate draws its own."""

MAX_MISTAKES = 25
COVERAGES = tuple(n / 20 for n in range(1, 21))


def build_results(
    articles: TestArticles,
    predictions: Predictions,
    baseline: Strings,
    *,
    temperature: float = temperature_scaling.UNCALIBRATED,
    threshold: float | None = None,
    target_precision: float | None = None,
    parents: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return intervals, calibration, accuracy against coverage, slices and the most confident mistakes.

    The probabilities are scaled by the temperature; `before` has the calibration without it. The model abstains below
    the threshold, which was chosen for the target precision, or answers one of the `parents` that reaches it. Every
    interval contains 95 % of the resamples by cluster of near-duplicates.
    """
    contributions = reliability.contributions(articles.truth, predictions)
    sums = bootstrap.resample_sums(contributions, articles.clusters, resamples=RESAMPLES)
    return {
        "intervals": {
            **_score_intervals(articles, predictions.predicted),
            "ece": bootstrap.percentile_interval(reliability.calibration_error(sums)),
            "brier": bootstrap.percentile_interval(reliability.mean_brier(sums)),
        },
        "baseline_intervals": _score_intervals(articles, baseline),
        "clusters": len(np.unique(articles.clusters)),
        "calibration": {
            **_calibration(articles, predictions),
            "temperature": temperature,
            "before": _calibration(articles, _without_temperature(predictions, temperature)),
        },
        "coverage": _coverage(articles, predictions),
        "abstention": None
        if threshold is None
        else _abstention(articles, predictions, threshold, parents) | {"target_precision": target_precision},
        "slices": _slices(articles, predictions.predicted, baseline),
        "mistakes": _mistakes(articles, predictions),
    }


def confidence_figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that show how reliable its model's confidence is, without empty values."""
    calibration = report.get("calibration", {})
    figures = {name: calibration.get(name) for name in ("temperature", "ece", "brier", "label_ece")}
    figures |= {"ece_before": calibration.get("before", {}).get("ece"), **(report.get("abstention") or {})}
    return {name: value for name, value in figures.items() if value is not None}


def _without_temperature(predictions: Predictions, temperature: float) -> Predictions:
    raw = temperature_scaling.apply_temperature(
        predictions.probabilities.astype(np.float32, copy=False), 1 / temperature
    )
    return Predictions(predictions.categories, raw)


def _calibration(articles: TestArticles, predictions: Predictions) -> dict[str, Any]:
    totals = reliability.contributions(articles.truth, predictions).sum(axis=0)
    return {
        "ece": float(reliability.calibration_error(totals)),
        "brier": float(reliability.mean_brier(totals)),
        "bins": [asdict(bin_) for bin_ in reliability.bins(articles, predictions)],
    }


def _abstention(
    articles: TestArticles, predictions: Predictions, threshold: float, parents: Mapping[str, str]
) -> dict[str, Any]:
    """Return the share of articles that the model labels, and the precision on them.

    If the model backs off, also the share of articles that get a parent.
    """
    outputs = predictions.probabilities.astype(np.float32)  # as the database compares them
    paths = category_tree.find_paths(outputs, predictions.categories, parents)
    reached = paths.probabilities >= np.float32(threshold)
    labelled, levels = reached[:, -1], reached.argmax(axis=1)
    correct = paths.correct(articles.truth.tolist())[labelled, levels[labelled]]
    by_parents = {"coverage_by_parents": float((labelled & (levels > 0)).mean())} if parents else {}
    return {
        "threshold": threshold,
        **by_parents,
        "coverage": float(labelled.mean()),
        "precision": float(correct.mean()) if len(correct) else None,
        "precision_interval": bootstrap.share_interval(correct, articles.clusters[labelled], resamples=RESAMPLES)
        if len(correct)
        else None,
    }


def _score_intervals(articles: TestArticles, predicted: Strings) -> dict[str, tuple[float, float]]:
    """Return the intervals of accuracy and macro-F1."""
    names, codes = np.unique(np.concatenate([articles.truth, predicted]), return_inverse=True)
    truth, guesses = np.split(codes.astype(np.int64), 2)
    contributions = bootstrap.count_outcomes(truth, [guesses], len(names))
    accuracy, macro_f1 = [], []
    for sums in bootstrap.resample_blocks(contributions, articles.clusters, resamples=RESAMPLES):
        counts, predictions, hits = np.split(sums, 3, axis=1)
        accuracy.append(hits.sum(axis=1) / counts.sum(axis=1))
        macro_f1.append(bootstrap.macro_f1(counts, predictions, hits))
    figures = {"accuracy": accuracy, "macro_f1": macro_f1}
    return {name: bootstrap.percentile_interval(np.concatenate(parts)) for name, parts in figures.items()}


def _coverage(articles: TestArticles, predictions: Predictions) -> list[dict[str, float]]:
    """Return the accuracy on the most confident articles, for each share of them."""
    confidence = predictions.confidence
    order = np.argsort(-confidence, kind="stable")
    correct = np.cumsum((predictions.predicted == articles.truth)[order])
    points = []
    for share in COVERAGES:
        count = max(1, round(share * len(articles)))
        accuracy = float(correct[count - 1] / count)
        points.append({"coverage": share, "accuracy": accuracy, "confidence": float(confidence[order[count - 1]])})
    return points


def _slices(articles: TestArticles, predicted: Strings, baseline: Strings) -> list[dict[str, Any]]:
    return score_slices(articles, articles.clusters, predicted == articles.truth, baseline == articles.truth)


def score_slices(
    articles: SlicedArticles,
    clusters: NDArray[np.int64],
    correct: NDArray[np.bool_],
    baseline_correct: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Return the share of correct articles in each slice, of a model with its interval and of the baseline."""
    return [
        {
            "dimension": part.dimension,
            "name": part.name,
            "articles": int(part.rows.sum()),
            "accuracy": float(correct[part.rows].mean()),
            "interval": bootstrap.share_interval(correct[part.rows], clusters[part.rows], resamples=RESAMPLES),
            "baseline": float(baseline_correct[part.rows].mean()),
        }
        for part in slices(articles)
    ]


def _mistakes(articles: TestArticles, predictions: Predictions) -> list[dict[str, Any]]:
    """Return the most confident mistakes by the articles' ids, never by text."""
    predicted, confidence = predictions.predicted, predictions.confidence
    wrong = np.flatnonzero(predicted != articles.truth)
    return [
        {
            "article": int(articles.ids[row]),
            "annotated": str(articles.truth[row]),
            "predicted": str(predicted[row]),
            "confidence": float(confidence[row]),
        }
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    ]
