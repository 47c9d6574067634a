"""The baseline learns what words tell, and has an answer whatever it is given."""

from __future__ import annotations

import pytest

from classifier.evaluation import baseline

TEXTS = [f"{word} number {n}" for n in range(15) for word in ("team", "bank")]
CATEGORIES = ["sport", "business"] * 15


def test_words_that_tell_categories_apart_are_learnt():
    found = baseline.evaluate_baseline(TEXTS, CATEGORIES, ["the team", "a bank"], ["sport", "business"]).metrics
    assert found.accuracy == 1.0


def test_a_handful_of_articles_is_enough():
    found = baseline.evaluate_baseline(
        ["team", "bank"], ["sport", "business"], ["team team", "bank"], ["sport", "business"]
    ).metrics
    assert found.accuracy == 1.0


def test_the_same_articles_give_the_same_figures():
    once, again = (baseline.evaluate_baseline(TEXTS, CATEGORIES, TEXTS, CATEGORIES[::-1]).metrics for _ in range(2))
    assert once == again


@pytest.mark.parametrize(
    "texts",
    [[f"unique{n}" for n in range(30)], ["a b c", "! ?"] * 15, ["👍"] * 30],
    ids=["no term twice", "no word of two letters", "no word"],
)
def test_texts_without_terms_leave_it_the_most_frequent_category(texts):
    found = baseline.evaluate_baseline(texts, ["sport"] * 20 + ["tech"] * 10, ["x y", "z"], ["sport", "tech"]).metrics
    assert found.accuracy == 0.5
    assert found.by_category["sport"].recall == 1.0


def test_one_category_is_named_always():
    assert (
        baseline.evaluate_baseline(["team", "goal"], ["sport", "sport"], ["bank"], ["business"]).metrics.accuracy == 0.0
    )


def test_the_time_that_it_trains_is_told():
    assert 0 < baseline.evaluate_baseline(TEXTS, CATEGORIES, TEXTS, CATEGORIES).train_seconds < 60
