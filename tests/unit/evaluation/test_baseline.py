"""The baseline learns from words, and always returns a prediction."""

from __future__ import annotations

import pytest

from classifier.evaluation import baseline

TEXTS = [f"{word} number {n}" for n in range(15) for word in ("team", "bank")]
CATEGORIES = ["sport", "business"] * 15


def test_the_baseline_learns_words_that_distinguish_categories():
    metrics = baseline.evaluate_baseline(TEXTS, CATEGORIES, ["the team", "a bank"], ["sport", "business"]).metrics
    assert metrics.accuracy == 1.0


def test_a_handful_of_articles_is_enough():
    metrics = baseline.evaluate_baseline(
        ["team", "bank"], ["sport", "business"], ["team team", "bank"], ["sport", "business"]
    ).metrics
    assert metrics.accuracy == 1.0


def test_the_same_articles_give_the_same_figures():
    once, again = (baseline.evaluate_baseline(TEXTS, CATEGORIES, TEXTS, CATEGORIES[::-1]).metrics for _ in range(2))
    assert once == again


@pytest.mark.parametrize(
    "texts",
    [[f"unique{n}" for n in range(30)], ["a b c", "! ?"] * 15, ["👍"] * 30],
    ids=["no term twice", "no word of two letters", "no word"],
)
def test_texts_without_terms_get_the_most_frequent_category(texts):
    metrics = baseline.evaluate_baseline(texts, ["sport"] * 20 + ["tech"] * 10, ["x y", "z"], ["sport", "tech"]).metrics
    assert metrics.accuracy == 0.5
    assert metrics.by_category["sport"].recall == 1.0


def test_a_single_category_is_always_predicted():
    assert (
        baseline.evaluate_baseline(["team", "goal"], ["sport", "sport"], ["bank"], ["business"]).metrics.accuracy == 0.0
    )


def test_the_training_time_is_measured():
    assert 0 < baseline.evaluate_baseline(TEXTS, CATEGORIES, TEXTS, CATEGORIES).train_seconds < 60
