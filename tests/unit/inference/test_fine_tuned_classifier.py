"""A classifier builds each of its engines once and hands it to all its labellers."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from classifier.inference import engines
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import linear
from classifier.model.ensemble import Ensemble, EnsembleWeights
from tests.support.tiny_models import CATEGORIES, make_artefact

TEXTS = ("the team scored a goal", "the bank sold shares", "a new phone")


@pytest.fixture
def model(tmp_path):
    return make_artefact(tmp_path / "model", details={"calibration": {"temperature": {"value": 2.0}}}).load()


@pytest.fixture
def built(monkeypatch):
    """The engine names and dtypes that were built."""
    names, choose_engine = [], engines.choose_engine

    def counted(model, *, engine, dtype):
        names.append((engine, dtype))
        return choose_engine(model, engine=engine, dtype=dtype)

    monkeypatch.setattr(engines, "choose_engine", counted)
    return names


def test_nothing_is_built_before_it_is_used(model, built):
    FineTunedClassifier(model)
    assert built == []


def test_an_engine_is_built_once_a_name_and_dtype(model, built):
    classifier = FineTunedClassifier(model)
    engine = classifier.engine("openvino", dtype="f32")
    assert classifier.labeller("openvino", dtype="f32").engine is engine
    assert classifier.labeller("openvino", dtype="f32").engine is engine
    assert built == [("openvino", "f32")]
    assert classifier.engine("keras", dtype="f32").name == "keras"
    assert built == [("openvino", "f32"), ("keras", "f32")]


def test_with_an_ensemble_it_keeps_its_engines_and_predicts_otherwise(model, built):
    texts = [word for word in ("goal", "shares", "phone") for _ in range(30)]
    words = linear.fit_linear(texts, [category for category in ("sport", "business", "tech") for _ in range(30)])
    ensemble = Ensemble(words, EnsembleWeights(network=0.0, linear=5.0))
    classifier = FineTunedClassifier(model)
    alone = classifier.labeller("openvino").probabilities(TEXTS)
    both = classifier.with_ensemble(ensemble).labeller("openvino").probabilities(TEXTS)
    assert len(built) == 1
    assert [CATEGORIES[column] for column in both.argmax(axis=1)] == ["sport", "business", "tech"]
    assert np.abs(both - alone).max() > 0.1
    np.testing.assert_array_equal(
        classifier.with_ensemble(ensemble).with_ensemble(None).labeller("openvino").probabilities(TEXTS), alone
    )


def test_its_labeller_applies_the_models_temperature(model):
    classifier = FineTunedClassifier(model)
    labeller = classifier.labeller("openvino")
    assert labeller.temperature == 2.0
    assert labeller.engine_name in {"openvino f32", "openvino bf16"}


def test_a_labeller_does_not_keep_the_weights_in_memory(tmp_path):
    classifier = FineTunedClassifier(make_artefact(tmp_path / "model").load())
    weights = weakref.ref(classifier.model.checkpoint.weights["classifier.weight"])
    labeller = classifier.labeller("openvino")
    del classifier
    gc.collect()
    assert weights() is None
    assert labeller.probabilities(TEXTS).shape == (3, 3)
