"""Whether a model is as often right as it says: reliability, expected calibration error and Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles

BINS = 15
"""Of equal width, as Guo et al. (2017) cut them."""

_CELLS = 1_000_000
"""Probabilities taken at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The articles whose confidence is above `low` and at most `high`."""

    low: float
    high: float
    articles: int
    confidence: float
    accuracy: float


def bins(sample: TestArticles, answers: Predictions) -> list[Bin]:
    """Return the bins that hold articles."""
    right, confidence, counts = np.split(contributions(sample.truth, answers).sum(axis=0)[:-1], 3)
    edges = np.linspace(0, 1, BINS + 1)
    return [
        Bin(float(edges[n]), float(edges[n + 1]), int(counts[n]), confidence[n] / counts[n], right[n] / counts[n])
        for n in range(BINS)
        if counts[n]
    ]


def contributions(truth: Strings, answers: Predictions) -> Floats:
    """Return what each article adds: to its bin's right answers, confidence and number, and to the Brier score.

    Shape (articles, 3 * BINS + 1).
    """
    confidence = answers.confidence
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.arange(len(truth))
    found = np.zeros((len(truth), 3 * BINS + 1))
    found[rows, place] = answers.predicted == truth
    found[rows, BINS + place] = confidence
    found[rows, 2 * BINS + place] = 1
    found[:, -1] = brier(truth, answers)
    return found


def brier(truth: Strings, answers: Predictions) -> Floats:
    """Return each article's squared distance from certainty of the truth, between 0 and 2."""
    columns = {name: column for column, name in enumerate(answers.categories)}
    places = np.array([columns.get(name, -1) for name in truth], dtype=np.int64)
    found = np.empty(len(truth))
    step = max(1, _CELLS // max(1, len(columns)))
    for start in range(0, len(truth), step):
        some = places[start : start + step]
        away = answers.probabilities[start : start + step].astype(np.float64)
        known = np.flatnonzero(some >= 0)
        away[known, some[known]] -= 1
        # a category that the model does not know is one further away
        found[start : start + step] = (away**2).sum(axis=1) + (some < 0)
    return found


def error(sums: Floats) -> Floats:
    """Return the expected calibration error from sums of `contributions`, along the last axis."""
    right, confidence, counts = np.split(sums[..., :-1], 3, axis=-1)
    found: Floats = np.abs(right - confidence).sum(axis=-1) / counts.sum(axis=-1)
    return found


def mean_brier(sums: Floats) -> Floats:
    """Return the mean Brier score from sums of `contributions`, along the last axis."""
    found: Floats = sums[..., -1] / sums[..., 2 * BINS : -1].sum(axis=-1)
    return found
