"""The sigmoid and its inverse, which turn the logits of a multi-label model into probabilities and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALLEST = np.finfo(np.float32).tiny  # replaces 0, which has no logarithm
_LARGEST = 1 - 2.0**-24  # replaces 1: the largest float32 below it


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the probability of each logit, in its dtype; the bits of each depend on that logit alone.

    The exponent is never positive, so no value overflows. NaN stays NaN.
    """
    exponentials = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, exponentials) / (1 + exponentials))


def logit(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the logit of each probability in float64: the inverse of `sigmoid`, finite for 0 and 1 too."""
    clipped = np.clip(probabilities.astype(np.float64), _SMALLEST, _LARGEST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
