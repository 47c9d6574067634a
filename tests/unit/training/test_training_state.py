"""The key covers everything that affects the weights, so a training never resumes from another training's state."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.training import training_state
from classifier.training.recipes import Recipe
from classifier.training.training_state import TokenizedArticles
from tests.support.tiny_models import make_encoder

ARTICLES = TokenizedArticles([[2, 5, 3], [2, 6, 3]], np.array([0, 1]))


@pytest.fixture
def key(tmp_path, monkeypatch):
    encoder = checkpoint.read_checkpoint(make_encoder(tmp_path / "encoder"))
    # not every backend is installed on every machine
    monkeypatch.setattr(
        training_state, "version", lambda name: "1" if name == "torch" else importlib.metadata.version(name)
    )

    def key_of(train=ARTICLES, recipe=Recipe(), arithmetic="tensorflow float32"):  # noqa: B008 - it is frozen
        return training_state.training_key(
            encoder, train, ARTICLES, recipe, categories=("a", "b"), arithmetic=arithmetic
        )

    return key_of


def test_the_same_training_has_the_same_key(key):
    assert key() == key()


def test_other_articles_another_recipe_and_another_arithmetic_have_other_keys(key):
    others = [
        key(train=TokenizedArticles([[2, 5, 3], [2, 7, 3]], np.array([0, 1]))),
        key(train=TokenizedArticles(ARTICLES.pieces, np.array([1, 0]))),
        key(recipe=Recipe(seed=1)),
        key(arithmetic="tensorflow mixed_bfloat16"),
    ]
    assert len({key(), *others}) == 5


def test_another_backend_has_another_key(key, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    before = key()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert key() != before
