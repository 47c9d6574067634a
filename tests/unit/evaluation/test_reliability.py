"""Calibration, by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import reliability
from classifier.evaluation.test_articles import Predictions
from tests.support.factories import make_articles

ANSWERS = Predictions(("a", "b"), np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))
TRUTH = np.array(["a", "b", "b", "b"])


def test_the_error_is_the_gap_between_confidence_and_accuracy_bin_by_bin():
    totals = reliability.contributions(TRUTH, ANSWERS).sum(axis=0)
    # two articles of confidence 0.9, half of them right; two of 0.6, both right
    assert reliability.calibration_error(totals) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_the_brier_score_agrees_with_scikit_learn():
    from sklearn.metrics import brier_score_loss

    ours = reliability.brier(TRUTH, ANSWERS).mean()
    assert ours == pytest.approx(2 * brier_score_loss(TRUTH == "a", ANSWERS.probabilities[:, 0]))
    assert reliability.mean_brier(reliability.contributions(TRUTH, ANSWERS).sum(axis=0)) == pytest.approx(ours)


def test_an_unknown_category_adds_one_to_the_brier_score():
    predictions = Predictions(("a", "b"), np.array([[1.0, 0.0]]))
    assert reliability.brier(np.array(["new"]), predictions)[0] == pytest.approx(2.0)


def test_every_article_is_in_one_bin():
    bins = reliability.bins(make_articles(TRUTH), ANSWERS)
    assert [(bin_.articles, bin_.confidence, bin_.accuracy) for bin_ in bins] == [
        (2, pytest.approx(0.6), 1.0),
        (2, pytest.approx(0.9), 0.5),
    ]
    assert all(bin_.low < bin_.confidence <= bin_.high for bin_ in bins)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_edges_belong_to_the_outer_bins(confidence):
    answers = Predictions(("a",), np.array([[confidence]]))
    assert reliability.contributions(np.array(["a"]), answers)[0, 2 * reliability.BINS : -1].sum() == 1
