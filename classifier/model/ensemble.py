"""An ensemble of a network and a linear classifier.

The network reads text in order and the linear classifier counts words, so they make different errors. The ensemble's
probabilities are proportional to p ** a * exp(b * s), where p is the network's probability of a category and s its
linear score. This is a logistic regression on both outputs with one weight each (stacked generalisation, Wolpert,
1992). The weights are fitted on the validation split, which neither was trained on, and are not negative. Afterwards
the linear classifier is trained on that split too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, Probabilities
from classifier.exceptions import ArtefactError
from classifier.model.linear import KINDS, LinearClassifier, Scores
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
class Ensemble:
    """A linear classifier that predicts together with a network, and the weights of both."""

    linear: LinearClassifier
    weights: EnsembleWeights


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


def to_manifest(ensemble: Ensemble | None) -> dict[str, Any]:
    """Return the manifest's entries about an ensemble; none for a network that predicts alone."""
    return {"ensemble": {"with": ensemble.linear.kind, "weights": asdict(ensemble.weights)}} if ensemble else {}


def from_manifest(manifest: Mapping[str, Any]) -> tuple[str, EnsembleWeights] | None:
    """Return the kind of linear classifier and the weights of a manifest; None for a network that predicts alone.

    Raises:
        ArtefactError: this version does not know the kind.
    """
    entry = manifest.get("ensemble")
    if entry is None:
        return None
    if (kind := entry.get("with")) not in KINDS:
        raise ArtefactError(f"ensemble with {kind!r}: unknown; another version of the classifier wrote the model")
    return kind, EnsembleWeights(float(entry["weights"]["network"]), float(entry["weights"]["linear"]))
