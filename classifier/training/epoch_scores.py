"""Score an epoch's probabilities on the validation split.

The labels of a multi-label network are those with the thresholds that would be chosen now, on the same articles. That
flatters every epoch alike. At a fixed threshold of 0.5, the macro-F1 of the first epochs would be near 0, because rare
categories seldom reach it, and the training would stop early.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifier.articles import Probabilities
from classifier.evaluation import thresholds
from classifier.evaluation.metrics import macro_f1
from classifier.model import multi_label
from classifier.model.targets import Targets
from classifier.training import early_stopping


@dataclass(frozen=True, slots=True)
class EpochScores:
    """The share of articles with exactly their categories, macro-F1, and its standard error."""

    accuracy: float
    macro_f1: float
    standard_error: float


def score_epoch(truth: Targets, probabilities: Probabilities) -> EpochScores:
    """Return the scores of probabilities, (articles, categories), by the targets of the articles."""
    if truth.ndim > 1:
        matrix = truth.astype(np.bool_)
        chosen = thresholds.choose_thresholds(probabilities, matrix).values
        predicted: Targets = multi_label.assign_labels(probabilities, np.array(chosen), min_labels=0)
        correct = (predicted == matrix).all(axis=1)
    else:
        predicted = probabilities.argmax(axis=1)
        correct = predicted == truth
    return EpochScores(
        accuracy=round(float(np.mean(correct)), 5),
        macro_f1=round(_macro_f1(truth, predicted), 5),
        standard_error=round(early_stopping.standard_error(truth, predicted), 5),
    )


def _macro_f1(truth: Targets, predicted: Targets) -> float:
    """Return the mean F1 of the categories that occur in `truth`; 0 if none does."""
    if truth.ndim == 1:
        return macro_f1(truth, predicted)
    support, f1 = early_stopping.support_and_f1(truth, predicted)
    return float(f1.mean()) if len(support) else 0.0
