"""Whether a model's confidence equals its accuracy: reliability, expected calibration error and Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles

BINS = 15
"""Number of bins, of equal width (Guo et al., 2017)."""

_CELLS = 1_000_000
"""Probabilities read at once; this bounds memory."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The articles whose confidence is above `low` and at most `high`."""

    low: float
    high: float
    articles: int
    confidence: float
    accuracy: float


def bins(articles: TestArticles, predictions: Predictions) -> list[Bin]:
    """Return the bins that contain articles."""
    return bins_of(contributions(articles.truth, predictions).sum(axis=0))


def bins_of(sums: Floats) -> list[Bin]:
    """Return the bins that are not empty, from sums of `contributions`."""
    correct, confidence, counts = np.split(sums[:-1], 3)
    edges = np.linspace(0, 1, BINS + 1)
    return [
        Bin(float(edges[n]), float(edges[n + 1]), int(counts[n]), confidence[n] / counts[n], correct[n] / counts[n])
        for n in range(BINS)
        if counts[n]
    ]


def contributions(truth: Strings, predictions: Predictions) -> Floats:
    """Return what each article adds: to its bin's correct predictions, confidence and count, and to the Brier score.

    Shape (articles, 3 * BINS + 1).
    """
    confidence = predictions.confidence
    bin_ = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.arange(len(truth))
    result = np.zeros((len(truth), 3 * BINS + 1))
    result[rows, bin_] = predictions.predicted == truth
    result[rows, BINS + bin_] = confidence
    result[rows, 2 * BINS + bin_] = 1
    result[:, -1] = brier(truth, predictions)
    return result


def brier(truth: Strings, predictions: Predictions) -> Floats:
    """Return each article's squared distance from a confidence of 1 in the true category, between 0 and 2."""
    columns = {name: column for column, name in enumerate(predictions.categories)}
    true_columns = np.array([columns.get(name, -1) for name in truth], dtype=np.int64)
    scores = np.empty(len(truth))
    step = max(1, _CELLS // max(1, len(columns)))
    for start in range(0, len(truth), step):
        column = true_columns[start : start + step]
        distance = predictions.probabilities[start : start + step].astype(np.float64)
        rows = np.flatnonzero(column >= 0)
        distance[rows, column[rows]] -= 1
        # a category that the model does not know adds 1
        scores[start : start + step] = (distance**2).sum(axis=1) + (column < 0)
    return scores


def calibration_error(sums: Floats) -> Floats:
    """Return the expected calibration error from sums of `contributions`, along the last axis; NaN of no prediction."""
    correct, confidence, counts = np.split(sums[..., :-1], 3, axis=-1)
    with np.errstate(invalid="ignore"):
        error: Floats = np.abs(correct - confidence).sum(axis=-1) / counts.sum(axis=-1)
    return error


def mean_brier(sums: Floats) -> Floats:
    """Return the mean Brier score from sums of `contributions`, along the last axis."""
    mean: Floats = sums[..., -1] / sums[..., 2 * BINS : -1].sum(axis=-1)
    return mean
