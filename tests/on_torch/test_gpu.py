"""On an NVIDIA GPU with PyTorch, replayed steps compute what a CPU computes, and a resumed training ends the same.

Without a GPU nothing here can run. It needs neither Postgres nor TensorFlow:

    KERAS_BACKEND=torch python -m pytest --noconftest tests/on_torch
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="computes with PyTorch: install the extra 'torch'")
if not torch.cuda.is_available() or os.environ["KERAS_BACKEND"] != "torch":
    pytest.skip("there is no GPU that PyTorch sees", allow_module_level=True)

from classifier.model.checkpoint import EncoderShape  # noqa: E402
from classifier.model.keras import backend  # noqa: E402 - if there is a GPU
from classifier.model.keras.on_torch import cuda_graphs  # noqa: E402
from tests.support import torch_models  # noqa: E402

SHAPE = EncoderShape(vocab_size=1000, n_layers=6, n_heads=12, dim=768, hidden_dim=3072, max_position_embeddings=512)

batch = partial(torch_models.batch, SHAPE, rows=16, width=128)
network = partial(torch_models.prepared, SHAPE, learning_rate=1e-4)


@pytest.fixture
def unrecorded(monkeypatch):
    """Compute every call directly, without a recorded graph."""

    def call(self, *arrays, seed=0):
        torch.manual_seed(seed)
        return self._function(*(cuda_graphs._tensor(array).cuda() for array in arrays))

    return lambda: monkeypatch.setattr(cuda_graphs.ReplayedFunction, "__call__", call)


def test_bfloat16_is_chosen_on_a_gpu_that_multiplies_it():
    assert backend.sees_gpu()
    expected = "mixed_bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "mixed_float16"
    assert backend.best_dtype() == expected
    assert backend.device() == f"{torch.cuda.get_device_name()} with torch"


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-4), ("mixed_bfloat16", 2e-2)])
def test_answers_are_those_of_transformers_on_the_cpu(dtype, atol):
    ours = network(dtype=dtype)
    for rows, width in ((16, 128), (3, 16), (16, 128), (32, 512)):  # one of them twice: recorded, then replayed
        tokens, mask, *_ = batch(1, rows=rows, width=width)
        expected = torch_models.their_probabilities(ours, tokens, mask)
        np.testing.assert_allclose(ours.probabilities(tokens, mask), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_replayed_training_takes_the_steps_of_an_unrecorded_one(dtype, unrecorded):
    widths = [128, 64, 128, 512, 64, 128]
    recorded = network(dtype=dtype)
    losses = [recorded.fit_batch(*batch(number, width=width)) for number, width in enumerate(widths)]
    unrecorded()
    usual = network(dtype=dtype)
    expected = [usual.fit_batch(*batch(number, width=width)) for number, width in enumerate(widths)]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-2)


def test_a_training_learns():
    fitted = network(dtype="mixed_bfloat16")
    losses = [fitted.fit_batch(*batch(1)) for _ in range(40)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, {"layer_decay": 0.9, "ema_decay": 0.9, "label_smoothing": 0.1}])
def test_a_resumed_training_ends_in_the_same_bits(dtype, options):
    uninterrupted = network(dtype=dtype, **options)
    for number in range(6):
        uninterrupted.fit_batch(*batch(number))
    first = network(dtype=dtype, **options)
    for number in range(3):
        first.fit_batch(*batch(number))
    second = network(dtype=dtype, seed=2, **options)
    second.load_state(first.state(), accumulation_steps=1)
    for number in range(3, 6):
        second.fit_batch(*batch(number))
    expected, result = uninterrupted.state(), second.state()
    for name, values in expected.items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)
