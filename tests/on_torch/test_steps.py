"""What PyTorch's own functions compute is the network that Keras has."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from classifier.model.checkpoint import EncoderShape
from classifier.model.keras.network import Network
from classifier.model.keras.on_torch import steps
from tests.support import torch_models
from tests.support.torch_models import CATEGORIES, their_probabilities, theirs

SHAPE = EncoderShape(vocab_size=50, n_layers=3, n_heads=2, dim=16, hidden_dim=32, max_position_embeddings=64)

batch = partial(torch_models.batch, SHAPE)
prepared = partial(torch_models.prepared, SHAPE, learning_rate=0.01)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-6), ("mixed_bfloat16", 5e-3)])
def test_answers_are_those_of_transformers(dtype, atol):
    network = Network(SHAPE, CATEGORIES, dtype=dtype)
    for rows, width in ((5, 16), (1, 1), (2, 64)):
        tokens, mask, *_ = batch(1, rows, width)
        expected = their_probabilities(network, tokens, mask)
        np.testing.assert_allclose(network.probabilities(tokens, mask), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "layer_decay": 0.8}, {"frozen_layers": 1}])
def test_a_step_is_that_of_keras(options):
    ours, keras = prepared(dropout=0.0, **options), prepared(dropout=0.0, **options)
    keras._step = keras._step_with_keras
    for network in (ours, keras):
        network._model.output_dropout.rate = 0.0
    for number in range(4):
        assert ours.fit_batch(*batch(number)) == pytest.approx(keras.fit_batch(*batch(number)), abs=1e-4)
    result, expected = ours.weights(), keras.weights()
    for name, tensor in expected.items():
        np.testing.assert_allclose(result[name], tensor, rtol=0, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "positive_weights": (1.0, 3.0, 10.0)}])
def test_a_multi_label_step_is_that_of_keras(options):
    ours, keras = (prepared(dropout=0.0, kind="multi", **options) for _ in range(2))
    keras._step = keras._step_with_keras
    for network in (ours, keras):
        network._model.output_dropout.rate = 0.0
    for number in range(4):
        same = batch(number, kind="multi")
        assert ours.fit_batch(*same) == pytest.approx(keras.fit_batch(*same), abs=1e-4)
    result, expected = ours.weights(), keras.weights()
    for name, tensor in expected.items():
        np.testing.assert_allclose(result[name], tensor, rtol=0, atol=1e-3, err_msg=name)


def test_a_multi_label_loss_is_that_of_transformers_times_the_categories():
    """`transformers` takes the mean over the categories, and this network the sum."""
    network = prepared(dropout=0.0, kind="multi")
    network._model.output_dropout.rate = 0.0
    tokens, mask, targets, _ = batch(1, kind="multi")
    model = theirs(network, problem_type="multi_label_classification").eval()
    with torch.no_grad():
        tensors = (torch.from_numpy(array).long() for array in (tokens, mask))
        expected = model(*tensors, labels=torch.from_numpy(targets).float()).loss
    loss = network.fit_batch(tokens, mask, targets, np.ones(len(tokens), dtype=np.float32))
    assert loss == pytest.approx(CATEGORIES * float(expected), rel=1e-5)


def test_a_resumed_multi_label_training_ends_in_the_same_bits():
    uninterrupted, first = prepared(kind="multi"), prepared(kind="multi")
    for number in range(4):
        uninterrupted.fit_batch(*batch(number, kind="multi"))
    for number in range(2):
        first.fit_batch(*batch(number, kind="multi"))
    second = prepared(seed=2, kind="multi")
    second.load_state(first.state(), accumulation_steps=1)
    for number in range(2, 4):
        second.fit_batch(*batch(number, kind="multi"))
    result = second.state()
    for name, values in uninterrupted.state().items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)


@pytest.mark.parametrize(
    "rates",
    [
        {"attention_dropout": 0.3, "dropout": 0.0, "seq_classif_dropout": 0.0},
        {"attention_dropout": 0.0, "dropout": 0.3, "seq_classif_dropout": 0.0},
        {"attention_dropout": 0.0, "dropout": 0.0, "seq_classif_dropout": 0.3},
    ],
    ids=["attention", "states", "head"],
)
def test_what_training_drops_scatters_the_logits_as_in_transformers(rates):
    """One article 20,000 times: a dropout more, or at another rate, would scatter them otherwise."""
    network = Network(SHAPE, CATEGORIES)
    backbone = network._model.backbone
    network._model.output_dropout.rate = rates["seq_classif_dropout"]
    backbone.embeddings_dropout.rate = rates["dropout"]
    for layer in backbone.transformer_layers:
        layer._feedforward_dropout.rate = rates["dropout"]
        layer._self_attention_layer._dropout = rates["attention_dropout"]
    tokens, mask = (torch.from_numpy(np.repeat(array[:1], 20_000, axis=0)).long() for array in batch(1)[:2])
    torch.manual_seed(0)
    with torch.no_grad():
        _, result = steps.Forward(network._model)(tokens, mask, training=True)
        expected = theirs(network, **rates).train()(tokens, mask).logits
    assert expected.std(axis=0).min() > 0
    np.testing.assert_allclose(result.std(axis=0), expected.std(axis=0), rtol=0.03)


@pytest.mark.parametrize("options", [{}, {"layer_decay": 0.9, "ema_decay": 0.9}, {"accumulation_steps": 2}])
def test_a_resumed_training_drops_the_same_units_and_ends_in_the_same_bits(options):
    uninterrupted, first = prepared(**options), prepared(**options)
    for number in range(6):
        uninterrupted.fit_batch(*batch(number))
    for number in range(2):
        first.fit_batch(*batch(number))
    second = prepared(seed=2, **options)
    second.load_state(first.state(), accumulation_steps=options.get("accumulation_steps", 1))
    for number in range(2, 6):
        second.fit_batch(*batch(number))
    expected, result = uninterrupted.state(), second.state()
    for name, values in expected.items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)


def test_no_two_steps_drop_the_same():
    network = prepared(learning_rate=0.0)
    assert network.fit_batch(*batch(1)) != network.fit_batch(*batch(1))
