"""The page of a multi-label model stays readable with ninety categories, and escapes every value."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from classifier.evaluation import gate
from classifier.evaluation.label_set_metrics import compute_label_set_metrics
from classifier.evaluation.label_set_results import LabelCalibration, build_label_set_results
from classifier.evaluation.label_set_rules import LabelSetComparison
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.evaluation.margins import Margins
from classifier.evaluation.page import html, label_set_tables
from classifier.evaluation.page.html import Subject
from tests.support.factories import make_label_set_articles
from tests.support.html_reader import read_html

EVIL = '"><script>alert(1)</script>&'
COUNT = 600


def category_names(count):
    return tuple(f"topic-{number:02d}" for number in range(count))


def synthetic(categories, *, seed=0, error=0.004, truth_seed=0):
    """Return a truth whose categories become rarer, and a model's predictions with wrong decisions."""
    shares = 0.4 / np.arange(1, categories + 1) ** 0.9
    truth = np.random.default_rng(truth_seed).random((COUNT, categories)) < shares
    truth[:, -1] = False
    generator = np.random.default_rng(seed + 1)
    predicted = truth ^ (generator.random(truth.shape) < np.where(truth, 0.2, error))
    probabilities = np.where(predicted, 0.5, 0.0) + 0.5 * generator.random(truth.shape)
    return truth, LabelSetPredictions(category_names(categories), probabilities, predicted)


def subject(name, truth, predictions, baseline, *, temperature=1.0, **columns):
    """Evaluate synthetic predictions as the pipeline does, with a round trip through JSON."""
    articles = make_label_set_articles(truth, categories=predictions.categories, **columns)
    thresholds = np.linspace(0.2, 0.6, len(predictions.categories))
    metrics = {
        **compute_label_set_metrics(truth, predictions.predicted, predictions.categories).as_json(),
        "baseline": compute_label_set_metrics(truth, baseline, predictions.categories).as_json(),
        "engine": "openvino f32",
        "articles_per_second": 61.5,
        "report": build_label_set_results(
            articles, predictions, baseline, LabelCalibration(temperature, thresholds.tolist())
        ),
    }
    return Subject(name, json.loads(json.dumps(metrics)))


@pytest.fixture(scope="module")
def page():
    truth, candidate = synthetic(90)
    _, champion = synthetic(90, seed=5, error=0.006)
    _, baseline = synthetic(90, seed=9, error=0.008)
    months = np.array(["2026-01", "2026-02"])[np.arange(COUNT) % 2]
    articles = make_label_set_articles(truth, categories=candidate.categories)
    compared = LabelSetComparison(articles, candidate, champion, baseline.predicted)
    verdict = gate.apply_rules(compared, Margins(resamples=300))
    return html.render_page(
        subject("m2", truth, candidate, baseline.predicted, temperature=1.5, months=months),
        subject("m1", truth, champion, baseline.predicted, months=months),
        rule_results=verdict.as_json()["rule_results"],
        verdict=verdict.verdict,
    )


def section(page, heading):
    return page.partition(f"<h2>{heading}</h2>")[2].partition("</section>")[0]


def test_a_page_is_whole_fetches_nothing_and_runs_nothing(page):
    reader = read_html(page)
    assert reader.fetched == []
    assert {"svg", "table", "details", "style"} <= reader.names
    assert "script" not in reader.names
    assert len(page) < 250_000


def test_the_headline_has_the_figures_with_their_intervals(page):
    figures = section(page, "Figures")
    for title in ("micro-F1", "macro-F1", "exact matches"):
        assert re.search(rf'{title}</td><td>0\.\d+ <span class="faint">0\.\d+ to 0\.\d+</span>', figures)
    assert "Hamming loss</td><td>0.0" in figures
    assert "labels of an article; annotated: " in figures
    assert "expected calibration error of assigned labels" in figures
    assert re.search(r"<h2>Gate: (promote|hold|need more annotations)</h2>", page)
    assert "McNemar&#39;s exact p" in page


def test_the_categories_with_the_most_articles_are_open_and_the_others_unfold(page):
    categories = section(page, "Categories")
    always_open, others, lowest = re.split("<details><summary>", categories)
    assert re.findall(r'scope="row">([^<]+)<', always_open)[:2] == ["topic-00", "topic-01"]
    assert always_open.count('scope="row"') == label_set_tables.TOP_CATEGORIES
    assert others.startswith("The other 70 categories, those with the most articles first</summary>")
    assert others.count('scope="row"') == 70
    scores = [float(score) for score in re.findall(r'class="heat\d+">([\d.]+)<', lowest)]
    assert scores == sorted(scores)
    assert "topic-89" not in lowest, "without a test article there is no F1"
    assert "champion&#39;s F1" in always_open
    assert "darker cells have a lower F1" in always_open


def test_confused_labels_replace_a_matrix(page):
    confused, alone = section(page, "Confused labels").split("<details>")
    assert confused.count('scope="row"') == html.MAX_PAIRS
    assert "predicted instead" in confused
    assert ">none<" not in confused
    assert '<span class="faint">none</span>' in alone
    assert re.search(r"And [\d,]+ more; the most frequent first", confused)
    assert "confusion" not in confused


def test_probabilities_slices_and_mistakes_are_shown(page):
    assert "expected calibration error of decisions from 0." in section(page, "Probabilities")
    assert "Precision of the most probable labels" in page
    assert "Exact matches by month" in page
    assert re.search(r"<td>(missed|wrong)</td><td>(0\.9|1\.0)", section(page, "The most confident mistakes"))


def test_a_small_task_has_one_table_and_no_label_no_chart_data():
    truth, predictions = synthetic(4)
    nothing = LabelSetPredictions(predictions.categories, np.zeros(truth.shape), np.zeros_like(truth))
    page = html.render_page(subject("m", truth, nothing, truth), None)
    assert "<details>" not in page
    assert "expected calibration error of assigned labels</td><td>-</td>" in page
    read_html(page)


def test_names_cannot_break_out_of_the_page():
    truth, predictions = synthetic(2)
    evil = LabelSetPredictions((EVIL, "b"), predictions.probabilities, ~truth)
    page = html.render_page(subject(EVIL, truth, evil, truth, sources=np.full(COUNT, EVIL)), None)
    assert "<script" not in page
    assert "script" not in read_html(page).names


def test_the_sections_and_the_confusion_are_those_of_the_task():
    truth, predictions = synthetic(4)
    model = subject("m", truth, predictions, truth)
    assert "<h2>Confused labels</h2>" in html.sections(model, None)
    assert "missed" in html.confusion(model.metrics)
    perfect = subject("m", truth, LabelSetPredictions(predictions.categories, truth * 0.9, truth), truth)
    assert "Every label is correct, and none is missing." in html.confusion(perfect.metrics)


def test_a_thousand_categories_are_cut():
    truth, predictions = synthetic(1_000)
    model = subject("m", truth, predictions, truth)
    assert len(json.dumps(model.metrics)) < 500_000
    tables = label_set_tables.split_categories(model.metrics)
    assert [len(table.rows) for table in tables][:2] == [label_set_tables.TOP_CATEGORIES, label_set_tables.MAX_ROWS]
    assert tables[1].hidden == 780
    assert "And 780 more; in the same order." in html.render_page(model, None)
