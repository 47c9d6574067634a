"""One number that makes a network as sure as it is right: its logits are divided by it (Guo et al., 2017).

Above 1 the network was too sure, below 1 not sure enough. The order of the categories stays, and so do the labels.

It is applied to probabilities rather than built into the head: whatever engine they come from, the weights stay
those that were trained, which is what PyTorch opens and a warm start goes on from. Where p = softmax(z),
softmax(z / T) is p ** (1 / T), scaled to add up to 1 again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, Probabilities

NONE = 1.0
"""The temperature of a model that has not been calibrated."""

MIN_ARTICLES = 50
"""Articles that a temperature is fitted on at least: with fewer, it says more about them than about the model."""

BOUNDS = (0.1, 10.0)

_SMALLEST = np.finfo(np.float32).smallest_subnormal  # what a float32 of 0 was at most


def from_calibration(calibration: Mapping[str, Any]) -> float:
    """Return the temperature that a model's calibration holds; 1 for a model that was not calibrated."""
    return float(calibration.get("temperature", {}).get("value", NONE))


def apply(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the probabilities at a temperature, shape (articles, categories); where it is 1, those given.

    Each row's result depends on that row alone, bit by bit.
    """
    if temperature == NONE:
        return probabilities
    powers = probabilities.astype(np.float64) ** (1 / temperature)
    found: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def fit_temperature(probabilities: Probabilities, truth: CategoryIndices) -> float:
    """Return the temperature at which the truth is likeliest, 1 for fewer articles than `LEAST`.

    `probabilities` are (articles, categories), `truth` their columns. One further article is imagined that may be
    of any category, as Platt (1999) smooths targets: otherwise a model that has every one of a few hundred
    articles right would be made certain. In 1 / T the likelihood is concave, so there is one maximum.
    """
    from scipy.optimize import minimize_scalar

    if len(truth) < MIN_ARTICLES:
        return NONE

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(probabilities, truth, float(np.exp(logarithm)), imagined=1)

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    return round(float(np.exp(found.x)), 6)


def negative_log_likelihood(
    probabilities: Probabilities, truth: CategoryIndices, temperature: float = NONE, *, imagined: float = 0
) -> float:
    """Return the mean over the articles, and over so many imagined ones that may be of any category."""
    scaled = np.log(np.maximum(probabilities, _SMALLEST).astype(np.float64)) / temperature
    scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    right = scaled[np.arange(len(truth)), truth].sum()
    return float(-(right + imagined * scaled.mean()) / (len(truth) + imagined))
