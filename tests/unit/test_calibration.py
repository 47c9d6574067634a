"""Calibration, by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import calibration
from classifier.evaluation.sample import Answers
from tests.unit.judged import sample

ANSWERS = Answers(("a", "b"), np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))
TRUTH = np.array(["a", "b", "b", "b"])


def test_the_error_is_the_gap_between_confidence_and_accuracy_bin_by_bin():
    totals = calibration.contributions(TRUTH, ANSWERS).sum(axis=0)
    # two articles of confidence 0.9, half of them right; two of 0.6, both right
    assert calibration.error(totals) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_the_brier_score_is_scikit_learns():
    from sklearn.metrics import brier_score_loss

    ours = calibration.brier(TRUTH, ANSWERS).mean()
    assert ours == pytest.approx(2 * brier_score_loss(TRUTH == "a", ANSWERS.probabilities[:, 0]))
    assert calibration.mean_brier(calibration.contributions(TRUTH, ANSWERS).sum(axis=0)) == pytest.approx(ours)


def test_a_category_that_the_model_does_not_know_counts_as_certainty_missed():
    known = Answers(("a", "b"), np.array([[1.0, 0.0]]))
    assert calibration.brier(np.array(["new"]), known)[0] == pytest.approx(2.0)


def test_bins_hold_every_article_once():
    found = calibration.bins(sample(TRUTH), ANSWERS)
    assert [(one.articles, one.confidence, one.accuracy) for one in found] == [
        (2, pytest.approx(0.6), 1.0),
        (2, pytest.approx(0.9), 0.5),
    ]
    assert all(one.low < one.confidence <= one.high for one in found)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_edges_belong_to_the_outer_bins(confidence):
    answers = Answers(("a",), np.array([[confidence]]))
    assert calibration.contributions(np.array(["a"]), answers)[0, 2 * calibration.BINS : -1].sum() == 1
