"""The figures are those of scikit-learn, and of a calculation by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.evaluation.metrics import compute_metrics, macro_f1

TRUTH = ["a", "a", "a", "b", "b", "c"]
PREDICTED = ["a", "a", "b", "b", "a", "c"]


def test_a_case_calculated_by_hand():
    metrics = compute_metrics(TRUTH, PREDICTED)
    assert (metrics.articles, metrics.categories) == (6, ("a", "b", "c"))
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.by_category["a"].precision == pytest.approx(2 / 3, abs=1e-5)
    assert metrics.by_category["a"].f1 == pytest.approx(2 / 3, abs=1e-5)
    assert metrics.by_category["b"].f1 == pytest.approx(1 / 2)
    assert [metrics.by_category[name].support for name in "abc"] == [3, 2, 1]
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 1))


def test_a_category_that_the_model_does_not_know_is_a_mistake_on_each_of_its_articles():
    metrics = compute_metrics(["a", "new"], ["a", "a"])
    assert (metrics.accuracy, metrics.by_category["new"].f1) == (0.5, 0.0)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_category_that_is_only_predicted_does_not_count_in_macro_f1():
    assert macro_f1(["a", "a"], ["a", "x"]) == pytest.approx(2 / 3)


def test_figures_become_plain_json():
    plain = json.loads(json.dumps(compute_metrics(TRUTH, PREDICTED).as_json()))
    assert plain["by_category"]["c"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_figures_agree_with_scikit_learn(pairs):
    from sklearn.metrics import accuracy_score, f1_score

    truth, predicted = zip(*pairs, strict=True)
    metrics = compute_metrics(truth, predicted)
    assert metrics.accuracy == pytest.approx(accuracy_score(truth, predicted))
    labels = sorted(set(truth))
    expected = f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    assert metrics.macro_f1 == pytest.approx(expected)
    assert sum(map(sum, metrics.confusion)) == metrics.articles == len(pairs)
