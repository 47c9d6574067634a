"""Initialise a new classification head with a linear probe of the pretrained encoder.

Fine-tuning a random head spends its first steps on finding the categories, and distorts the encoder's pretrained
features meanwhile. If the head is fitted alone first, the encoder only has to improve on it (Kumar et al., 2022:
"Fine-tuning can distort pretrained features and underperform out-of-distribution"). The probe is a logistic regression
on the standardised first token of the encoder's last layer, for the beginnings of the articles. For a multi-label
network, it is one such regression a category.
"""

from __future__ import annotations

import logging
import math
import time

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.model.checkpoint import Weights
from classifier.model.keras.network import Network
from classifier.model.targets import Targets, log_odds
from classifier.training.batches import BatchSize, batches
from classifier.training.training_state import TokenizedArticles

log = logging.getLogger(__name__)

MAX_ARTICLES = 2_000
"""Maximum number of articles that the probe is fitted to, so that a large train split is not read once more."""

MAX_LENGTH = 64
"""Word pieces of an article that the probe reads, from its beginning."""

INVERSE_REGULARISATION = 0.003
"""scikit-learn's C. It is small because a confident head would leave the encoder little gradient to learn from."""

Hidden = NDArray[np.float32]


def fit_probe(
    network: Network, train: TokenizedArticles, categories: int, *, weights: Probabilities, seed: int
) -> Weights:
    """Return the tensors of a head with the probe's predictions; none if the encoder is too narrow for one.

    The probe is added to the network's random head. If the beginnings of the articles do not predict the categories,
    the probe alone would be a head of zeros, because its units are equal and opposite. Some trainings never recover
    from such a head.

    Args:
        network: Network with the encoder's weights and a random head; it is not changed.
        train: Articles to train on, of at least two categories.
        categories: Number of categories.
        weights: Weight of an article of each category, shape (categories,); for a multi-label network, against those
            without the category.
        seed: Seed of the drawn articles and of the head's directions.
    """
    dim = network.shape.dim
    if 2 * categories > dim:
        log.info(
            "the head starts with random weights: %d categories are too many for an encoder of width %d",
            categories,
            dim,
        )
        return {}
    started = time.monotonic()
    generator = np.random.default_rng(seed)
    rows = _sample(train.targets, generator)
    hidden, targets = _first_tokens(network, train, rows), train.targets[rows]
    if train.kind == "multi":
        slopes, intercept = _binary_regressions(hidden, targets, weights)
        correct = ((hidden @ slopes.T + intercept > 0) == targets).all(axis=1)
    else:
        slopes, intercept = _logistic_regression(hidden, targets, categories, weights[targets])
        correct = (hidden @ slopes.T + intercept).argmax(axis=1) == targets
    accuracy = float(np.mean(correct))
    log.info(
        "the head starts as a linear probe: accuracy %.4f on %d train articles, in %.1f s",
        accuracy, len(rows), time.monotonic() - started,
    )  # fmt: skip
    random = network.weights()
    return {name: random[name] + tensor for name, tensor in _as_head(slopes, intercept, dim, generator).items()}


