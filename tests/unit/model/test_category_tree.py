"""A model that backs off answers the nearest parent that is sure enough."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import category_tree

PARENTS = {"wheat": "grain", "corn": "grain", "grain": "commodity", "gold": "metal", "metal": "commodity"}
CATEGORIES = ("wheat", "corn", "gold", "earn")


def paths_of(*rows, categories=CATEGORIES, parents=PARENTS):
    return category_tree.find_paths(np.array(rows, dtype=np.float32), categories, parents)


class TestAnswer:
    def test_a_category_that_is_sure_enough_is_the_answer(self):
        labels, confidence = paths_of([0.9, 0.05, 0.05, 0]).answer(0.8)
        assert (labels, confidence) == (["wheat"], pytest.approx([0.9]))

    def test_else_its_parent_is_with_the_sum_of_the_categories_below_it(self):
        labels, confidence = paths_of([0.5, 0.4, 0.1, 0]).answer(0.8)
        assert (labels, confidence) == (["grain"], pytest.approx([0.9]))

    def test_the_nearest_ancestor_that_is_sure_enough_counts(self):
        labels, confidence = paths_of([0.5, 0.2, 0.3, 0], [0.45, 0.4, 0.15, 0]).answer(0.8)
        assert (labels, confidence) == (["commodity", "grain"], pytest.approx([1.0, 0.85]))

    def test_without_a_sure_parent_the_category_itself_is_shown(self):
        labels, confidence = paths_of([0.4, 0.1, 0.1, 0.4]).answer(0.8)
        assert (labels, confidence) == (["wheat"], pytest.approx([0.4]))

    def test_a_category_without_a_parent_stays(self):
        assert paths_of([0.2, 0.2, 0.2, 0.4]).answer(0.5)[0] == ["earn"]

    def test_a_parent_that_is_a_category_too_counts_its_own_probability(self):
        paths = paths_of([0.4, 0.3, 0.2, 0.1], categories=("wheat", "grain", "corn", "earn"))
        assert paths.answer(0.8) == (["grain"], pytest.approx([0.9]))
        assert paths.answer(0.95)[1] == pytest.approx([0.4]), "commodity has 0.9 too"

    def test_merged_categories_count_together(self):
        paths = paths_of([0.3, 0.3, 0.2, 0.2], categories=("wheat", "wheat", "corn", "earn"))
        assert paths.answer(0.55) == (["wheat"], pytest.approx([0.6]))
        assert paths.answer(0.7) == (["grain"], pytest.approx([0.8]))

    def test_without_a_tree_nothing_changes(self):
        paths = paths_of([0.4, 0.3, 0.2, 0.1], parents={})
        assert paths.probabilities.shape == (1, 1)
        assert paths.answer(0.9)[0] == ["wheat"]

    def test_no_articles_have_no_answers(self):
        paths = category_tree.find_paths(np.zeros((0, 4), np.float32), CATEGORIES, PARENTS)
        assert paths.answer(0.5)[0] == []
        assert paths.correct([]).shape == (0, 3)


def test_an_answer_is_correct_if_it_is_the_category_or_an_ancestor_of_it():
    paths = paths_of([0.9, 0, 0, 0.1], [0.9, 0, 0, 0.1], [0.9, 0, 0, 0.1], [0.1, 0, 0, 0.9])
    assert paths.correct(["wheat", "corn", "metal", "earn"]).tolist() == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
        [True, True, True],
    ]
