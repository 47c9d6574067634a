"""Start from a model that has been trained: its encoder, and its head as far as the categories are the same."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from classifier.model.artefact import Artefact
from classifier.model.checkpoint import Checkpoint

log = logging.getLogger(__name__)

INITIAL_DEVIATION = 0.02
"""Of a new category's weights: DistilBERT's `initializer_range`."""


def checkpoint(source: Artefact, categories: tuple[str, ...], *, seed: int) -> Checkpoint:
    """Return the model's weights, with the rows of its last layer matched to `categories` by name.

    A category that the model does not know gets weights as a new head has; one that is gone is left out.
    """
    found = source.checkpoint()
    if categories == source.categories:
        log.info("the head starts as it is: the categories are the same")
        return found
    weights = dict(found.weights)
    dim = weights["classifier.weight"].shape[1]
    kernel = np.random.default_rng(seed).normal(0.0, INITIAL_DEVIATION, (len(categories), dim)).astype(np.float32)
    bias = np.zeros(len(categories), dtype=np.float32)
    known = {name: index for index, name in enumerate(source.categories)}
    for row, name in enumerate(categories):
        if name in known:
            kernel[row] = weights["classifier.weight"][known[name]]
            bias[row] = weights["classifier.bias"][known[name]]
    log.info(
        "the head starts with %d of %d categories known; new: %s; gone: %s",
        len(set(categories) & known.keys()),
        len(categories),
        sorted(set(categories) - known.keys()),
        sorted(known.keys() - set(categories)),
    )
    return replace(found, weights={**weights, "classifier.weight": kernel, "classifier.bias": bias})
