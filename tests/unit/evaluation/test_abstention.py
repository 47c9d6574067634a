"""A threshold is as low as the target precision allows, given the uncertainty of few articles."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import abstention


def choose(correct, target, confidence=None):
    """Choose a threshold for articles in the order of their confidence, the most confident first."""
    ordered = np.linspace(0.99, 0.2, len(correct)) if confidence is None else np.array(confidence)
    return abstention.choose_threshold(ordered.astype(np.float32), np.array(correct, dtype=bool), target)


def test_the_lower_bound_is_exact_and_one_sided():
    from scipy.stats import binomtest

    for hits, count in ((0, 5), (47, 50), (300, 300)):
        expected = binomtest(hits, count).proportion_ci(confidence_level=0.9, method="exact").low
        assert abstention.lower_bound(np.array([hits]), np.array([count]))[0] == pytest.approx(expected)


def test_the_tolerated_mistakes_are_the_most_with_which_the_bound_reaches_the_target():
    counts = np.arange(1, 2000)
    for target in (0.3, 0.95, 0.99):
        mistakes = abstention.max_mistakes(counts, target)
        possible = mistakes >= 0
        assert (abstention.lower_bound(counts - mistakes, counts)[possible] >= target).all()
        assert (abstention.lower_bound(counts - mistakes - 1, counts) < target).all()
    assert np.argmax(abstention.max_mistakes(counts, 0.99) >= 0) + 1 == 299


def test_the_lowest_threshold_of_the_sequence_is_chosen():
    chosen = choose([True] * 400 + [True, False] * 50, 0.98)
    assert (chosen.reached, chosen.at_least) == (True, 0.98)
    assert 0.6 < chosen.coverage < 0.9
    assert choose([True] * 400 + [True, False] * 50, 0.99).coverage < chosen.coverage


def test_the_sequence_ends_at_the_first_threshold_that_fails():
    """Later ones would pass: choosing the best of many gives a precision below the target too often."""
    chosen = choose([True] * 350 + [False] * 30 + [True] * 620, 0.95)
    assert chosen.reached
    assert chosen.coverage < 0.4
    assert choose([True] * 1000, 0.95).coverage == 1


def test_the_precision_is_below_the_target_five_times_in_a_hundred_at_most():
    """The precision of this model is half a point below the target at every threshold."""
    wrong = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        wrong += choose(generator.random(1000) < 0.945, 0.95, generator.random(1000)).reached
    assert wrong / 300 <= 0.05


def test_near_duplicates_count_once():
    correct, confidence = [True] * 10, np.linspace(0.9, 0.8, 10).astype(np.float32)
    every = np.repeat(np.arange(10), 40)
    copied = np.repeat(confidence, 40), np.repeat(np.array(correct), 40)
    assert abstention.choose_threshold(*copied, 0.99).reached, "as if they were independent"
    chosen = abstention.choose_threshold(*copied, 0.99, clusters=every)
    assert (chosen.articles, chosen.reached) == (10, False)


def test_a_high_measured_precision_is_not_enough():
    """Fifty of fifty labels are correct, but a model of 90 % accuracy reaches that now and then."""
    chosen = choose([True] * 50 + [False] * 50, 0.99)
    assert (chosen.precision, chosen.reached) == (1.0, False)
    assert chosen.at_least == pytest.approx(0.005 ** (1 / 50)), "the bound holds for ten thresholds together"
    assert "so few articles cannot show the target of 0.99" in str(chosen)


def test_if_no_threshold_reaches_the_target_the_best_is_chosen():
    chosen = choose([True] * 50 + [False] * 50, 0.99)
    assert chosen.coverage == 0.5
    assert chosen.value == pytest.approx(np.linspace(0.99, 0.2, 100)[49])


@pytest.mark.parametrize("target", [0.0, 0.9])
def test_a_model_that_is_precise_enough_on_all_articles_never_abstains(target):
    chosen = choose([True] * 99 + [False], target)
    assert (chosen.value, chosen.coverage, chosen.reached) == (0.0, 1.0, True)
    assert "never abstains" in str(chosen)


def test_articles_of_the_same_confidence_stay_together():
    chosen = choose([True] * 60 + [False] * 40, 0.9, confidence=[0.9] * 40 + [0.8] * 40 + [0.1] * 20)
    assert chosen.reached
    assert chosen.coverage == 0.4
    assert chosen.value == np.float32(0.9)


def test_a_model_that_is_never_correct_has_a_threshold_too():
    chosen = choose([False] * 5, 0.9)
    assert (chosen.at_least, chosen.precision, chosen.reached) == (0.0, 0.0, False)


def test_it_reads_back_as_written():
    chosen = choose([True] * 50 + [False] * 50, 0.9)
    assert abstention.Threshold.of(chosen.as_json()) == chosen


class TestBackOff:
    """Answers by a parent, where the category itself is below the threshold."""

    def test_hits_are_those_of_every_threshold_counted_one_by_one(self):
        generator = np.random.default_rng(0)
        for levels in (1, 2, 4):
            confidence = np.sort(generator.integers(0, 12, (40, levels)) / 12, axis=1).astype(np.float32)
            confidence = confidence[np.argsort(-confidence[:, -1], kind="stable")]
            correct = np.sort(generator.random((40, levels)) < 0.6, axis=1)
            hits = abstention._count_hits(confidence, correct)
            for row in np.flatnonzero(np.append(confidence[1:, -1] < confidence[:-1, -1], True)):
                reached = confidence >= confidence[row, -1]
                labelled = reached[:, -1]
                expected = correct[labelled, reached.argmax(axis=1)[labelled]].sum()
                assert hits[row] == expected

    def test_sure_parents_label_more_articles_with_the_same_precision(self):
        own = np.linspace(0.3, 1, 400, dtype=np.float32)
        confidence = np.stack([own, np.full(400, 0.999, np.float32)], axis=1)
        correct = np.stack([np.arange(400) >= 200, np.full(400, True)], axis=1)
        alone = abstention.choose_threshold(confidence[:, 0], correct[:, 0], 0.95)
        both = abstention.choose_threshold(confidence, correct, 0.95)
        assert alone.parents is None
        assert alone.coverage < 0.6
        assert both.coverage == 1
        assert both.precision >= 0.95
        assert 0.4 < both.parents < 1, "those whose category is below the threshold"
        assert both.value > 0, "else no parent would ever be labelled"
        assert abstention.Threshold.of(both.as_json()) == both
        assert f"backs off to a parent for {both.parents:.1%} of the articles" in str(both)

    def test_a_model_that_never_abstains_never_backs_off(self):
        confidence = np.array([[0.5, 0.9]] * 20, dtype=np.float32)
        chosen = abstention.choose_threshold(confidence, confidence > 0.6, 0)
        assert (chosen.value, chosen.parents) == (0, None)