def _sample(targets: Targets, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the positions of the same random share of every category's articles, at least one of each."""
    share = min(1.0, MAX_ARTICLES / len(targets))
    if targets.ndim > 1:
        order = generator.permutation(len(targets))
        first = order[targets[order].argmax(axis=0)]  # a category without an article has the first article of all
        return np.unique(np.concatenate([order[: math.ceil(share * len(order))], first]))
    of_each = (generator.permutation(np.flatnonzero(targets == category)) for category in np.unique(targets))
    return np.sort(np.concatenate([rows[: math.ceil(share * len(rows))] for rows in of_each]))


def _first_tokens(network: Network, train: TokenizedArticles, rows: NDArray[np.int64]) -> Hidden:
    """Return the encoder's first token of the beginnings of these articles, shape (articles, dim)."""
    first_chunks = rows if train.owners is None else np.searchsorted(train.owners, rows)
    chunks = (train.pieces[chunk] for chunk in first_chunks)
    beginnings = [ids if len(ids) <= MAX_LENGTH else [*ids[: MAX_LENGTH - 1], ids[-1]] for ids in chunks]
    hidden = np.zeros((len(rows), network.shape.dim), dtype=np.float32)
    for batch in batches(beginnings, train.targets[rows], size=BatchSize(32)):
        hidden[batch.rows] = network.hidden(batch.tokens, batch.mask)[: len(batch.rows)]
    return hidden


def _logistic_regression(
    hidden: Hidden, targets: Targets, categories: int, weights: Probabilities
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slopes, shape (categories, dim), and the intercepts for hidden states that are not standardised."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = _moments(hidden)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1_000)
    model.fit((hidden - mean) / deviation, targets, sample_weight=weights)
    coefficients, constants = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn then has a single boundary
        coefficients, constants = np.vstack([-coefficients, coefficients]) / 2, np.hstack([-constants, constants]) / 2
    slopes, intercept = np.zeros((categories, hidden.shape[1])), np.full(categories, constants.min())
    slopes[model.classes_] = coefficients / deviation
    intercept[model.classes_] = constants - slopes[model.classes_] @ mean
    return slopes, intercept


def _binary_regressions(
    hidden: Hidden, targets: Targets, weights: Probabilities
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slopes, shape (categories, dim), and the intercepts of one logistic regression a category.

    The problems are independent, and each is scikit-learn's. They are solved together, as one product of matrices a
    step, which takes a fraction of the time of a hundred fits. `weights` are those of a category's own articles.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    mean, deviation = _moments(hidden)
    inputs, size = (hidden - mean) / deviation, (targets.shape[1], hidden.shape[1] + 1)
    of_each = INVERSE_REGULARISATION * np.where(targets, weights, 1.0)

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slopes, constants = flat.reshape(size)[:, :-1], flat.reshape(size)[:, -1]
        logits = inputs @ slopes.T + constants
        losses = np.logaddexp(0.0, np.where(targets, -logits, logits))
        errors = of_each * (expit(logits) - targets)
        gradient = np.hstack([errors.T @ inputs + slopes, errors.sum(axis=0)[:, None]])
        return float((of_each * losses).sum() + (slopes**2).sum() / 2), gradient.ravel()

    start = np.zeros(size)
    start[:, -1] = log_odds(targets)
    options = {"maxiter": 1_000, "maxcor": 20, "ftol": 1e-9}
    fitted = minimize(loss_and_gradient, start.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(size)
    slopes = fitted[:, :-1] / deviation
    return slopes, fitted[:, -1] - slopes @ mean


def _moments(hidden: Hidden) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means and the standard deviations, which are above 0."""
    return hidden.mean(axis=0, dtype=np.float64), hidden.std(axis=0, dtype=np.float64) + 1e-6


def _as_head(
    slopes: NDArray[np.float64], intercept: NDArray[np.float64], dim: int, generator: np.random.Generator
) -> Weights:
    """Return a head of two dense layers with a ReLU between them, whose logits are the probe's.

    The first layer projects the logits on random orthogonal directions, each once with either sign: the ReLU leaves one
    of the two. The second layer adds them up again. Every unit contributes to every category, so that dropout does not
    remove a category.
    """
    categories = len(slopes)
    directions = np.linalg.qr(generator.normal(size=(dim // 2, categories)))[0]
    kernel, bias, out = np.zeros((dim, dim)), np.zeros(dim), np.zeros((categories, dim))
    for sign, rows in ((1, slice(0, dim // 2)), (-1, slice(dim // 2, 2 * (dim // 2)))):
        kernel[rows], bias[rows] = sign * directions @ slopes, sign * directions @ intercept
        out[:, rows] = sign * directions.T
    tensors = {
        "pre_classifier.weight": kernel,
        "pre_classifier.bias": bias,
        "classifier.weight": out,
        "classifier.bias": np.zeros(categories),
    }
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
