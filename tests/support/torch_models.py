"""Batches and networks for the tests of the modules for PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from classifier.model.keras.network import Network, OptimizerConfig

CATEGORIES = 3


def batch(shape, number, rows=5, width=16, kind="single"):
    """Return the tokens, mask, targets and sample_weight of a batch of articles of several lengths."""
    random = np.random.default_rng(number)
    tokens = random.integers(5, shape.vocab_size, (rows, width)).astype(np.int32)
    mask = (np.arange(width) < random.integers(1, width + 1, (rows, 1))).astype(np.int32)
    targets = random.integers(0, CATEGORIES, rows) if kind == "single" else random.random((rows, CATEGORIES)) < 0.4
    return tokens, mask, targets, random.random(rows).astype(np.float32)


def prepared(shape, *, learning_rate, dropout=0.1, seed=1, dtype="float32", kind="single", **options):
    """Return a network with its optimizer, for the options of a recipe."""
    network = Network(shape, CATEGORIES, kind=kind, dropout=dropout, dtype=dtype, seed=seed)
    settings = {"weight_decay": 0.01, "warmup_steps": 2, "total_steps": 40, "clip_norm": 1.0}
    network.prepare(OptimizerConfig(learning_rate=learning_rate, **settings, **options))
    return network


def theirs(network, **config):
    """Return the classifier of `transformers` with the network's weights."""
    sizes = {name: getattr(network.shape, name) for name in network.shape.__dataclass_fields__}
    model = DistilBertForSequenceClassification(DistilBertConfig(**sizes, num_labels=CATEGORIES, **config))
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in network.weights().items()})
    return model


def their_probabilities(network, tokens, mask):
    """Return that classifier's probabilities on the CPU."""
    with torch.no_grad():
        logits = theirs(network).eval()(torch.from_numpy(tokens).long(), torch.from_numpy(mask).long()).logits
    return torch.softmax(logits, dim=-1).numpy()
