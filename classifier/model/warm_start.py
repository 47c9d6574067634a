"""Start a training from a trained model: from its encoder, and from its head for the categories that it has."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from classifier.articles import Probabilities
from classifier.model.artefact import Artefact
from classifier.model.checkpoint import Checkpoint, read_checkpoint

log = logging.getLogger(__name__)

INITIAL_DEVIATION = 0.02
"""Standard deviation of a new category's weights: DistilBERT's `initializer_range`."""


def initial_checkpoint(
    source: Artefact,
    categories: tuple[str, ...],
    *,
    seed: int,
    names: tuple[str, ...] = (),
    biases: Probabilities | None = None,
) -> Checkpoint:
    """Return the model's weights, with the rows of its last layer matched to `categories` by name.

    A category that the model does not have gets random weights, as in a new head. A category that is not in
    `categories` is left out. `names` are those that the model's categories have today; of merged ones the first counts.
    `biases` are those of the new categories of a multi-label model, shape (categories,); they
    are None for a single-label model. If the model is of the other kind, its head is left out, because its logits have
    another meaning.
    """
    if (source.kind == "multi") != (biases is not None):
        log.info("the head starts new: %s is a %s-label model", source.directory.name, source.kind)
        return read_checkpoint(source.directory)
    network = source.checkpoint()
    names = names or source.categories
    if categories == names:
        log.info("the head starts unchanged: the categories are the same")
        return network
    weights = dict(network.weights)
    dim = weights["classifier.weight"].shape[1]
    kernel = np.random.default_rng(seed).normal(0.0, INITIAL_DEVIATION, (len(categories), dim)).astype(np.float32)
    bias = np.zeros(len(categories), dtype=np.float32) if biases is None else biases.copy()
    columns = {name: names.index(name) for name in names}
    for row, name in enumerate(categories):
        if name in columns:
            kernel[row] = weights["classifier.weight"][columns[name]]
            bias[row] = weights["classifier.bias"][columns[name]]
    log.info(
        "the head starts with %d of %d categories; new: %s; left out: %s",
        len(set(categories) & columns.keys()),
        len(categories),
        sorted(set(categories) - columns.keys()),
        sorted(columns.keys() - set(categories)),
    )
    return replace(network, weights={**weights, "classifier.weight": kernel, "classifier.bias": bias})
