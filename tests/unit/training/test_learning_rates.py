"""A learning rate that does not suit the encoder's size is reported with a better one."""

from __future__ import annotations

import pytest

from classifier.training import recipes
from classifier.training.learning_rates import unsuitable_learning_rate
from classifier.training.recipes import files

DISTILBERT_BASE, SMALL = 768, 384


@pytest.mark.parametrize(
    ("learning_rate", "dim", "warning"),
    [
        (2e-4, DISTILBERT_BASE, "learning_rate 0.0002 is too high for an encoder of hidden size 768;"),
        (1.1e-4, 1024, "learning_rate 0.00011 is too high for an encoder of hidden size 1024;"),
        (4e-5, SMALL, "learning_rate 4e-05 is too low for an encoder of hidden size 384;"),
    ],
)
def test_an_unsuitable_learning_rate_is_reported_with_one_that_suits(learning_rate, dim, warning):
    message = unsuitable_learning_rate(learning_rate, dim)
    assert message.startswith(warning)
    suggested = float(message.rsplit("learning_rate=", 1)[1])
    assert unsuitable_learning_rate(suggested, dim) is None


@pytest.mark.parametrize(
    ("learning_rate", "dim"),
    [(1e-4, DISTILBERT_BASE), (1e-6, DISTILBERT_BASE), (5e-5, SMALL), (2e-4, SMALL), (2e-4, 512), (2e-5, 512)],
)
def test_a_learning_rate_within_the_limits_is_not_reported(learning_rate, dim):
    assert unsuitable_learning_rate(learning_rate, dim) is None


def test_a_fine_tuned_model_may_continue_at_a_low_rate_but_not_at_a_high_one():
    assert unsuitable_learning_rate(1e-5, SMALL, fine_tuned=True) is None
    assert unsuitable_learning_rate(2e-4, DISTILBERT_BASE, fine_tuned=True) is not None


def test_the_default_recipe_suits_distilbert_base_and_the_others_the_small_encoder():
    assert unsuitable_learning_rate(recipes.Recipe().learning_rate, DISTILBERT_BASE) is None
    for described in files.available():
        assert unsuitable_learning_rate(described.recipe.learning_rate, SMALL) is None, described.name
