"""One graph serves batches of all shapes, and computes what Keras would."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.model.keras import backend
from classifier.model.keras.network import Network, OptimizerConfig, keras
from tests.support.tiny_models import make_encoder

PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0, total_steps=1000, clip_norm=1.0)
pytestmark = pytest.mark.skipif(not backend.is_tensorflow_on_cpu(), reason="Keras' own functions are taken")


def make_network(directory):
    encoder = checkpoint.read_checkpoint(make_encoder(directory))
    result = Network(encoder.shape, 3, dropout=0.0)
    result.load(encoder)
    return result


def batch(rows, width):
    tokens = np.random.default_rng(0).integers(5, 17, (rows, width)).astype(np.int32)
    return tokens, np.ones_like(tokens), np.arange(rows) % 3, np.ones(rows, dtype=np.float32)


@pytest.mark.parametrize("method", ["train_step", "predict_step"])
def test_other_widths_and_other_numbers_of_rows_are_not_traced_again(tmp_path, monkeypatch, method):
    traced, step = [], getattr(keras.Model, method)
    monkeypatch.setattr(keras.Model, method, lambda model, data: traced.append(1) or step(model, data))
    network = make_network(tmp_path / "tiny")
    network.prepare(PLAIN)
    for shape in ((2, 16), (2, 32), (5, 16), (1, 64)):
        if method == "train_step":
            network.fit_batch(*batch(*shape))
        else:
            network.probabilities(*batch(*shape)[:2])
            network.hidden(*batch(*shape)[:2])
    assert len(traced) == 1


def test_the_graph_gives_the_probabilities_of_keras_own_function(tmp_path):
    network = make_network(tmp_path / "tiny")
    tokens, mask, *_ = batch(4, 32)
    ours = network.probabilities(tokens, mask)
    network._outputs.predict_function = None
    np.testing.assert_allclose(network.probabilities(tokens, mask), ours, atol=1e-6)
