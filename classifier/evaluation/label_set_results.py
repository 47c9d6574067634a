"""The results of a multi-label model's evaluation on the test articles, as plain JSON: see `results.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix
from classifier.evaluation import bootstrap, label_set_reliability, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.label_set_metrics import exact_matches
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions
from classifier.evaluation.results import MAX_MISTAKES, RESAMPLES, score_slices
from classifier.model import temperature_scaling
from classifier.model.sigmoid import logit, sigmoid

RECALLS = tuple(n / 20 for n in range(1, 21))

MIN_PROBABILITY = 0.01
"""Probability from which on a label counts in precision against recall; nearly all of a million decisions are below."""


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """How a model's probabilities became labels: its temperature, and the threshold of each of its categories.

    `target_precision` is what the thresholds were chosen for; None if it was F1.
    """

    temperature: float = temperature_scaling.UNCALIBRATED
    thresholds: Sequence[float] | None = None
    target_precision: float | None = None


def build_label_set_results(
    articles: LabelSetArticles,
    predictions: LabelSetPredictions,
    baseline: LabelMatrix,
    calibration: LabelCalibration = LabelCalibration(),
) -> dict[str, Any]:
    """Return intervals, calibration, precision against recall, slices and the most confident mistakes.

    The columns of the articles must contain the model's categories, and are those of `baseline`. The probabilities are
    scaled by the temperature; `before` has the calibration without it. `ece` is of all label decisions, and `label_ece`
    of the assigned labels. Every interval contains 95 % of the resamples by cluster of near-duplicates.
    """
    thresholds = _thresholds(predictions.categories, calibration)
    predictions = predictions.over(articles.categories)
    decisions, assigned = (
        label_set_reliability.contributions(articles.truth, predictions, assigned=only) for only in (False, True)
    )
    sums, label_sums = (
        bootstrap.resample_sums(columns, articles.clusters, resamples=RESAMPLES) for columns in (decisions, assigned)
    )
    any_label = bool(predictions.predicted.any())
    return {
        "intervals": {
            **_score_intervals(articles, predictions.predicted),
            "ece": bootstrap.percentile_interval(reliability.calibration_error(sums)),
            "brier": bootstrap.percentile_interval(reliability.mean_brier(sums)),
            "label_ece": bootstrap.percentile_interval(reliability.calibration_error(label_sums))
            if any_label
            else None,
        },
        "baseline_intervals": _score_intervals(articles, baseline),
        "clusters": len(np.unique(articles.clusters)),
        "calibration": {
            **_calibration(decisions.sum(axis=0), assigned.sum(axis=0)),
            "temperature": calibration.temperature,
            "before": _without_temperature(articles, predictions, calibration.temperature),
        },
        "precision_recall": _precision_recall(articles.truth, predictions.probabilities),
        "thresholds": thresholds,
        "slices": score_slices(
            articles,
            articles.clusters,
            exact_matches(articles.truth, predictions.predicted),
            exact_matches(articles.truth, baseline),
        ),
        "mistakes": _mistakes(articles, predictions),
    }


def _thresholds(categories: tuple[str, ...], calibration: LabelCalibration) -> dict[str, Any] | None:
    if calibration.thresholds is None:
        return None
    values = {name: float(value) for name, value in zip(categories, calibration.thresholds, strict=True)}
    return {"values": values, "target_precision": calibration.target_precision}


def _score_intervals(articles: LabelSetArticles, predicted: LabelMatrix) -> dict[str, tuple[float, float]]:
    """Return the intervals of micro-F1, macro-F1 and exact matches.

    A category of one article is missing in every third resample, and such categories have the lowest F1. So resampled
    macro-F1 is too high by points if there are many, and its interval is moved back by the mean difference.
    """
    contributions = bootstrap.count_label_outcomes(articles.truth, [predicted])
    measured = np.split(contributions.sum(axis=0), 3)
    micro, macro = [], []
    for sums in bootstrap.resample_blocks(contributions, articles.clusters, resamples=RESAMPLES):
        counts = np.split(sums, 3, axis=1)
        micro.append(bootstrap.micro_f1(*counts))
        macro.append(bootstrap.macro_f1(*counts))
    return {
        "micro_f1": bootstrap.percentile_interval(np.concatenate(micro)),
        "macro_f1": _without_bias(np.concatenate(macro), float(bootstrap.macro_f1(*measured))),
        "exact_matches": bootstrap.share_interval(
            exact_matches(articles.truth, predicted), articles.clusters, resamples=RESAMPLES
        ),
    }


def _without_bias(resampled: Floats, measured: float) -> tuple[float, float]:
    bias = float(resampled.mean()) - measured
    low, high = (min(1.0, max(0.0, end - bias)) for end in bootstrap.percentile_interval(resampled))
    return low, high


def _calibration(decisions: Floats, assigned: Floats) -> dict[str, Any]:
    """Return the figures of sums of `label_set_reliability.contributions`."""
    any_label = bool(assigned[2 * reliability.BINS : -1].sum())
    return {
        "ece": float(reliability.calibration_error(decisions)),
        "brier": float(reliability.mean_brier(decisions)),
        "bins": [asdict(bin_) for bin_ in reliability.bins_of(decisions)],
        "label_ece": float(reliability.calibration_error(assigned)) if any_label else None,
    }


def _without_temperature(
    articles: LabelSetArticles, predictions: LabelSetPredictions, temperature: float
) -> dict[str, Any]:
    """Return the calibration of the probabilities before the temperature, for the same labels."""
    raw = predictions.probabilities
    if temperature != temperature_scaling.UNCALIBRATED:
        # a category that the model does not know keeps its probability of 0
        raw = np.where(raw > 0, sigmoid(logit(raw) * temperature), 0)
    before = LabelSetPredictions(predictions.categories, raw, predictions.predicted)
    sums = [
        label_set_reliability.contributions(articles.truth, before, assigned=only).sum(axis=0) for only in (False, True)
    ]
    return _calibration(*sums)


def _precision_recall(truth: LabelMatrix, probabilities: NDArray[np.floating[Any]]) -> list[dict[str, float]]:
    """Return the precision of the most probable labels of all articles, for each recall that they reach.

    One threshold for all categories is used here, whatever the model's own thresholds are.
    """
    chosen = probabilities >= MIN_PROBABILITY
    values, correct = probabilities[chosen], truth[chosen]
    order = np.argsort(-values, kind="stable")
    hits, labels = np.cumsum(correct[order]), int(truth.sum())
    points = []
    for recall in RECALLS:
        needed = max(1, int(np.ceil(recall * labels)))
        if not labels or not len(hits) or hits[-1] < needed:
            break
        last = int(np.searchsorted(hits, needed))
        points.append({
            "recall": recall,
            "precision": float(hits[last] / (last + 1)),
            "probability": float(values[order[last]]),
        })
    return points


def _mistakes(articles: LabelSetArticles, predictions: LabelSetPredictions) -> list[dict[str, Any]]:
    """Return the most confident wrong decisions, one an article, by the articles' ids and never by text.

    The confidence of a missed label is 1 less its probability.
    """
    rows, columns = np.nonzero(predictions.predicted != articles.truth)
    values = predictions.probabilities[rows, columns].astype(np.float64)
    confidence = np.where(predictions.predicted[rows, columns], values, 1 - values)
    order = np.argsort(-confidence, kind="stable")
    first = np.sort(np.unique(rows[order], return_index=True)[1])[:MAX_MISTAKES]
    names = np.asarray(articles.categories)
    return [
        {
            "article": int(articles.ids[rows[cell]]),
            "category": str(names[columns[cell]]),
            "mistake": "wrong" if predictions.predicted[rows[cell], columns[cell]] else "missed",
            "annotated": names[articles.truth[rows[cell]]].tolist(),
            "predicted": names[predictions.predicted[rows[cell]]].tolist(),
            "confidence": float(confidence[cell]),
        }
        for cell in order[first]
    ]
