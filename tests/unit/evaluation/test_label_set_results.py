"""The report on a multi-label model: intervals, calibration, slices and mistakes, as plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from classifier.evaluation import label_set_results
from classifier.evaluation.label_set_metrics import compute_label_set_metrics, exact_matches
from classifier.evaluation.label_set_results import LabelCalibration, build_label_set_results
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.evaluation.results import confidence_figures
from classifier.model.sigmoid import logit, sigmoid
from tests.support.factories import NAMES, flip, make_label_set_articles, make_label_set_predictions, make_label_sets

TRUTH = make_label_sets(400)
PREDICTED = flip(TRUTH, (np.arange(0, 400, 9), np.arange(0, 400, 9) % 4))
BASELINE = flip(TRUTH, (np.arange(0, 400, 4), np.arange(0, 400, 4) % 3))


@pytest.fixture(scope="module")
def report():
    articles = make_label_set_articles(TRUTH, sources=np.where(np.arange(400) < 100, "wire", "web"))
    built = build_label_set_results(
        articles,
        make_label_set_predictions(PREDICTED),
        BASELINE,
        LabelCalibration(temperature=2.0, thresholds=(0.3, 0.4, 0.5, 0.6)),
    )
    return json.loads(json.dumps(built))


def test_intervals_contain_the_measured_figures(report):
    for name, predicted in (("intervals", PREDICTED), ("baseline_intervals", BASELINE)):
        metrics = compute_label_set_metrics(TRUTH, predicted, NAMES)
        for figure in ("micro_f1", "macro_f1", "exact_matches"):
            low, high = report[name][figure]
            assert low < getattr(metrics, figure) < high
            assert high - low < 0.12
    assert report["clusters"] == 400


def test_the_interval_of_macro_f1_is_around_it_although_rare_categories_are_missing_in_resamples():
    """Sixty categories of one article each are never predicted; a resample lacks a third of them."""
    truth = np.zeros((400, 100), dtype=bool)
    truth[np.arange(400), np.arange(400) % 40] = True
    truth[np.arange(60), np.arange(40, 100)] = True
    predicted = truth.copy()
    predicted[:, 40:] = False
    names = tuple(f"c{number:03d}" for number in range(100))
    low, high = label_set_results._score_intervals(make_label_set_articles(truth, categories=names), predicted)[
        "macro_f1"
    ]
    assert (low + high) / 2 == pytest.approx(0.4, abs=0.01)


def test_calibration_is_of_decisions_and_of_assigned_labels(report):
    calibration = report["calibration"]
    wrong = (PREDICTED != TRUTH).mean()
    assert calibration["ece"] == pytest.approx(abs(wrong - 0.1), abs=0.03)
    precision = TRUTH[PREDICTED].mean()
    assert calibration["label_ece"] == pytest.approx(abs(precision - 0.9))
    assert sum(bin_["articles"] for bin_ in calibration["bins"]) == TRUTH.size
    assert confidence_figures(report)["label_ece"] == calibration["label_ece"]


def test_the_calibration_before_the_temperature_is_that_of_the_network():
    raw = np.where(TRUTH, np.float32(0.8), np.float32(0.1))
    scaled = LabelSetPredictions(NAMES, sigmoid(logit(raw) / 2).astype(np.float32), TRUTH)
    built = build_label_set_results(make_label_set_articles(TRUTH), scaled, TRUTH, LabelCalibration(temperature=2.0))
    confidences = [bin_["confidence"] for bin_ in built["calibration"]["before"]["bins"]]
    assert confidences == pytest.approx([0.1, 0.8], abs=1e-5)
    assert built["calibration"]["before"]["label_ece"] == pytest.approx(0.2, abs=1e-5)


def test_each_category_has_its_threshold(report):
    assert report["thresholds"] == {
        "values": {"a": 0.3, "b": 0.4, "c": 0.5, "d": 0.6},
        "target_precision": None,
    }


def test_slices_have_the_share_of_exact_matches(report):
    wire = next(part for part in report["slices"] if part["name"] == "wire")
    assert wire["articles"] == 100
    assert wire["accuracy"] == pytest.approx(exact_matches(TRUTH, PREDICTED)[:100].mean())
    assert wire["baseline"] == pytest.approx(exact_matches(TRUTH, BASELINE)[:100].mean())
    assert wire["interval"][0] < wire["accuracy"] < wire["interval"][1]


def test_precision_against_recall_by_hand():
    truth = np.array([[True, False], [True, True], [False, True]])
    probabilities = np.array([[0.9, 0.8], [0.7, 0.6], [0.001, 0.005]])
    points = {point["recall"]: point for point in label_set_results._precision_recall(truth, probabilities)}
    assert points[0.25]["precision"] == 1.0
    assert points[0.5] == {"recall": 0.5, "precision": pytest.approx(2 / 3), "probability": 0.7}
    assert points[0.75]["precision"] == pytest.approx(3 / 4)
    assert max(points) == 0.75, "the last label has a probability below the smallest that counts"


def test_mistakes_are_named_once_an_article_the_most_confident_first():
    truth = np.array([[True, False], [False, False], [True, True], [True, False]])
    predicted = np.array([[False, True], [True, False], [True, False], [True, False]])
    probabilities = np.array([[0.05, 0.7], [0.8, 0.1], [0.9, 0.4], [0.9, 0.0]])
    predictions = LabelSetPredictions(("a", "b"), probabilities, predicted)
    articles = make_label_set_articles(truth, categories=("a", "b"))
    mistakes = build_label_set_results(articles, predictions, truth)["mistakes"]
    assert [(row["article"], row["category"], row["mistake"]) for row in mistakes] == [
        (1, "a", "missed"),
        (2, "a", "wrong"),
        (3, "b", "missed"),
    ]
    assert mistakes[0] == {
        "article": 1,
        "category": "a",
        "mistake": "missed",
        "annotated": ["a"],
        "predicted": ["b"],
        "confidence": pytest.approx(0.95),
    }


def test_a_model_that_assigns_nothing_has_a_report_too():
    nothing = np.zeros_like(TRUTH)
    predictions = make_label_set_predictions(nothing, confidence=0.999)
    built = build_label_set_results(make_label_set_articles(TRUTH), predictions, TRUTH)
    assert (built["calibration"]["label_ece"], built["intervals"]["label_ece"]) == (None, None)
    assert built["precision_recall"] == []
    assert built["thresholds"] is None
    assert len(json.dumps(built)) < 20_000


def test_a_category_that_the_model_does_not_know_is_missed():
    narrow = LabelSetPredictions(NAMES[:3], np.where(TRUTH, 0.9, 0.1)[:, :3], TRUTH[:, :3])
    built = build_label_set_results(
        make_label_set_articles(TRUTH), narrow, TRUTH, LabelCalibration(2.0, thresholds=(0.5, 0.5, 0.5))
    )
    assert built["mistakes"][0]["category"] == "d"
    assert built["mistakes"][0]["confidence"] == 1.0
    assert set(built["thresholds"]["values"]) == set(NAMES[:3])
