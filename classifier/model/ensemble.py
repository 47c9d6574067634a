"""An ensemble of a network and a linear classifier.

The network reads text in order and the linear classifier counts words, so they make different errors. The ensemble's
probabilities are proportional to p ** a * exp(b * s), where p is the network's probability of a category and s its
linear score. This is a logistic regression on both outputs with one weight each (stacked generalisation, Wolpert,
1992). The weights are fitted on the validation split, which neither was trained on, and are not negative. Afterwards
the linear classifier is trained on that split too.

For a multi-label task, each category has a logistic regression of its own on both outputs, all with the same weights:
the logit is a * logit(p) + b * s + c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, LabelMatrix, Probabilities
from classifier.exceptions import ArtefactError
from classifier.model.linear import KINDS, LinearClassifier, Scores
from classifier.model.sigmoid import logit, sigmoid
from classifier.model.softmax import softmax

MIN_ARTICLES = 50
"""Articles that fitting the weights needs."""

_SMALLEST = np.finfo(np.float32).smallest_subnormal  # replaces 0, which has no logarithm


@dataclass(frozen=True, slots=True)
class EnsembleWeights:
    """The weights of the network's log probabilities and of the linear scores."""

    network: float
    linear: float

    def apply(self, probabilities: Probabilities, scores: Scores) -> Probabilities:
        """Return the ensemble's probabilities, shape (articles, categories).

        The bits of each row depend on that row alone. NaN stays NaN.
        """
        combined: Probabilities = softmax(self._logits(probabilities, scores)).astype(np.float32)
        return combined

    def loss(self, probabilities: Probabilities, scores: Scores, truth: CategoryIndices) -> float:
        """Return the mean negative log-likelihood, with one pseudo-article that may be of any category.

        Without it, an ensemble with no error on a few hundred articles would become certain (Platt, 1999).
        """
        from scipy import special

        log_probabilities = special.log_softmax(self._logits(probabilities, scores), axis=1)
        total = log_probabilities[np.arange(len(truth)), truth].sum() + log_probabilities.mean()
        return float(-total / (len(truth) + 1))

    def _logits(self, probabilities: Probabilities, scores: Scores) -> Scores:
        logarithms = np.log(np.maximum(probabilities, _SMALLEST).astype(np.float64))
        return self.network * logarithms + self.linear * scores


@dataclass(frozen=True, slots=True)
class MultiLabelWeights:
    """The weights of the network's logits and of the linear scores, and what is added to each logit."""

    network: float
    linear: float
    offset: float

    def apply(self, probabilities: Probabilities, scores: Scores) -> Probabilities:
        """Return the ensemble's probability of each category, shape (articles, categories).

        The bits of each row depend on that row alone. NaN stays NaN.
        """
        combined: Probabilities = sigmoid(
            self.network * logit(probabilities) + self.linear * scores + self.offset
        ).astype(np.float32)
        return combined


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A linear classifier that predicts together with a network, and the weights of both."""

    linear: LinearClassifier
    weights: EnsembleWeights | MultiLabelWeights


def fit_weights(probabilities: Probabilities, scores: Scores, truth: CategoryIndices) -> EnsembleWeights:
    """Return the weights that maximise the likelihood of the truth; it is concave, so there is one maximum.

    `truth` are columns of `probabilities` and `scores`, shape (articles,).
    """
    from scipy.optimize import minimize

    result = minimize(
        lambda pair: EnsembleWeights(*pair).loss(probabilities, scores, truth),
        x0=(1.0, 1.0),
        method="L-BFGS-B",
        bounds=[(0.0, 10.0), (0.0, 20.0)],
    )
    network, linear = (round(float(value), 6) for value in result.x)
    return EnsembleWeights(network, linear)


def fit_multi_label_weights(probabilities: Probabilities, scores: Scores, truth: LabelMatrix) -> MultiLabelWeights:
    """Return the weights that maximise the likelihood of every decision; it is concave, so there is one maximum.

    All arrays have the shape (articles, categories). As for a single-label task there is one pseudo-article: half of it
    has each category, and half lacks it.
    """
    from scipy import optimize, special

    odds, present = logit(probabilities), truth.astype(np.float64)
    decisions = truth.size + truth.shape[1]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = weights[0] * odds + weights[1] * scores + weights[2]
        # -log p if the category is present, else -log(1 - p); both pseudo-decisions have the column's mean
        costs = -special.log_expit(np.where(truth, logits, -logits))
        pseudo = -(special.log_expit(logits) + special.log_expit(-logits)) / 2
        expected = special.expit(logits)
        slope = (expected - present) + (expected - 0.5) / len(truth)
        gradient = [(slope * odds).sum(), (slope * scores).sum(), slope.sum()]
        return float(costs.sum() + pseudo.sum() / len(truth)) / decisions, np.array(gradient) / decisions

    result = optimize.minimize(
        loss,
        x0=(1.0, 1.0, 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 10.0), (0.0, 20.0), (-20.0, 20.0)],
    )
    return MultiLabelWeights(*(round(float(value), 6) for value in result.x))


def to_manifest(ensemble: Ensemble | None) -> dict[str, Any]:
    """Return the manifest's entries about an ensemble; none for a network that predicts alone."""
    return {"ensemble": {"with": ensemble.linear.kind, "weights": asdict(ensemble.weights)}} if ensemble else {}


def from_manifest(manifest: Mapping[str, Any]) -> tuple[str, EnsembleWeights | MultiLabelWeights] | None:
    """Return the kind of linear classifier and the weights of a manifest; None for a network that predicts alone.

    The weights of a multi-label model have an offset.

    Raises:
        ArtefactError: this version does not know the kind.
    """
    entry = manifest.get("ensemble")
    if entry is None:
        return None
    if (kind := entry.get("with")) not in KINDS:
        raise ArtefactError(f"ensemble with {kind!r}: unknown; another version of the classifier wrote the model")
    weights = {name: float(value) for name, value in entry["weights"].items()}
    if "offset" in weights:
        return kind, MultiLabelWeights(weights["network"], weights["linear"], weights["offset"])
    return kind, EnsembleWeights(weights["network"], weights["linear"])
