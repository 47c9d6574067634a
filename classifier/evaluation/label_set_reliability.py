"""Whether a multi-label model's probabilities equal frequencies: per decision, and for the labels it assigns.

A decision is whether one article has one category. Most decisions are easy: of a hundred categories, an article lacks
ninety-eight, so the calibration error per decision is small for any model. The error of the assigned labels is the one
that users see, since they filter labels by probability; it has the scale of a single-label task's error.
"""

from __future__ import annotations

import numpy as np

from classifier.articles import LabelMatrix
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.evaluation.reliability import BINS

_CELLS = 1_000_000
"""Probabilities read at once; this bounds memory."""


def contributions(truth: LabelMatrix, predictions: LabelSetPredictions, *, assigned: bool = False) -> Floats:
    """Return what each article adds to its bins' true labels, probabilities and decisions, and to the Brier score.

    Shape (articles, 3 * BINS + 1), as `reliability.contributions`, whose functions turn sums into figures. The Brier
    score is the sum of squared differences over the article's decisions. With `assigned`, only the labels that the
    model assigns count. The predictions have the columns of the truth.
    """
    result = np.zeros((len(truth), 3 * BINS + 1))
    step = max(1, _CELLS // max(1, truth.shape[1]))
    for start in range(0, len(truth), step):
        part = slice(start, start + step)
        result[part] = _of_part(truth[part], predictions.of(part), assigned=assigned)
    return result


def _of_part(truth: LabelMatrix, predictions: LabelSetPredictions, *, assigned: bool) -> Floats:
    chosen = predictions.predicted if assigned else np.ones_like(truth)
    rows, columns = np.nonzero(chosen)
    confidence = predictions.probabilities[rows, columns].astype(np.float64)
    correct = truth[rows, columns].astype(np.float64)
    bin_ = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    cells, size = rows * BINS + bin_, len(truth) * BINS
    sums = [
        np.bincount(cells, weights, size).reshape(len(truth), BINS)
        for weights in (correct, confidence, np.ones(len(cells)))
    ]
    brier = np.bincount(rows, (confidence - correct) ** 2, len(truth))
    return np.column_stack([*sums, brier])
