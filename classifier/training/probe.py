"""Give a new head a start: the linear classifier that the encoder's answers allow before it is trained.

Fine-tuning from random weights spends its first steps on finding the categories, and distorts for it what the encoder
learnt in its pretraining. Where the head is first fitted alone, a linear probe, the encoder only has to better it
(Kumar et al., 2022: "Fine-tuning can distort pretrained features and underperform out-of-distribution"). The probe is a
logistic regression on the first token of the encoder's last layer, standardised, as it reads the articles' beginnings.
"""

from __future__ import annotations

import logging
import math
import time

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, Probabilities
from classifier.model.checkpoint import Weights
from classifier.model.keras.network import Network
from classifier.training.batches import Size, batches
from classifier.training.training_state import TokenizedArticles

log = logging.getLogger(__name__)

ARTICLES = 2_000
"""That the probe learns from at most, so that a large train split is not read once more for it."""

BEGINNING = 64
"""Word pieces of an article that the probe reads."""

INVERSE_REGULARISATION = 0.003
"""scikit-learn's C. The head is to point the way: one that is sure leaves the encoder little to learn from."""

Hidden = NDArray[np.float32]


def head(network: Network, train: TokenizedArticles, categories: int, *, weights: Probabilities, seed: int) -> Weights:
    """Return the tensors of a head that answers as the probe does; none where the encoder is too narrow for it.

    The probe is added to the random head that the network has. Where it finds nothing, because the beginnings do not
    tell the categories, the training starts from that one: the probe's equal and opposite units alone would be a head
    of zeros, from which some trainings never come away.

    Args:
        network: Has the encoder's weights and a random head; nothing of it is changed.
        train: What the training learns from, of two categories at least.
        categories: How many there are.
        weights: How much an article of each category counts, shape (categories,).
        seed: Of the articles that are drawn, and of the head's directions.
    """
    dim = network.shape.dim
    if 2 * categories > dim:
        log.info("the head starts at random: %d categories are too many for an encoder of width %d", categories, dim)
        return {}
    started = time.monotonic()
    generator = np.random.default_rng(seed)
    rows = _drawn(train.targets, generator)
    hidden, targets = _read(network, train, rows), train.targets[rows]
    slopes, intercept = _logistic_regression(hidden, targets, categories, weights[targets])
    right = float(np.mean((hidden @ slopes.T + intercept).argmax(axis=1) == targets))
    log.info(
        "the head starts as a linear probe: %.4f of %d train articles right, in %.1f s",
        right, len(rows), time.monotonic() - started,
    )  # fmt: skip
    random = network.weights()
    return {name: random[name] + tensor for name, tensor in _as_head(slopes, intercept, dim, generator).items()}


def _drawn(targets: CategoryIndices, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the same share of every category's articles, one at least."""
    share = min(1.0, ARTICLES / len(targets))
    of_each = (generator.permutation(np.flatnonzero(targets == category)) for category in np.unique(targets))
    return np.sort(np.concatenate([some[: math.ceil(share * len(some))] for some in of_each]))


def _read(network: Network, train: TokenizedArticles, rows: NDArray[np.int64]) -> Hidden:
    """Return the encoder's first token of the beginnings of these articles, shape (articles, dim)."""
    first = rows if train.owners is None else np.searchsorted(train.owners, rows)  # an article's first chunk
    whole = (train.pieces[chunk] for chunk in first)
    beginnings = [ids if len(ids) <= BEGINNING else [*ids[: BEGINNING - 1], ids[-1]] for ids in whole]
    found = np.zeros((len(rows), network.shape.dim), dtype=np.float32)
    for batch in batches(beginnings, train.targets[rows], size=Size(32)):
        found[batch.rows] = network.hidden(batch.tokens, batch.mask)[: len(batch.rows)]
    return found


def _logistic_regression(
    hidden: Hidden, targets: CategoryIndices, categories: int, weights: Probabilities
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes of shape (categories, dim) and the intercepts of what the encoder gives, as it gives it."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = hidden.mean(axis=0, dtype=np.float64), hidden.std(axis=0, dtype=np.float64) + 1e-6
    machine = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1_000)
    machine.fit((hidden - mean) / deviation, targets, sample_weight=weights)
    found, constant = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:  # scikit-learn has one boundary then
        found, constant = np.vstack([-found, found]) / 2, np.hstack([-constant, constant]) / 2
    slopes, intercept = np.zeros((categories, hidden.shape[1])), np.full(categories, constant.min())
    slopes[machine.classes_] = found / deviation
    intercept[machine.classes_] = constant - slopes[machine.classes_] @ mean
    return slopes, intercept


def _as_head(
    slopes: NDArray[np.float64], intercept: NDArray[np.float64], dim: int, generator: np.random.Generator
) -> Weights:
    """Return a dense layer, a ReLU and a dense layer that give the probe's logits.

    The first takes the logits in as many random directions as it has room for, each with either sign, so that the ReLU
    leaves one of the two; the second puts them together again. All of the layer has a share in every category, so what
    dropout takes of it takes no category away.
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
