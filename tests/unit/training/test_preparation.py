"""What a training needs is prepared before its first step, with one warning if the learning rate does not suit."""

from __future__ import annotations

import logging

import pytest

from classifier.articles import AnnotatedArticle
from classifier.pipeline.training import preparation
from classifier.pipeline.training.starting_point import StartingPoint
from classifier.training.recipes import Recipe
from classifier.training.spooled_articles import spool
from tests.support.tiny_models import make_encoder

ARTICLES = [AnnotatedArticle(number, "the team", bytes([number]), ("ab"[number % 2],)) for number in range(4)]


@pytest.fixture
def prepare(tmp_path):
    start = StartingPoint("e", make_encoder(tmp_path / "encoder"), tmp_path / "tokenizers")
    train, validation = spool(ARTICLES, tmp_path), spool(ARTICLES[:2], tmp_path)
    return lambda recipe: preparation.prepare(start, recipe, train, validation)


def test_the_encoder_limits_the_length_that_the_recipe_sets(prepare):
    prepared = prepare(Recipe(max_length=512, long_texts="chunk", stride=20))
    assert prepared.tokenization.max_length == prepared.pretrained.shape.max_position_embeddings < 512
    assert prepared.tokenization.chunking == prepared.recipe.chunking
    assert prepared.categories == ("a", "b")


def test_one_warning_says_which_learning_rate_suits_the_encoder(prepare, caplog):
    caplog.set_level(logging.WARNING)
    prepare(Recipe(name="mine", learning_rate=1e-5))
    assert [record.getMessage() for record in caplog.records] == [
        "recipe mine: learning_rate 1e-05 is too low for an encoder of hidden size 8; set learning_rate=2e-4"
    ]


def test_a_suitable_learning_rate_is_not_mentioned(prepare, caplog):
    prepare(Recipe())
    assert caplog.records == []
