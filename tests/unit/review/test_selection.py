"""The articles that are chosen for review, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from classifier.review import selection
from classifier.review.selection import ReviewPool

CATEGORIES = ("business", "sport", "tech")


def pool(probabilities, clusters=None):
    rows = np.array(probabilities, np.float32)
    return ReviewPool(CATEGORIES, rows, np.arange(len(rows)) if clusters is None else np.array(clusters))


def certain(category, size):
    return [np.where(np.arange(3) == CATEGORIES.index(category), 0.98, 0.01)] * size


def chosen(pool, number, annotated=(), texts=None):
    """Choose articles as the queue does, and return their rows by reason."""
    shortlist = selection.shortlist(pool, number, dict(annotated))
    texts = texts or [f"article {row}" for row in range(len(pool.probabilities))]
    candidates = [texts[row] for row in shortlist]
    choices = selection.choose_articles(pool[shortlist], candidates, number, dict(annotated), seed=0)
    assert len({choice.row for choice in choices}) == len(choices)
    return {
        reason: {int(shortlist[choice.row]) for choice in choices if choice.reason == reason}
        for reason in ("rare", "diverse", "uncertain")
    }


def all_of(rows_by_reason):
    return set().union(*rows_by_reason.values())


def test_uncertain_articles_are_chosen_and_certain_ones_are_not():
    doubtful = [[0.4, 0.35, 0.25], [0.3, 0.36, 0.34], [0.5, 0.49, 0.01], [0.2, 0.39, 0.41]]
    assert all_of(chosen(pool([*certain("sport", 500), *doubtful]), 4)) == {500, 501, 502, 503}


def test_no_two_articles_of_a_cluster_are_chosen():
    doubtful = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    clusters = np.arange(60) // 3
    rows = all_of(chosen(pool(doubtful, clusters), 30, {"business": 50, "sport": 1, "tech": 50}))
    assert len(rows) == 20, "all articles"
    assert len({clusters[row] for row in rows}) == 20


def test_articles_of_a_rare_category_are_chosen_even_if_they_are_certain():
    doubtful = np.tile([0.5, 0.01, 0.49], (400, 1))
    annotated = {"business": 900, "sport": 5, "tech": 800}
    rows_by_reason = chosen(pool([*certain("sport", 3), *doubtful]), 10, annotated)
    assert rows_by_reason["rare"] <= {0, 1, 2}
    assert len(rows_by_reason["rare"]) == 2


def test_rare_categories_are_filled_up_evenly():
    annotated = {"business": 900, "sport": 5, "tech": 8}
    articles = [*certain("sport", 50), *certain("tech", 50), *certain("business", 400)]
    rows_by_reason = chosen(pool(articles), 50, annotated)
    assert Counter(CATEGORIES[1] if row < 50 else CATEGORIES[2] for row in rows_by_reason["rare"]) == {
        "sport": 7,
        "tech": 3,
    }


def test_diverse_articles_differ_in_their_words_if_they_are_equally_uncertain():
    doubtful = np.tile([0.4, 0.35, 0.25], (200, 1))
    texts = ["the same words"] * 190 + [f"unlike{n} words{n} here{n}" for n in range(10)]
    rows_by_reason = chosen(pool(doubtful), 22, texts=texts)
    assert len({row for row in rows_by_reason["diverse"] if row >= 190}) >= 8
    assert len(rows_by_reason["diverse"]) == 11


@pytest.mark.parametrize("number", [1, 2, 7, 40])
def test_the_requested_number_is_chosen_or_all_articles(number):
    doubtful = np.random.default_rng(1).dirichlet(np.ones(3), 30)
    assert len(all_of(chosen(pool(doubtful), number, {"sport": 9}))) == min(number, 30)


def test_only_the_texts_of_a_shortlist_are_read():
    doubtful = np.random.default_rng(1).dirichlet(np.ones(3), 5000)
    short = selection.shortlist(pool(doubtful), 20, {"business": 9, "sport": 1})
    assert 200 <= len(short) <= 204
    assert len(np.unique(short)) == len(short)


def test_a_model_of_one_category_has_no_uncertain_articles_and_does_not_fail():
    only_pool = ReviewPool(("only",), np.ones((5, 1), np.float32), np.arange(5))
    assert len(selection.choose_articles(only_pool, ["a b"] * 5, 3, {}, seed=0)) == 3


class TestMultiLabel:
    @staticmethod
    def make_pool(probabilities, thresholds=(0.5, 0.5, 0.5)):
        rows = np.array(probabilities, np.float32)
        return ReviewPool(CATEGORIES, rows, np.arange(len(rows)), thresholds)

    def test_an_article_is_uncertain_if_any_probability_is_near_its_threshold(self):
        sure, near = [[0.99, 0.98, 0.01]] * 300, [[0.99, 0.52, 0.01], [0.01, 0.02, 0.47], [0.5, 0.99, 0.99]]
        assert all_of(chosen(self.make_pool([*sure, *near]), 3)) == {300, 301, 302}
        margins = self.make_pool([[0.9, 0.3, 0.1]], thresholds=(0.5, 0.25, 0.9)).margins
        assert margins == pytest.approx([0.05], abs=1e-6)

    def test_the_most_probable_articles_of_a_rare_category_need_not_have_that_label(self):
        annotated = {"business": 900, "sport": 800, "tech": 3}
        rare, doubtful = [[0.99, 0.01, 0.3]] * 2, [[0.5, 0.01, 0.001]] * 400
        rows_by_reason = chosen(self.make_pool([*rare, *doubtful]), 10, annotated)
        assert rows_by_reason["rare"] == {0, 1}

    def test_an_article_of_two_rare_categories_is_chosen_once(self):
        annotated = {"business": 900, "sport": 1, "tech": 1}
        rows = [[0.99, 0.9, 0.9], *[[0.99, 0.1 + 0.001 * n, 0.1] for n in range(100)]]
        assert len(chosen(self.make_pool(rows), 20, annotated)["rare"]) == 4

    def test_diverse_articles_differ_in_their_words(self):
        doubtful = np.tile([0.4, 0.45, 0.25], (200, 1))
        texts = ["the same words"] * 190 + [f"unlike{n} words{n} here{n}" for n in range(10)]
        rows_by_reason = chosen(self.make_pool(doubtful), 22, texts=texts)
        assert len({row for row in rows_by_reason["diverse"] if row >= 190}) >= 8

    @pytest.mark.parametrize("number", [1, 2, 7, 40])
    def test_the_requested_number_is_chosen_or_all_articles(self, number):
        probabilities = np.random.default_rng(1).random((30, 3))
        assert len(all_of(chosen(self.make_pool(probabilities), number, {"sport": 9}))) == min(number, 30)
