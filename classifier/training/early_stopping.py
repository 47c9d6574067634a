"""Choose the epoch whose weights a training keeps, and when it stops before its last epoch.

The highest macro-F1 on the validation split is a noisy choice, above all if a category has only a handful of articles
there. So a later epoch is kept unless an earlier one is significantly better, in the spirit of the one-standard-error
rule (Breiman et al., 1984). In doubt the later epoch is better, because the learning rate falls to 0 and the weights
settle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.model.targets import Targets
from classifier.training.training_state import EpochResult

Z_SCORE = 1.645
"""Standard errors. A score exceeds its expected value by more than that in one of twenty cases."""


def best_epoch(history: Sequence[EpochResult]) -> int:
    """Return the number of the epoch to keep; 0 if the history is empty.

    It is the last epoch, or the one that was to be kept before it.
    """
    kept = 0
    for epochs, latest in enumerate(history, start=1):
        highest = max(history[:epochs], key=lambda epoch: epoch.macro_f1)
        if latest.macro_f1 >= highest.macro_f1 - Z_SCORE * highest.standard_error:
            kept = latest.epoch
    return kept


def epochs_since_best(history: Sequence[EpochResult]) -> int:
    """Return the number of epochs since the one with the highest macro-F1."""
    scores = [epoch.macro_f1 for epoch in history]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def standard_error(truth: Targets, predicted: Targets) -> float:
    """Return the standard error of macro-F1, overestimated rather than underestimated.

    F1 is treated as a proportion of its category's articles. One correct and one wrong article are added to each
    category (Laplace's rule of succession): otherwise a score on three articles, all correct, would seem certain.
    """
    support, f1 = support_and_f1(truth, predicted)
    share = (f1 * support + 1) / (support + 2)
    return float(np.sqrt((share * (1 - share) / support).sum()) / max(1, len(support)))


def support_and_f1(truth: Targets, predicted: Targets) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the number of articles and the F1 of each category that occurs in `truth`."""
    if truth.ndim > 1:
        support, predictions, hits = (matrix.sum(axis=0) for matrix in (truth, predicted, truth & predicted))
    else:
        size = int(max(truth.max(), predicted.max())) + 1
        support, predictions = np.bincount(truth, minlength=size), np.bincount(predicted, minlength=size)
        hits = np.bincount(truth[truth == predicted], minlength=size)
    present = support > 0
    return support[present], (2 * hits / np.maximum(support + predictions, 1))[present]
