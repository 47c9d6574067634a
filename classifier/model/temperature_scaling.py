"""Calibration by one number, the temperature: the logits are divided by it (Guo et al., 2017).

Above 1, the network was overconfident; below 1, underconfident. The order of the categories does not change, so the
labels do not either.

The temperature is applied to probabilities and not built into the head. So the weights stay those that were trained,
which PyTorch opens and a warm start loads, and every engine is calibrated in the same way. For p = softmax(z),
softmax(z / T) is p ** (1 / T), divided by its sum. The probabilities of a multi-label model are sigmoids of their own
logits: there the temperature divides each of them, and the likelihood is that of every decision, one an article and
category.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, LabelMatrix, Probabilities, TaskKind
from classifier.model.sigmoid import logit, sigmoid

UNCALIBRATED = 1.0
"""The temperature of a model that was not calibrated."""

MIN_ARTICLES = 50
"""Articles that a fit needs. With fewer, the temperature would say more about them than about the model."""

BOUNDS = (0.1, 10.0)

_SMALLEST = np.finfo(np.float32).smallest_subnormal  # replaces 0, which has no logarithm


def from_calibration(calibration: Mapping[str, Any]) -> float:
    """Return the temperature of a model's calibration; 1 for a model that was not calibrated."""
    return float(calibration.get("temperature", {}).get("value", UNCALIBRATED))


def apply_temperature(probabilities: Probabilities, temperature: float, *, kind: TaskKind = "single") -> Probabilities:
    """Return the probabilities at a temperature, shape (articles, categories); at 1, the same array.

    The bits of each row depend on that row alone.
    """
    if temperature == UNCALIBRATED:
        return probabilities
    if kind == "multi":
        scaled: Probabilities = sigmoid(logit(probabilities) / temperature).astype(np.float32)
        return scaled
    powers = probabilities.astype(np.float64) ** (1 / temperature)
    calibrated: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return calibrated


def fit_temperature(
    probabilities: Probabilities, truth: CategoryIndices | LabelMatrix, *, kind: TaskKind = "single"
) -> float:
    """Return the temperature that maximises the likelihood of the truth; 1 for fewer than `MIN_ARTICLES`.

    `probabilities` are (articles, categories), and `truth` the columns of the annotated categories; for a multi-label
    model, whether each article has each category. One pseudo-article that may be of any category is added, as Platt
    (1999) smooths targets. Without it, a model with no error on a few hundred articles would become certain. The
    likelihood is concave in 1 / T, so there is one maximum.
    """
    from scipy.optimize import minimize_scalar

    if len(truth) < MIN_ARTICLES:
        return UNCALIBRATED

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(probabilities, truth, float(np.exp(logarithm)), pseudo_articles=1, kind=kind)

    result = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    return round(float(np.exp(result.x)), 6)


def negative_log_likelihood(
    probabilities: Probabilities,
    truth: CategoryIndices | LabelMatrix,
    temperature: float = UNCALIBRATED,
    *,
    pseudo_articles: float = 0,
    kind: TaskKind = "single",
) -> float:
    """Return the mean over the articles, and over pseudo-articles that may be of any category.

    For a multi-label model, it is the mean over the decisions: each pseudo-article both has and lacks each category.
    """
    from scipy import special

    if kind == "multi":
        odds = logit(probabilities) / temperature
        likelihood, uncertain = special.log_expit(np.where(truth, odds, -odds)), special.log_expit(-np.abs(odds))
        # the logarithms of p and 1 - p differ by the odds
        pseudo = pseudo_articles * (uncertain + np.abs(odds) / 2).mean()
        return float(-(likelihood.mean(axis=1).sum() + pseudo) / (len(truth) + pseudo_articles))
    logits = np.log(np.maximum(probabilities, _SMALLEST).astype(np.float64)) / temperature
    log_probabilities = special.log_softmax(logits, axis=1)
    total = log_probabilities[np.arange(len(truth)), truth].sum() + pseudo_articles * log_probabilities.mean()
    return float(-total / (len(truth) + pseudo_articles))
