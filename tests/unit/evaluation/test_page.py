"""The page shows the stored figures, escapes every value, and loads nothing else."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from classifier import charts
from classifier.charts import Dot
from classifier.evaluation import gate, results
from classifier.evaluation.margins import Margins
from classifier.evaluation.metrics import compute_metrics
from classifier.evaluation.page import html
from classifier.evaluation.page.html import Subject
from classifier.evaluation.slices import slices
from classifier.evaluation.test_articles import Predictions
from classifier.model import temperature_scaling
from tests.support.factories import NAMES, make_articles, make_comparison, make_predictions, make_truth, wrong_on
from tests.support.html_reader import read_html

EVIL = '"><script>alert(1)</script>&'


def subject(name, truth, predictions, *, names=NAMES, temperature=1.0, threshold=None, **columns):
    """Evaluate synthetic predictions as the pipeline does, with a round trip through JSON."""
    articles = make_articles(truth, **columns)
    metrics = {
        **compute_metrics(list(truth), list(predictions.predicted)).as_json(),
        "baseline": compute_metrics(list(truth), list(truth)).as_json(),
        "engine": "openvino f32",
        "articles_per_second": 61.5,
        "report": results.build_results(
            articles, predictions, truth, temperature=temperature, threshold=threshold, target_precision=0.99
        ),
    }
    return Subject(name, json.loads(json.dumps(metrics)))


@pytest.fixture(scope="module")
def pages():
    truth = make_truth(200)
    candidate = subject(
        "m2", truth, make_predictions(wrong_on(truth, np.arange(0, 200, 19))), months=np.full(200, "2026-01")
    )
    champion = subject(
        "m1", truth, make_predictions(wrong_on(truth, np.arange(0, 200, 9))), months=np.full(200, "2026-01")
    )
    verdict = gate.apply_rules(
        make_comparison(truth, truth, wrong_on(truth, np.arange(0, 200, 9))), Margins(resamples=500)
    )
    return html.render_page(candidate, None), html.render_page(
        candidate, champion, rule_results=verdict.as_json()["rule_results"], verdict=verdict.verdict
    )


def test_a_page_fetches_nothing_and_runs_nothing(pages):
    for page in pages:
        reader = read_html(page)
        assert reader.fetched == []
        assert {"svg", "table", "style"} <= reader.names
        assert "script" not in reader.names
        assert not re.search(r"url\(|@import|https?://", page)


def test_a_page_has_the_figures_with_their_intervals(pages):
    alone, compared = pages
    assert "200 test articles in 200 clusters" in alone
    assert re.search(r"accuracy</td><td>0\.9450 <span class=\"faint\">0\.9\d+ to 0\.9\d+</span>", alone)
    assert "Expected calibration error" not in alone
    assert "expected calibration error" in alone
    assert alone.split("</style>")[1].count("champion") == 0
    for part in ("compared with the champion m1", "Gate: ", "champion&#39;s F1", "Accuracy by month", "macro-F1"):
        assert part in compared


@pytest.mark.parametrize("left_out", [(0, 3), (3, 0), (3, 3)])
def test_a_page_says_that_each_models_figures_exclude_its_training_articles(pages, left_out):
    truth = make_truth(200)
    candidate = subject("m2", truth, make_predictions(wrong_on(truth, np.arange(0, 200, 19))))
    first, second = (
        Subject(name, {**candidate.metrics, "left_out": count}) for name, count in zip("ab", left_out, strict=True)
    )
    page = html.render_page(first, second)
    assert "the same articles except, for each of the two, those that it was trained on." in page
    assert "compared with the champion m1 on the same articles." in pages[1]


def test_names_cannot_break_out_of_the_page():
    names = (EVIL, "b")
    truth = np.array([EVIL, "b"] * 30)
    predictions = make_predictions(np.array(["b", "b"] * 30), names=names)
    page = html.render_page(subject(EVIL, truth, predictions, sources=np.full(60, EVIL)), None)
    assert "<script" not in page
    assert "&#34;&gt;&lt;script&gt;" in page
    assert "script" not in read_html(page).names


def test_names_cannot_break_out_of_a_chart():
    drawing = charts.dots([(EVIL, [Dot(EVIL, 0.5, 0.4, 0.6, "first")])], title=EVIL)
    assert "<script" not in drawing.markup()
    root = ET.fromstring(drawing.markup())
    assert root.get("aria-label") == EVIL
    assert [title.text for title in root.iter("title")] == [EVIL, f"{EVIL}: 50 % (40 % to 60 %)"]


def test_mistakes_are_named_by_id_the_most_confident_first():
    truth = make_truth(8)
    predictions = make_predictions(wrong_on(truth, [2, 5]), confidence=np.linspace(0.6, 0.95, 8))
    mistakes = results.build_results(make_articles(truth), predictions, truth)["mistakes"]
    assert [(row["article"], row["annotated"], row["predicted"]) for row in mistakes] == [(6, "b", "c"), (3, "c", "d")]


def test_accuracy_against_coverage_begins_with_the_most_confident():
    truth = make_truth(20)
    predictions = make_predictions(wrong_on(truth, np.arange(10)), confidence=np.linspace(0.4, 0.9, 20))
    points = {
        point["coverage"]: point["accuracy"]
        for point in results.build_results(make_articles(truth), predictions, truth)["coverage"]
    }
    assert (points[0.5], points[1.0]) == (1.0, 0.5)


def test_every_article_is_in_one_slice_of_each_dimension():
    articles = make_articles(
        make_truth(6), sources=["x", "y"] * 3, words=[0, 49, 50, 999, 1000, 5000], months=["2026-01", ""] * 3
    )
    parts = list(slices(articles))
    for dimension in ("source", "length", "month"):
        assert sum(part.rows for part in parts if part.dimension == dimension).tolist() == [1] * 6
    lengths = [(part.name, int(part.rows.sum())) for part in parts if part.dimension == "length"]
    assert lengths[0] == ("0 to 49 words", 2)
    assert lengths[-1] == ("1000 words and more", 2)
    assert "unknown" in {part.name for part in parts if part.dimension == "month"}


class TestConfidence:
    """The effect of a temperature and of a threshold on the test articles."""

    @pytest.fixture
    def calibrated(self):
        truth = make_truth(200)
        confidence = np.linspace(0.5, 0.9, 200)
        return subject(
            "m2",
            truth,
            make_predictions(wrong_on(truth, range(40)), confidence=confidence),
            temperature=2.0,
            threshold=0.6,
        )

    def test_the_page_shows_the_calibration_before_and_after(self, calibrated):
        calibration = calibrated.report["calibration"]
        page = html.render_page(calibrated, None)
        assert f"from {calibration['before']['ece']:.4f} to {calibration['ece']:.4f}" in page
        assert page.count('class="uncalibrated"') == len(calibration["before"]["bins"])
        assert "The temperature is 2.000, fitted on the validation split" in page
        read_html(page)

    def test_without_the_temperature_the_probabilities_are_those_that_it_was_applied_to(self):
        raw = np.full((200, 4), 0.1)
        raw[np.arange(200), np.arange(200) % 4] = 0.7
        predictions = make_predictions(make_truth(200))
        warm = Predictions(
            predictions.categories,
            temperature_scaling.apply_temperature(raw.astype(np.float32), 3.0).astype(np.float64),
        )
        built = results.build_results(make_articles(make_truth(200)), warm, make_truth(200), temperature=3.0)[
            "calibration"
        ]
        assert built["before"]["bins"][0]["confidence"] == pytest.approx(0.7, abs=1e-5)
        assert built["bins"][0]["confidence"] < 0.5

    def test_precision_and_coverage_are_of_the_labels_above_the_threshold(self, calibrated):
        abstention = calibrated.report["abstention"]
        assert abstention["coverage"] == pytest.approx(0.75, abs=0.01)
        assert abstention["precision"] == 1.0
        page = html.render_page(calibrated, None)
        assert "of these articles, and 100 % of these labels are correct" in page
        assert "the target is 99 %" in page

    def test_a_model_that_is_not_calibrated_and_never_abstains_has_neither(self, pages):
        assert "temperature" not in pages[0]
        assert "abstains below" not in pages[0]
        assert "never abstains" not in pages[0]
        assert 'class="uncalibrated"' not in pages[0]

    def test_the_page_says_if_the_model_abstains_from_all_articles(self):
        truth = make_truth(60)
        page = html.render_page(subject("m", truth, make_predictions(truth, confidence=0.5), threshold=0.99), None)
        assert "it abstains from all of these articles" in page


class TestManyCategories:
    """If there is more than a user can look through, a page shows the part that matters and counts the rest."""

    NAMES = tuple(f"c{number:04d}" for number in range(1_000))

    def many(self, categories, articles):
        truth = np.repeat(np.array(categories), 2)
        predicted = truth.copy()
        predicted[0 : 2 * articles : 2] = categories[-1]
        metrics = compute_metrics(list(truth), list(predicted)).as_json()
        return json.loads(json.dumps({**metrics, "baseline": metrics}))

    def section(self, heading, *, by_category=None, slices=None):
        """Return a section of the page, with these figures in place of those of a small evaluation."""
        truth = make_truth(40)
        metrics = dict(subject("m", truth, make_predictions(truth)).metrics)
        metrics["by_category"] = by_category or metrics["by_category"]
        metrics["report"] = {**metrics["report"], "slices": slices or metrics["report"]["slices"]}
        page = html.render_page(Subject("m", metrics), None)
        return page.partition(f"<h2>{heading}</h2>")[2].partition("</section>")[0]

    def test_the_pairs_that_are_confused_most_replace_a_million_cells(self):
        metrics = self.many(self.NAMES, 500)
        page = html.confusion(metrics)
        assert page.count("<td") == 3 * html.MAX_PAIRS
        assert len(page) < 10_000
        assert "And 470 more" in page
        assert metrics["confusion"] == []

    def test_a_matrix_that_an_earlier_version_kept_whole_shows_the_same(self):
        metrics = self.many(self.NAMES, 500)
        matrix = np.zeros((1_000, 1_000), int)
        for true, guess, count in metrics["confused"]:
            matrix[true, guess] = count
        earlier = {**metrics, "confusion": matrix.tolist()}
        del earlier["confused"]
        assert html.confusion(earlier) == html.confusion(metrics)

    @pytest.mark.parametrize(("categories", "cells"), [(8, 64), (30, 900), (31, 3 * 4)])
    def test_a_matrix_is_whole_up_to_thirty_categories(self, categories, cells):
        assert html.confusion(self.many(self.NAMES[:categories], 4)).count("<td") == cells

    def test_the_categories_with_the_lowest_f1_stand_first_and_those_without_articles_last(self):
        by_category = self.many(self.NAMES, 500)["by_category"]
        by_category["only predicted"] = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
        section = self.section("Categories", by_category=by_category)
        shown = re.findall(r"<tr><td>([^<]+)</td>", section)
        assert len(shown) == html.MAX_CATEGORIES
        assert shown[0] == "c0999", "it was predicted for all the mistakes"
        assert "only predicted" not in shown
        assert "And 951 more; the lowest F1 first." in section

    def test_only_the_largest_of_many_slices_are_drawn(self):
        parts = [
            {
                "dimension": "source",
                "name": f"s{n}",
                "articles": n,
                "accuracy": 1.0,
                "interval": (1, 1),
                "baseline": 1.0,
            }
            for n in range(1_000)
        ]
        section = self.section("Accuracy by source", slices=parts)
        assert section.count('text-anchor="end"') == html.MAX_SLICES
        assert "s999 (999)" in section
        assert "And 960 more; the slices with the most articles are shown." in section
