"""The labels of a multi-label model: each category whose probability reaches the category's threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifier.articles import LabelMatrix, Probabilities


def assign_labels(probabilities: Probabilities, thresholds: Sequence[float], *, min_labels: int) -> LabelMatrix:
    """Return whether each article has each category, shape (articles, categories).

    With `min_labels` 1, an article whose probabilities are all below the thresholds gets the category whose probability
    is the largest share of its threshold.
    """
    limits = np.asarray(thresholds, dtype=np.float32)
    labels: LabelMatrix = probabilities >= limits
    if min_labels and len(limits):
        without = np.flatnonzero(~labels.any(axis=1))
        shares = probabilities[without] / np.maximum(limits, np.finfo(np.float32).tiny)
        labels[without, shares.argmax(axis=1)] = True
    return labels
