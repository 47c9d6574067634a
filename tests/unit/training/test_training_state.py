"""A training is known by all that decides its weights, so that one never goes on from another's state."""

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
    # not every machine has every backend
    monkeypatch.setattr(
        training_state, "version", lambda name: "1" if name == "torch" else importlib.metadata.version(name)
    )

    def of(train=ARTICLES, recipe=Recipe(), dtype="float32"):  # noqa: B008 - it is frozen
        return training_state.training_key(encoder, train, ARTICLES, recipe, categories=("a", "b"), dtype=dtype)

    return of


def test_the_same_training_has_the_same_key(key):
    assert key() == key()


def test_other_articles_another_recipe_and_another_number_format_are_another_training(key):
    others = [
        key(train=TokenizedArticles([[2, 5, 3], [2, 7, 3]], np.array([0, 1]))),
        key(train=TokenizedArticles(ARTICLES.pieces, np.array([1, 0]))),
        key(recipe=Recipe(seed=1)),
        key(dtype="mixed_bfloat16"),
    ]
    assert len({key(), *others}) == 5


def test_what_was_begun_on_one_backend_starts_afresh_on_another(key, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    before = key()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert key() != before
