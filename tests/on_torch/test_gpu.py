"""On an NVIDIA GPU with PyTorch: what is recorded there is what a CPU computes, and a training that goes on its own.

Without a GPU nothing here can run. It needs neither Postgres nor TensorFlow:

    KERAS_BACKEND=torch python -m pytest --noconftest tests/gpu
"""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="computes with PyTorch: install the extra 'torch'")
if not torch.cuda.is_available() or os.environ["KERAS_BACKEND"] != "torch":
    pytest.skip("there is no GPU that PyTorch sees", allow_module_level=True)

from classifier.model import backend  # noqa: E402 - where there is a GPU
from classifier.model.checkpoint import EncoderShape  # noqa: E402
from classifier.model.network import Network, Optimisation  # noqa: E402
from classifier.model.on_torch import graphs  # noqa: E402

SHAPE = EncoderShape(vocab_size=1000, n_layers=6, n_heads=12, dim=768, hidden_dim=3072, max_position_embeddings=512)
CATEGORIES = 8


def batch(number, rows=16, width=128):
    """Return the tokens, mask, targets and importance of a batch of articles of several lengths."""
    random = np.random.default_rng(number)
    tokens = random.integers(5, 1000, (rows, width)).astype(np.int32)
    mask = (np.arange(width) < random.integers(1, width + 1, (rows, 1))).astype(np.int32)
    return tokens, mask, random.integers(0, CATEGORIES, rows), np.ones(rows, np.float32)


def network(precision="float32", dropout=0.1, seed=1, **options):
    made = Network(SHAPE, CATEGORIES, precision=precision, dropout=dropout, seed=seed)
    settings = {"learning_rate": 1e-4, "weight_decay": 0.01, "warmup_steps": 2, "total_steps": 40, "clip_norm": 1.0}
    made.prepare(Optimisation(**{**settings, **options}))
    return made


@pytest.fixture
def unrecorded(monkeypatch):
    """Let every call compute as it comes."""

    def call(self, *arrays, seed=0):
        torch.manual_seed(seed)
        return self._function(*(graphs._tensor(array).cuda() for array in arrays))

    return lambda: monkeypatch.setattr(graphs.Replayed, "__call__", call)


def test_bfloat16_is_chosen_on_a_gpu_that_multiplies_it():
    assert backend.sees_gpu()
    wanted = "mixed_bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "mixed_float16"
    assert backend.best_precision() == wanted
    assert backend.device() == f"{torch.cuda.get_device_name()} with torch"


@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-4), ("mixed_bfloat16", 2e-2)])
def test_answers_are_those_of_transformers_on_the_cpu(precision, atol):
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    ours = network(precision)
    sizes = {name: getattr(SHAPE, name) for name in SHAPE.__dataclass_fields__}
    theirs = DistilBertForSequenceClassification(DistilBertConfig(**sizes, num_labels=CATEGORIES)).eval()
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in ours.weights().items()})
    for shape in ((16, 128), (3, 16), (16, 128), (32, 512)):  # one of them twice: recorded, then replayed
        tokens, mask, *_ = batch(1, *shape)
        with torch.no_grad():
            logits = theirs(torch.from_numpy(tokens).long(), torch.from_numpy(mask).long()).logits
        expected = torch.softmax(logits, dim=-1).numpy()
        np.testing.assert_allclose(ours.probabilities(tokens, mask), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_replayed_training_takes_the_steps_of_an_unrecorded_one(precision, unrecorded):
    shapes = [(16, 128), (16, 64), (16, 128), (16, 512), (16, 64), (16, 128)]
    recorded = network(precision)
    losses = [recorded.fit_batch(*batch(number, *shape)) for number, shape in enumerate(shapes)]
    unrecorded()
    usual = network(precision)
    expected = [usual.fit_batch(*batch(number, *shape)) for number, shape in enumerate(shapes)]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-5 if precision == "float32" else 1e-2)


def test_a_training_learns():
    fitted = network("mixed_bfloat16")
    losses = [fitted.fit_batch(*batch(1)) for _ in range(40)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, {"layer_decay": 0.9, "ema_decay": 0.9, "label_smoothing": 0.1}])
def test_a_training_that_goes_on_ends_in_the_same_bits(precision, options):
    whole = network(precision, **options)
    for number in range(6):
        whole.fit_batch(*batch(number))
    first = network(precision, **options)
    for number in range(3):
        first.fit_batch(*batch(number))
    second = network(precision, seed=2, **options)
    second.load_state(first.state(), parts=1)
    for number in range(3, 6):
        second.fit_batch(*batch(number))
    expected = whole.state()
    found = second.state()
    assert max(float(np.abs(found[name] - expected[name]).max()) for name in expected) == 0
