"""Which epoch's weights a training keeps, and when it stops before its last one.

The highest macro-F1 on the validation split is a noisy choice, above all where a category has a handful of articles
there. So a later epoch is kept unless an earlier one is better by more than chance, in the spirit of the one-standard-
error rule (Breiman et al., 1984). Later is better where nothing speaks against it, for the learning rate falls to 0
and the weights come to rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifier.articles import CategoryIndices
from classifier.training.training_state import EpochResult

CHANCE = 1.645
"""Standard errors that one score in twenty is too high by."""


def best_epoch(history: Sequence[EpochResult]) -> int:
    """Return the number of the epoch to keep, which is the last one or was kept when it was the last; 0 without any."""
    found = 0
    for epochs, now in enumerate(history, start=1):
        best = max(history[:epochs], key=lambda epoch: epoch.macro_f1)
        if now.macro_f1 >= best.macro_f1 - CHANCE * best.standard_error:
            found = now.epoch
    return found


def since_best(history: Sequence[EpochResult]) -> int:
    """Return how many epochs have not bettered the highest macro-F1."""
    scores = [epoch.macro_f1 for epoch in history]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def standard_error(truth: CategoryIndices, predicted: CategoryIndices) -> float:
    """Return macro-F1's standard error, rather too large than too small: F1 is taken for a share of its category.

    To each category come one article that is right and one that is wrong (Laplace's rule of succession). Without those
    two, a score on three articles that are all right would be certain.
    """
    size = int(max(truth.max(), predicted.max())) + 1
    support, guessed = np.bincount(truth, minlength=size), np.bincount(predicted, minlength=size)
    hits = np.bincount(truth[truth == predicted], minlength=size)
    there = support > 0
    support, f1 = support[there], (2 * hits / np.maximum(support + guessed, 1))[there]
    share = (f1 * support + 1) / (support + 2)
    return float(np.sqrt((share * (1 - share) / support).sum()) / len(support))
