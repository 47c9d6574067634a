"""A model is registered only if the engine that labels agrees with the trained network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.exceptions import EngineDisagreesError
from classifier.inference import agreement, openvino_engine
from classifier.inference.agreement import Agreement
from classifier.inference.labeller import Labeller
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model import hardware
from classifier.model.text_chunking import Chunking
from classifier.pipeline.monitoring import status
from classifier.pipeline.training import candidate
from classifier.training.recipes import Recipe
from tests.support.synthetic import articles, ingest_file, query
from tests.support.tiny_models import WORDS, make_artefact, make_encoder

RECIPE = Recipe(epochs=1, max_length=32, dtype="float32")


@pytest.fixture
def ready(workspace, tmp_path, monkeypatch):
    """Return a workspace with articles to train on, on a machine without a GPU."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    ingest_file(workspace, tmp_path / "articles.csv", articles(60))
    make_encoder(tmp_path / "encoder")
    return workspace


@pytest.fixture
def other_weights(monkeypatch):
    """Make OpenVINO compute another model, whose weights differ by as much as they vary."""
    build = openvino_engine.build_graph

    def perturbed(checkpoint, kind="single"):
        generator = np.random.default_rng(0)
        weights = {
            name: tensor + generator.normal(0, 5 * tensor.std() + 1, tensor.shape).astype(np.float32)
            for name, tensor in checkpoint.weights.items()
        }
        return build(replace(checkpoint, weights=weights), kind)

    monkeypatch.setattr(openvino_engine, "build_graph", perturbed)


def texts(count):
    generator = np.random.default_rng(1)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 60))) for _ in range(count)]


def test_agreement_is_kept_with_the_model(ready, tmp_path):
    trained = candidate.train(ready, RECIPE, encoder_name=str(tmp_path / "encoder"))
    manifest = json.loads((Path(trained.artefact) / "classifier.json").read_text())
    ((kept,),) = query(ready.database, "SELECT training -> 'engine' FROM models")
    assert manifest["engine"] == status.models(ready)[0].engine == kept
    assert kept["engine"] == "openvino"
    assert kept["same_labels"] >= 1 - 1 / kept["texts"], "one text may be undecided"
    assert 0 <= kept["mean_difference"] <= kept["largest_difference"] < 0.05
    same = round(kept["same_labels"] * kept["texts"])
    assert trained.engine.startswith(f"openvino in {kept['dtype']}: {same} of {kept['texts']} labels")


def test_a_model_that_its_engine_computes_wrongly_is_refused(ready, tmp_path, other_weights):
    with pytest.raises(EngineDisagreesError, match=r"^openvino in .* of .* labels .* not registered: train it again"):
        candidate.train(ready, RECIPE, encoder_name=str(tmp_path / "encoder"))
    assert query(ready.database, "SELECT name FROM models") == []
    assert not ready.models.exists() or not list(ready.models.iterdir())


def measure(artefact, engine):
    return agreement.measure_agreement(engine, artefact.load(), texts(50))


def test_the_engines_agree_on_articles_in_chunks(tmp_path):
    """Cut-off articles would not agree, because a third of them are longer."""
    sizes = {"dim": 64, "heads": 4, "hidden_dim": 128, "max_length": 24}
    chunked = make_artefact(tmp_path / "chunked", chunking=Chunking(stride=15, max_chunks=4), **sizes)
    result = measure(chunked, openvino_engine.OpenVinoEngine(chunked.checkpoint()))
    assert result.same_labels == 1
    assert result.largest_difference < 1e-4
    cut, read_on = (
        Labeller.of(files.load(), openvino_engine.OpenVinoEngine(files.checkpoint())).probabilities(texts(50))
        for files in (make_artefact(tmp_path / "cut", **sizes), chunked)
    )
    assert 10 < (cut != read_on).any(axis=1).sum() < 50


def test_only_the_models_own_weights_are_within_bounds(tmp_path, request):
    artefact = make_artefact(tmp_path / "model", dim=64, heads=4, hidden_dim=128)
    result = measure(artefact, OpenVinoEngine(artefact.checkpoint()))
    assert result.is_within_bounds
    assert result.largest_difference < 1e-4
    request.getfixturevalue("other_weights")
    assert not measure(artefact, OpenVinoEngine(artefact.checkpoint())).is_within_bounds


def test_an_engine_that_returns_nan_is_refused(tmp_path, monkeypatch):
    artefact = make_artefact(tmp_path / "model")
    broken = OpenVinoEngine(artefact.checkpoint())
    monkeypatch.setattr(broken, "probabilities", lambda tokens, _: np.full((len(tokens), 3), np.nan, np.float32))
    result = measure(artefact, broken)
    assert (result.same_labels, result.is_within_bounds) == (0.0, False)


@pytest.mark.parametrize(
    ("count", "same", "difference", "expected"),
    [
        (64, 61, 0.2, True),
        (64, 60, 0.1, False),
        (3, 2, 0.1, True),
        (3, 1, 0.1, False),
        (64, 64, 0.21, False),
        (64, 64, float("nan"), False),
    ],
)
def test_the_bounds(count, same, difference, expected):
    assert Agreement("openvino", "bf16", count, same / count, difference, 0.0).is_within_bounds is expected


def test_the_same_texts_are_compared_whatever_their_order():
    repeated = [*texts(200), *texts(200)]
    chosen = agreement.choose_texts(repeated)
    assert len(chosen) == len(set(chosen)) == agreement.MAX_TEXTS
    assert agreement.choose_texts(reversed(repeated)) == chosen


def test_the_engines_agree_on_a_multi_label_model(tmp_path, request):
    sizes = {"dim": 64, "heads": 4, "hidden_dim": 128, "kind": "multi"}
    multi = make_artefact(tmp_path / "model", max_length=24, chunking=Chunking(stride=15, max_chunks=4), **sizes)
    result = measure(multi, OpenVinoEngine(multi.checkpoint(), kind="multi"))
    assert (result.same_labels, result.is_within_bounds) == (1, True)
    assert result.largest_difference < 1e-4
    request.getfixturevalue("other_weights")
    assert not measure(multi, OpenVinoEngine(multi.checkpoint(), kind="multi")).is_within_bounds


def test_a_multi_label_texts_labels_are_the_same_if_all_of_them_are(tmp_path):
    engine = OpenVinoEngine(make_artefact(tmp_path / "model").checkpoint())
    expected = np.array([[0.6, 0.7], [0.4, 0.3], [0.6, 0.4]], dtype=np.float32)
    actual = np.array([[0.7, 0.6], [0.4, 0.51], [np.nan, 0.4]], dtype=np.float32)
    assert agreement.compare(engine, actual, expected, kind="multi").same_labels == pytest.approx(1 / 3)
