"""Each category of a multi-label model gets the threshold that is best for it, or for all if it has few articles."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.evaluation import thresholds
from classifier.evaluation.thresholds import GRID, CategoryThresholds
from classifier.model.multi_label import assign_labels
from classifier.model.sigmoid import sigmoid


def synthetic(articles=1500, *, shares=(0.4, 0.1, 0.02, 0.0), shift=(0.0, -2.0, -3.0, -3.0), seed=0):
    """Return probabilities and truth; the logits of some categories are shifted, so that 0.5 is no good threshold."""
    generator = np.random.default_rng(seed)
    truth = generator.random((articles, len(shares))) < shares
    logits = np.where(truth, 1.5, -1.5) + generator.normal(0, 1, truth.shape) + shift
    return sigmoid(logits).astype(np.float32), truth


def f1(truth, predicted):
    from sklearn.metrics import f1_score

    return f1_score(truth, predicted, average=None, zero_division=0.0)


@pytest.fixture
def without_smoothing(monkeypatch):
    monkeypatch.setattr(thresholds, "PSEUDO_ARTICLES", 1e-9)


@pytest.mark.usefixtures("without_smoothing")
def test_no_threshold_of_the_grid_gives_a_category_a_higher_f1():
    probabilities, truth = synthetic(400)
    chosen = thresholds.choose_thresholds(probabilities, truth)
    best = np.max([f1(truth, probabilities >= value) for value in GRID[::4]], axis=0)
    assert (f1(truth, probabilities >= np.float32(chosen.values)) >= best - 1e-9).all()


def test_the_figures_are_scikit_learns_of_the_labels_that_are_assigned():
    from sklearn.metrics import accuracy_score, f1_score, precision_score

    probabilities, truth = synthetic()
    for min_labels in (0, 1):
        chosen = thresholds.choose_thresholds(probabilities, truth, min_labels=min_labels)
        labels = assign_labels(probabilities, np.float32(chosen.values), min_labels=min_labels)
        present = np.flatnonzero(truth.any(axis=0))
        expected = {
            "micro_f1": f1_score(truth, labels, average="micro"),
            "macro_f1": f1_score(truth, labels, average="macro", labels=present),
            "precision": precision_score(truth, labels, average="micro"),
            "exact_matches": accuracy_score(truth, labels),
        }
        assert {name: getattr(chosen, name) for name in expected} == pytest.approx(expected, abs=1e-6)


def lonely():
    """Return articles of which one alone has the last category, with an extreme probability of it."""
    probabilities, truth = synthetic(shares=(0.4, 0.4, 0.4, 0.0), shift=(0.0, 0.0, 0.0, 0.0))
    truth[0, 3], probabilities[0, 3] = True, 0.9995
    return probabilities, truth


def test_a_category_with_few_articles_has_a_threshold_closer_to_that_which_is_best_for_all(monkeypatch):
    probabilities, truth = lonely()
    chosen = thresholds.choose_thresholds(probabilities, truth)
    with monkeypatch.context() as patch:
        patch.setattr(thresholds, "PSEUDO_ARTICLES", 1e-9)
        unsmoothed = thresholds.choose_thresholds(probabilities, truth)
    assert chosen.common < chosen.values[3] < unsmoothed.values[3] - 0.05
    truth[0, 3] = False
    unknown = thresholds.choose_thresholds(probabilities, truth)
    assert unknown.values[3] == unknown.common


def test_smoothed_thresholds_generalise_better_for_rare_categories(monkeypatch):
    shares, shift = (0.3,) * 5 + (0.01,) * 30, (0.0,) * 5 + (-2.0,) * 30
    samples = [synthetic(400, shares=shares, shift=shift, seed=seed) for seed in range(6)]

    def macro_f1():
        scores = []
        for (probabilities, truth), (others, other_truth) in pairwise(samples):
            values = np.float32(thresholds.choose_thresholds(probabilities, truth).values)
            scores.append(f1(other_truth, others >= values)[other_truth.any(axis=0)].mean())
        return np.mean(scores)

    smoothed = macro_f1()
    monkeypatch.setattr(thresholds, "PSEUDO_ARTICLES", 1e-9)
    assert smoothed > macro_f1() + 0.01


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_a_target_precision_is_reached_with_the_lowest_thresholds(target):
    probabilities, truth = synthetic(4000)
    chosen = thresholds.choose_thresholds(probabilities, truth, goal="precision", target_precision=target)
    assert (chosen.goal, chosen.target_precision) == ("precision", target)

    def precision(values):
        labels, of_labels = (matrix[:, :2] for matrix in (probabilities >= np.float32(values), truth))
        return (labels & of_labels).sum(axis=0) / labels.sum(axis=0)  # the other categories have few articles

    assert (precision(chosen.values) > target - 0.02).all()
    assert (precision(np.array(chosen.values) * 0.8) < precision(chosen.values)).all()


def test_a_precision_that_no_threshold_reaches_leaves_the_highest_threshold():
    probabilities, truth = np.full((100, 2), 1.0, dtype=np.float32), np.zeros((100, 2), dtype=np.bool_)
    truth[:10] = True
    chosen = thresholds.choose_thresholds(probabilities, truth, goal="precision", target_precision=0.9)
    assert chosen.values == (round(float(GRID[-1]), 6),) * 2


def test_a_precision_needs_a_target():
    with pytest.raises(ValueError, match="needs a target_precision"):
        thresholds.choose_thresholds(*synthetic(10), goal="precision")


def test_of_equally_good_thresholds_the_middle_is_chosen():
    truth = np.array([[True, False], [False, True]] * 20)
    probabilities = np.where(truth, 0.9, 0.1).astype(np.float32)
    assert thresholds.choose_thresholds(probabilities, truth).values == pytest.approx((0.5, 0.5), abs=0.02)


def test_articles_without_any_label_are_allowed():
    probabilities, truth = synthetic(20, shares=(0.0, 0.0), shift=(0.0, 0.0))
    none = thresholds.choose_thresholds(probabilities, truth, min_labels=0)
    assert (none.macro_f1, none.values) == (0, (none.common, none.common))
    assert thresholds.choose_thresholds(probabilities, truth, min_labels=1).exact_matches == 0


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 1))
def test_the_slices_of_articles_do_not_change_the_result(articles, cells, min_labels):
    generator = np.random.default_rng(articles)
    probabilities, truth = generator.random((articles, 3), dtype=np.float32), generator.random((articles, 3)) < 0.4
    expected = thresholds.choose_thresholds(probabilities, truth, min_labels=min_labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "_CELLS", cells)
        assert thresholds.choose_thresholds(probabilities, truth, min_labels=min_labels) == expected


def test_they_are_plain_json_and_back():
    chosen = thresholds.choose_thresholds(*synthetic(200), min_labels=1)
    stored = json.loads(json.dumps(chosen.as_json()))
    assert CategoryThresholds.of(stored) == chosen
    assert str(chosen).startswith("thresholds from 0.")
    assert "on 200 validation articles" in str(chosen)
