"""The labels of a text for which a multi-label model predicted probabilities.

A category is a label of the text if its probability reaches the category's own threshold. If a text must have a label
and no category reaches its threshold, the label is the category that comes closest: the one with the largest ratio of
probability to threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Probabilities

DEFAULT_THRESHOLD = 0.5
"""Threshold of every category of a model whose thresholds were not chosen."""

Thresholds = NDArray[np.float32]
"""The threshold of each category, above 0 and at most 1, shape (categories,)."""


def from_calibration(calibration: Mapping[str, Any], categories: int) -> Thresholds:
    """Return the thresholds of a model's calibration; `DEFAULT_THRESHOLD` for a model that was not calibrated."""
    values = calibration.get("thresholds", {}).get("values")
    return np.asarray([DEFAULT_THRESHOLD] * categories if values is None else values, dtype=np.float32)


def assign_labels(
    probabilities: Probabilities, thresholds: Sequence[float] | NDArray[Any], *, min_labels: int
) -> LabelMatrix:
    """Return whether each text has each category, shape (texts, categories).

    With `min_labels` 1, each text has at least one; with 0, it may have none. The result for a text depends on that
    text alone.
    """
    limits = np.asarray(thresholds, dtype=np.float32)
    labels: LabelMatrix = probabilities >= limits
    if min_labels and len(labels):
        without = np.flatnonzero(~labels.any(axis=1))
        labels[without, (probabilities[without] / limits).argmax(axis=1)] = True
    return labels
