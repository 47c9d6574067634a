"""A network and a linear classifier that answer together.

They err differently: the one reads, the other counts words. The probabilities of both together are proportional to
p ** a * exp(b * s), with the network's probability p and the linear score s of each category: a logistic regression
on the two answers (stacked generalisation, Wolpert, 1992) with one weight for each. Both are learnt where neither
has been trained, on the validation split, and are not negative. Then the linear classifier learns from that split, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, Probabilities
from classifier.exceptions import ArtefactError
from classifier.model.linear import KINDS, LinearClassifier, Scores

MIN_WEIGHT = 50
"""Articles that the weights are learnt on at least."""

_SMALLEST = np.finfo(np.float32).smallest_subnormal  # what a float32 of 0 was at most


@dataclass(frozen=True, slots=True)
class EnsembleWeights:
    """How much the network's logarithms and the linear scores count."""

    network: float
    linear: float

    def apply(self, probabilities: Probabilities, scores: Scores) -> Probabilities:
        """Return the probabilities of both together, shape (articles, categories).

        Each row's result depends on that row alone, bit by bit. What is not a number stays so.
        """
        logits = self._logits(probabilities, scores)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return found

    def loss(self, probabilities: Probabilities, scores: Scores, truth: CategoryIndices) -> float:
        """Return the mean negative log-likelihood, with one further article that may be of any category.

        Without that one, an ensemble that has all of a few hundred articles right would be made certain (Platt, 1999).
        """
        logits = self._logits(probabilities, scores)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        right = logits[np.arange(len(truth)), truth].sum()
        return float(-(right + logits.mean()) / (len(truth) + 1))

    def _logits(self, probabilities: Probabilities, scores: Scores) -> Scores:
        logarithms = np.log(np.maximum(probabilities, _SMALLEST).astype(np.float64))
        return self.network * logarithms + self.linear * scores


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A linear classifier that answers beside a network, and the weights of both."""

    linear: LinearClassifier
    weights: EnsembleWeights


def fit_weights(probabilities: Probabilities, scores: Scores, truth: CategoryIndices) -> EnsembleWeights:
    """Return the weights at which the truth is likeliest; the likelihood is concave, so there is one maximum.

    `truth` are columns of the two, shape (articles,).
    """
    from scipy.optimize import minimize

    found = minimize(
        lambda pair: EnsembleWeights(*pair).loss(probabilities, scores, truth),
        x0=(1.0, 1.0),
        method="L-BFGS-B",
        bounds=[(0.0, 10.0), (0.0, 20.0)],
    )
    network, linear = (round(float(value), 6) for value in found.x)
    return EnsembleWeights(network, linear)


def to_manifest(ensemble: Ensemble | None) -> dict[str, Any]:
    """Return what a model's manifest says of it; nothing of a network that answers alone."""
    return {"ensemble": {"with": ensemble.linear.kind, "weights": asdict(ensemble.weights)}} if ensemble else {}


def from_manifest(manifest: Mapping[str, Any]) -> tuple[str, EnsembleWeights] | None:
    """Return the kind of linear classifier and the weights that a manifest names; None of a model that is no ensemble.

    Raises:
        ArtefactError: it is blended in a way that this version does not know.
    """
    said = manifest.get("ensemble")
    if said is None:
        return None
    if (kind := said.get("with")) not in KINDS:
        raise ArtefactError(f"ensemble with {kind!r}: another version of the classifier wrote the model")
    return kind, EnsembleWeights(float(said["weights"]["network"]), float(said["weights"]["linear"]))
