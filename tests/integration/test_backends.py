"""The same code trains and predicts on TensorFlow and PyTorch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_models import make_artefact

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from classifier.model import artefact
from classifier.model.keras import backend
from classifier.model.keras.network import Network
from classifier.training import fit
from classifier.training.recipes import Recipe

files = artefact.read_artefact(Path(sys.argv[1]))
checkpoint = files.checkpoint()
tokens = np.random.default_rng(0).integers(5, 17, (5, 16)).astype(np.int32)
mask = (np.arange(16) < np.array([[16], [9], [3], [1], [12]])).astype(np.int32)
network = Network(checkpoint.shape, 3)
network.load(checkpoint)
probabilities, hidden = network.probabilities(tokens, mask), network.hidden(tokens, mask)

pieces = [[2, 5 + row % 3, *[8] * (row % 7), 3] for row in range(48)]
data = fit.TokenizedArticles(pieces, np.arange(48) % 3)
options = {"class_weights": "balanced", "layer_decay": 0.9, "label_smoothing": 0.05, "ema_decay": 0.5}
recipe = Recipe(epochs=6, batch_size=8, learning_rate=0.02, dtype="float32", patience=6, **options)
encoder = {name: tensor for name, tensor in checkpoint.weights.items() if name.startswith("distilbert.")}
fitted = fit.fit_classifier(replace(checkpoint, weights=encoder), data, data, recipe, categories=3)
losses = [epoch.loss for epoch in fitted.history]
answers = {"probabilities": probabilities.tolist(), "hidden": hidden.tolist()}
print(json.dumps({"backend": backend.backend(), **answers, "losses": losses}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Return a function that runs the program on a backend, in a process of its own and once a backend."""
    directory = make_artefact(tmp_path_factory.mktemp("models") / "m", dim=16, heads=2).directory
    outputs = {}

    def run(backend):
        if backend not in outputs:
            environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-c", PROGRAM, str(directory)]
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr[-3000:]
            outputs[backend] = json.loads(result.stdout.splitlines()[-1])
        return outputs[backend]

    return run


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_pytorch_learns_and_gives_the_probabilities_of_tensorflow(outcomes):
    tensorflow, torch = outcomes("tensorflow"), outcomes("torch")
    assert (tensorflow["backend"], torch["backend"]) == ("tensorflow", "torch")
    for name in ("probabilities", "hidden"):
        np.testing.assert_allclose(torch[name], tensorflow[name], rtol=0, atol=1e-5)
    for outcome in (tensorflow, torch):
        assert outcome["losses"][-1] < outcome["losses"][0]
