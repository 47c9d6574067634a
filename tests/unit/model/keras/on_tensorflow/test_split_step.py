"""A training step in two halves is the step that it was."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.model.keras import backend
from classifier.model.keras.network import Network, OptimizerConfig
from classifier.model.keras.on_tensorflow import split_step
from tests.support.tiny_models import make_encoder

PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0, total_steps=1000, clip_norm=1.0)
pytestmark = pytest.mark.skipif(not backend.is_tensorflow_on_cpu(), reason="it is made for TensorFlow on a CPU")


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """Fit a network to a few batches on a number of cores; return its losses and weights."""

    def fit(cores, *, rows=5, sample_weight=None):
        monkeypatch.setattr(split_step, "available_cores", lambda: cores)
        encoder = checkpoint.read_checkpoint(make_encoder(tmp_path / "tiny"))
        network = Network(encoder.shape, 3)
        network.load(encoder)
        assert isinstance(network._model, split_step.SplitStep) == (cores > 1)
        network.prepare(PLAIN)
        weights = (
            np.ones(rows, dtype=np.float32) if sample_weight is None else np.array(sample_weight, dtype=np.float32)
        )
        losses = []
        for seed in range(3):
            tokens = np.random.default_rng(seed).integers(5, 17, (rows, 16)).astype(np.int32)
            losses.append(network.fit_batch(tokens, np.ones_like(tokens), np.arange(rows) % 3, weights))
        return losses, network.weights()

    # nothing is dropped, neither by bytes nor by what they fall back on
    monkeypatch.setattr("classifier.model.keras.on_tensorflow.byte_dropout.LEVELS", 1)
    monkeypatch.setattr("keras.layers.Dropout.call", lambda _, inputs, **__: inputs)
    return fit


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_losses_and_weights_are_those_of_whole_batches(fitted, rows):
    expected, halved = fitted(1, rows=rows), fitted(2, rows=rows)
    np.testing.assert_allclose(halved[0], expected[0], rtol=1e-5)
    for name, weight in expected[1].items():
        np.testing.assert_allclose(halved[1][name], weight, atol=2e-4, err_msg=name)


def test_an_article_counts_as_much_in_either_half(fitted):
    sample_weight = [0.0, 3.0, 0.0, 0.0, 0.5]
    expected, halved = fitted(1, sample_weight=sample_weight), fitted(2, sample_weight=sample_weight)
    np.testing.assert_allclose(halved[0], expected[0], rtol=1e-5)


def test_the_halves_drop_different_units(tmp_path, monkeypatch):
    monkeypatch.setattr(split_step, "available_cores", lambda: 2)
    network = Network(checkpoint.read_checkpoint(make_encoder(tmp_path / "tiny")).shape, 3, dropout=0.5)
    tokens = np.tile(np.arange(5, 15, dtype=np.int32), (8, 1))
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    np.testing.assert_allclose(*np.split(np.array(network._model(inputs, training=False)), 2), rtol=1e-5)
    first, second = np.split(np.array(network._model(inputs, training=True)), 2)
    assert (np.abs(first - second) > 1e-4).any(axis=1).all()


def test_one_core_computes_whole_batches(fitted):
    fitted(1)
