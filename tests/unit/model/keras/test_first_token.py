"""The last layer computes the token that the head reads, and everything comes out as if it computed them all."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.model.keras import first_token
from classifier.model.keras.network import Network, OptimizerConfig
from tests.support.tiny_models import make_encoder

PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0, total_steps=1000, clip_norm=1.0)
ROWS, LENGTH = 6, 16


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Return a network of this encoder that computes all tokens of its last layer, and one that computes the first."""
    monkeypatch.setattr("keras.layers.Dropout.call", lambda _, inputs, **__: inputs)

    def pair(layers):
        encoder = checkpoint.read_checkpoint(make_encoder(tmp_path / "tiny", layers=layers))
        result = []
        for use in (lambda _: None, first_token.limit_last_layer):
            monkeypatch.setattr(first_token, "limit_last_layer", use)
            network = Network(encoder.shape, 3, dropout=0.0)
            network.load(encoder)
            network.prepare(PLAIN)
            result.append(network)
        return result

    return pair


def batch(seed=0):
    """Return word pieces and a padding mask with rows from full to the first token alone."""
    tokens = np.random.default_rng(seed).integers(5, 17, (ROWS, LENGTH)).astype(np.int32)
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [LENGTH], [9], [4], [2], [1]])).astype(np.int32)
    return tokens * mask, mask


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_answers_are_those_of_the_whole_layer(networks, layers):
    complete, first = networks(layers)
    np.testing.assert_allclose(first.hidden(*batch()), complete.hidden(*batch()), atol=1e-5)
    np.testing.assert_allclose(first.probabilities(*batch()), complete.probabilities(*batch()), atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_end_in_the_weights_of_the_whole_layer(networks, layers):
    targets, ones = np.arange(ROWS) % 3, np.ones(ROWS, dtype=np.float32)
    (losses, expected), (ours, result) = (
        ([network.fit_batch(*batch(seed), targets, ones) for seed in range(3)], network.weights())
        for network in networks(layers)
    )
    np.testing.assert_allclose(ours, losses, rtol=1e-5)
    for name, weight in expected.items():
        if "k_lin.bias" not in name:  # its gradient is nothing but rounding, which Adam makes a step of
            np.testing.assert_allclose(result[name], weight, atol=2e-4, err_msg=name)


def test_only_the_first_token_is_computed_in_the_last_layer(networks):
    _, network = networks(2)
    tokens, mask = batch()
    inputs = {"token_ids": tokens, "padding_mask": mask}
    assert network._model.backbone(inputs).shape == (ROWS, 1, 8)


def test_its_words_are_attended_to_all_the_same(networks):
    _, network = networks(1)
    tokens, mask = batch()
    other = tokens.copy()
    other[:, 8] = 5
    changed = np.abs(network.probabilities(tokens, mask) - network.probabilities(other, mask)).max(axis=1)
    assert (changed[:3] > 0).all()
    assert (changed[3:] == 0).all()
