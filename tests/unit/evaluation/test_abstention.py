"""A threshold is as low as the precision that was wanted allows, with the doubt that few articles leave."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import abstention


def choose(right, wanted, confidence=None):
    """Choose for articles in the order of their confidence, the surest first."""
    given = np.linspace(0.99, 0.2, len(right)) if confidence is None else np.array(confidence)
    return abstention.choose_threshold(given.astype(np.float32), np.array(right, dtype=bool), wanted)


def test_the_bound_is_the_exact_one_sided_one():
    from scipy.stats import binomtest

    for hits, count in ((0, 5), (47, 50), (300, 300)):
        expected = binomtest(hits, count).proportion_ci(confidence_level=0.9, method="exact").low
        assert abstention.lower_bound(np.array([hits]), np.array([count]))[0] == pytest.approx(expected)


def test_so_few_mistakes_are_tolerated_that_the_bound_suffices():
    counts = np.arange(1, 2000)
    for wanted in (0.3, 0.95, 0.99):
        mistakes = abstention.tolerated(counts, wanted)
        some = mistakes >= 0
        assert (abstention.lower_bound(counts - mistakes, counts)[some] >= wanted).all()
        assert (abstention.lower_bound(counts - mistakes - 1, counts) < wanted).all()
    assert np.argmax(abstention.tolerated(counts, 0.99) >= 0) + 1 == 299


def test_the_lowest_threshold_of_the_sequence_is_taken():
    found = choose([True] * 400 + [True, False] * 50, 0.98)
    assert (found.reached, found.at_least) == (True, 0.98)
    assert 0.6 < found.coverage < 0.9
    assert choose([True] * 400 + [True, False] * 50, 0.99).coverage < found.coverage


def test_the_sequence_ends_at_the_first_threshold_that_fails():
    """Later ones would pass: taking the best of many is what breaks promises."""
    found = choose([True] * 350 + [False] * 30 + [True] * 620, 0.95)
    assert found.reached
    assert found.coverage < 0.4
    assert choose([True] * 1000, 0.95).coverage == 1


def test_a_promise_is_broken_five_times_in_a_hundred_at_most():
    """Of a model that is half a point less precise than wanted throughout: any promise would be broken."""
    broken = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        broken += choose(generator.random(1000) < 0.945, 0.95, generator.random(1000)).reached
    assert broken / 300 <= 0.05


def test_of_near_duplicates_one_counts():
    right, confidence = [True] * 10, np.linspace(0.9, 0.8, 10).astype(np.float32)
    every = np.repeat(np.arange(10), 40)
    given = np.repeat(confidence, 40), np.repeat(np.array(right), 40)
    assert abstention.choose_threshold(*given, 0.99).reached, "as if they were independent"
    found = abstention.choose_threshold(*given, 0.99, clusters=every)
    assert (found.articles, found.reached) == (10, False)


def test_what_was_measured_does_not_suffice():
    """Fifty of fifty are right, but a model that is right nine times in ten does that now and then."""
    found = choose([True] * 50 + [False] * 50, 0.99)
    assert (found.precision, found.reached) == (1.0, False)
    assert found.at_least == pytest.approx(0.005 ** (1 / 50)), "the bound holds for ten thresholds together"
    assert "0.99 that was wanted cannot be shown with so many articles" in str(found)


def test_where_none_suffices_the_best_is_taken():
    found = choose([True] * 50 + [False] * 50, 0.99)
    assert found.coverage == 0.5
    assert found.value == pytest.approx(np.linspace(0.99, 0.2, 100)[49])


@pytest.mark.parametrize("wanted", [0.0, 0.9])
def test_a_model_that_is_precise_enough_throughout_abstains_from_nothing(wanted):
    found = choose([True] * 99 + [False], wanted)
    assert (found.value, found.coverage, found.reached) == (0.0, 1.0, True)
    assert "abstains from nothing" in str(found)


def test_articles_of_the_same_confidence_are_not_parted():
    found = choose([True] * 60 + [False] * 40, 0.9, confidence=[0.9] * 40 + [0.8] * 40 + [0.1] * 20)
    assert found.reached
    assert found.coverage == 0.4
    assert found.value == np.float32(0.9)


def test_a_model_that_is_never_right_is_borne():
    found = choose([False] * 5, 0.9)
    assert (found.at_least, found.precision, found.reached) == (0.0, 0.0, False)


def test_it_reads_back_as_written():
    found = choose([True] * 50 + [False] * 50, 0.9)
    assert abstention.Threshold.of(found.as_json()) == found
