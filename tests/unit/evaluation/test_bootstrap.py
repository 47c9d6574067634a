"""The bootstrap draws whole clusters, and its figures are those of scikit-learn."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.evaluation import bootstrap, comparison
from classifier.evaluation.test_articles import number_clusters
from tests.support.factories import make_articles


def test_near_duplicates_are_drawn_together_or_not_at_all():
    contributions = np.array([[1.0], [1.0], [1.0], [0.0]])
    sums = bootstrap.resample_sums(contributions, np.array([7, 7, 7, 9]), resamples=200)
    assert set(sums.ravel()) == {0.0, 3.0, 6.0}, "of two clusters each resample draws two"


def test_drawing_kinds_of_clusters_varies_like_drawing_articles():
    generator = np.random.default_rng(0)
    values = generator.random((300, 1)).round(1)
    groups = generator.integers(0, 120, 300)
    ours = bootstrap.resample_sums(values, groups, resamples=4000).ravel()
    totals = np.bincount(groups, values.ravel())[np.unique(groups)]
    drawn = generator.integers(0, len(totals), (4000, len(totals)))
    plain = totals[drawn].sum(axis=1)
    assert ours.mean() == pytest.approx(plain.mean(), rel=0.01)
    assert ours.std() == pytest.approx(plain.std(), rel=0.06)


def test_the_same_seed_gives_the_same_resamples():
    values, groups = np.arange(20.0)[:, None], np.arange(20)
    once, again = (bootstrap.resample_sums(values, groups, resamples=5, seed=3) for _ in range(2))
    assert (once == again).all()


def test_an_interval_leaves_the_same_share_on_both_sides():
    assert bootstrap.percentile_interval(np.arange(1001.0), 0.9) == pytest.approx((50, 950))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40))
def test_macro_f1_from_sums_agrees_with_scikit_learn(pairs):
    from sklearn.metrics import f1_score

    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    there, guessed, hits = np.split(bootstrap.count_outcomes(truth, [predicted], 4).sum(axis=0), 3)
    expected = f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    assert bootstrap.macro_f1(there, guessed, hits) == pytest.approx(expected)


def test_an_article_without_a_cluster_is_a_cluster_of_its_own():
    assert number_clusters(np.array([1, 2, 3, 4]), [5, None, 5, None]).tolist() == [0, 1, 0, 2]


def test_sparse_and_dense_rows_give_the_same_sums():
    generator = np.random.default_rng(0)
    truth, guess = generator.integers(0, 30, (2, 500))
    groups = generator.integers(0, 400, 500)
    sparse = bootstrap.count_outcomes(truth, [guess], 30)
    dense = bootstrap.resample_sums(sparse.toarray(), groups, resamples=50)
    assert np.array_equal(bootstrap.resample_sums(sparse, groups, resamples=50), dense)


def test_a_thousand_categories_are_compared_in_a_quarter_of_a_gigabyte():
    """Dense, what 5,000 articles add takes 280 MB, and 2,000 resamples of it another 110."""
    generator = np.random.default_rng(0)
    names = np.array([f"c{number:04}" for number in range(1000)])
    truth, *guesses = (names[generator.integers(0, 1000, 5000)] for _ in range(4))
    tracemalloc.start()
    try:
        scores = comparison.compare_scores(make_articles(truth), guesses, resamples=2000, min_articles=5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(scores.compared) > 100
    assert peak < 250e6
