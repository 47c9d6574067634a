"""Confident learning finds annotations that were changed, and assesses only what a model could learn."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model.confident_learning import find_doubts


def single(truth, *, categories=3, confidence=0.8, seed=0):
    """Return probabilities of a model that is nearly always correct, with some noise."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(categories), len(truth)) * (1 - confidence)
    probabilities[np.arange(len(truth)), truth] += confidence
    return probabilities.astype(np.float32)


def learned(probabilities):
    return np.ones(probabilities.shape, dtype=np.bool_)


class TestSingleLabel:
    @pytest.mark.parametrize("seed", range(5))
    def test_ranks_changed_annotations_first_and_estimates_their_number(self, seed):
        generator = np.random.default_rng(seed)
        truth = generator.integers(3, size=600)
        annotated, changed = truth.copy(), generator.choice(600, 30, replace=False)
        annotated[changed] = (annotated[changed] + generator.integers(1, 3, 30)) % 3
        doubts = find_doubts(single(truth, seed=seed), annotated, learned(single(truth)))
        assert set(doubts.order()[:30]) == set(changed)
        assert doubts.suggested[changed].tolist() == truth[changed].tolist()
        assert 25 <= doubts.estimated <= 60

    def test_estimates_none_if_every_annotation_is_the_most_probable_category(self):
        truth = np.arange(300) % 3
        probabilities = np.full((300, 3), 0.05, np.float32)
        probabilities[np.arange(300), truth] = 0.9
        doubts = find_doubts(probabilities, truth, learned(probabilities))
        assert doubts.estimated == 0
        assert (doubts.scores < 0).all()

    def test_does_not_assess_a_category_that_could_not_be_learned(self):
        annotated = np.array([0] * 20 + [1] * 20 + [2])
        probabilities = single(np.array([0] * 20 + [1] * 21), categories=3)
        could_learn = learned(probabilities)
        could_learn[-1, 2] = False
        doubts = find_doubts(probabilities, annotated, could_learn)
        assert doubts.scores[-1] == -np.inf
        assert 40 not in doubts.order()

    def test_never_suggests_a_category_that_could_not_be_learned(self):
        annotated = np.array([0] * 20 + [1] * 20)
        probabilities = single(annotated)
        probabilities[0] = (0.2, 0.1, 0.7)
        could_learn = learned(probabilities)
        could_learn[:, 2] = False
        assert find_doubts(probabilities, annotated, could_learn).suggested[0] == 1

    def test_of_one_category_for_all_articles_there_is_nothing_to_judge(self):
        doubts = find_doubts(np.ones((4, 1), np.float32), np.zeros(4, np.int64), np.ones((4, 1), np.bool_))
        assert doubts.order().tolist() == []
        assert doubts.estimated == 0

    def test_of_no_article_it_is_empty(self):
        doubts = find_doubts(np.empty((0, 0), np.float32), np.empty(0, np.int64), np.empty((0, 0), np.bool_))
        assert (doubts.order().tolist(), doubts.estimated) == ([], 0)

    def test_equal_scores_keep_the_order_of_the_articles(self):
        probabilities = np.array([[0.5, 0.5]] * 4, np.float32)
        annotated = np.array([0, 1, 0, 1])
        assert find_doubts(probabilities, annotated, learned(probabilities)).order().tolist() == [0, 1, 2, 3]


class TestMultiLabel:
    def truth(self, seed=0):
        return np.random.default_rng(seed).random((500, 4)) < (0.5, 0.3, 0.2, 0.02)

    def probabilities(self, truth, seed=0):
        noise = np.random.default_rng(seed).random(truth.shape) * 0.2
        return np.where(truth, 0.95 - noise, 0.05 + noise).astype(np.float32)

    def test_finds_a_missing_and_a_wrong_label_and_suggests_the_label_set_without_the_mistake(self):
        truth = self.truth()
        annotated = truth.copy()
        missing, wrong = int(np.flatnonzero(truth[:, 1])[7]), int(np.flatnonzero(~truth[:, 0])[9])
        annotated[missing, 1], annotated[wrong, 0] = False, True
        doubts = find_doubts(self.probabilities(truth), annotated, learned(truth))
        assert set(doubts.order()[:2]) == {missing, wrong}
        assert (doubts.suggested[[missing, wrong]] == truth[[missing, wrong]]).all()
        assert doubts.estimated == 2

    def test_two_wrong_decisions_of_one_article_are_one_article(self):
        truth = self.truth()
        annotated = truth.copy()
        annotated[3] = ~annotated[3]
        doubts = find_doubts(self.probabilities(truth), annotated, learned(truth))
        assert (doubts.order()[0], doubts.estimated) == (3, 1)
        assert (doubts.suggested[3] == truth[3]).all()

    def test_an_article_further_down_has_a_suggestion_that_differs_in_one_decision(self):
        truth = self.truth()
        doubts = find_doubts(self.probabilities(truth), truth, learned(truth))
        assert doubts.estimated == 0
        assert ((doubts.suggested != truth).sum(axis=1) == 1).all()

    def test_assesses_only_the_decisions_that_could_be_learned(self):
        truth = self.truth()
        annotated, could_learn = truth.copy(), learned(truth)
        annotated[3] = ~annotated[3]
        could_learn[3] = False
        doubts = find_doubts(self.probabilities(truth), annotated, could_learn)
        assert 3 not in doubts.order()
        assert (doubts.suggested[3] == annotated[3]).all()

    def test_without_categories_there_is_nothing_to_judge(self):
        empty = np.empty((5, 0))
        doubts = find_doubts(empty.astype(np.float32), empty.astype(np.bool_), empty.astype(np.bool_))
        assert (doubts.order().tolist(), doubts.estimated) == ([], 0)
