"""The coefficients of agreement are those of published examples and of scikit-learn; few articles give no figure."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from classifier.evaluation import annotator_agreement
from classifier.evaluation.annotator_agreement import (
    MIN_ARTICLES,
    IndependentOpinion,
    cohen_kappa,
    krippendorff_alpha,
    measure_agreement,
)


def one_hot(values, names=None):
    from scipy.sparse import csr_array

    names = sorted({*values}) if names is None else names
    return csr_array(np.array([[float(value == name) for name in names] for value in values]))


def alpha_of(*rows):
    """Return alpha of the observers' values, `.` for none, as the examples print them."""
    cells = [(unit, value) for row in rows for unit, value in enumerate(row.split()) if value != "."]
    units, values = zip(*cells, strict=True)
    return krippendorff_alpha(np.array(units), one_hot(values))


def kappa_of(first, second):
    names = sorted({*first, *second})
    return cohen_kappa(one_hot(first, names), one_hot(second, names))


def opinion(article, annotator, *labels, month="2026-01"):
    return IndependentOpinion(article, annotator, labels, month)


class TestPublishedExamples:
    """Krippendorff (2011), sections A to C; Cohen (1968), the unweighted kappa of table 1."""

    def test_two_observers_and_binary_data(self):
        alpha, *_ = alpha_of("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
        assert alpha.value == pytest.approx(0.095, abs=0.0005)

    def test_two_observers_and_nominal_data(self):
        alpha, *_ = alpha_of("a a b b d c c c e d d a", "b a b b b c c c e d d d")
        assert alpha.value == pytest.approx(0.692, abs=0.0005)

    def test_four_observers_and_missing_data(self):
        alpha, *_ = alpha_of(
            "1 2 3 3 2 1 4 1 2 . . .",
            "1 2 3 3 2 2 4 1 2 5 . 3",
            ". 3 3 3 2 3 4 2 2 5 1 .",
            "1 2 3 3 2 4 4 1 2 5 1 .",
        )
        assert alpha.value == pytest.approx(0.743, abs=0.0005)

    def test_the_kappa_of_two_hundred_cases(self):
        table = {"aa": 88, "ab": 10, "ac": 2, "ba": 14, "bb": 40, "bc": 6, "ca": 18, "cb": 10, "cc": 12}
        first, second = zip(*(pair for pair, count in table.items() for _ in range(count)), strict=True)
        assert kappa_of(first, second).value == pytest.approx(0.492, abs=0.0005)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed):
    from sklearn.metrics import cohen_kappa_score

    generator = np.random.default_rng(seed)
    first = generator.integers(4, size=60)
    second = np.where(generator.random(60) < 0.5, first, generator.integers(4, size=60))
    expected = cohen_kappa_score(first, second)
    kappa = kappa_of(first.tolist(), second.tolist())
    assert kappa.value == pytest.approx(expected)
    assert kappa.low < kappa.value < kappa.high


@pytest.mark.parametrize("seed", range(3))
def test_the_alpha_of_a_category_is_that_of_the_binary_question(seed):
    generator = np.random.default_rng(seed)
    values = generator.choice(list("abc"), size=(3, 40))
    _, *by_category = alpha_of(*(" ".join(row) for row in values))
    for name, coefficient in zip("abc", by_category, strict=True):
        binary, *_ = alpha_of(*(" ".join("01"[value == name] for value in row) for row in values))
        assert coefficient.value == pytest.approx(binary.value)
        assert coefficient.low == pytest.approx(binary.low, abs=0.05)


def test_the_interval_contains_the_true_value_about_as_often_as_it_says():
    """Two annotators who agree by half beyond chance on two equally frequent categories have kappa 0.5."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        first = generator.integers(2, size=150)
        second = np.where(generator.random(150) < 0.5, first, generator.integers(2, size=150))
        kappa = kappa_of(first.tolist(), second.tolist())
        inside += kappa.low <= 0.5 <= kappa.high
    assert 88 <= inside <= 100


def test_without_variation_there_is_no_figure():
    assert kappa_of("aaaa", "aaaa") is None
    assert alpha_of("a a a", "a a a") == [None, None]


class TestReport:
    def sample(self, count, *, wrong=0, month="2026-01", first=0):
        """Return opinions of ann, bob and cid: cid differs on the first `wrong` articles."""
        names = ("a", "b")
        for number in range(first, first + count):
            correct, wrong_name = names[number % 2], names[(number + 1) % 2]
            yield opinion(number, "ann", correct, month=month)
            yield opinion(number, "bob", correct, month=month)
            yield opinion(number, "cid", wrong_name if number - first < wrong else correct, month=month)

    def test_the_lowest_figures_come_first(self):
        report = measure_agreement([*self.sample(40, wrong=10)], "single")
        assert (report.articles, report.opinions) == (40, 120)
        assert [(pair.first, pair.second, pair.articles, pair.agreed) for pair in report.pairs] == [
            ("ann", "cid", 40, 30),
            ("bob", "cid", 40, 30),
            ("ann", "bob", 40, 40),
        ]
        assert [pair.kappa.value for pair in report.pairs] == pytest.approx([0.5, 0.5, 1.0])
        assert [each.annotator for each in report.annotators] == ["cid", "ann", "bob"]
        assert report.annotators[0].kappa.value == pytest.approx(0.5)
        assert 0.5 < report.alpha.value < 1
        json.dumps(dataclasses.asdict(report))

    def test_an_annotators_drift_is_seen_by_month_and_few_articles_have_no_figure(self):
        rows = [
            *self.sample(30, month="2026-01"),
            *self.sample(30, wrong=15, month="2026-02", first=100),
            *self.sample(MIN_ARTICLES - 1, wrong=5, month="2026-03", first=200),
        ]
        drifting = measure_agreement(rows, "single").annotators[0]
        assert drifting.annotator == "cid"
        january, february, march = drifting.months
        assert (january.kappa.value, february.kappa.value) == pytest.approx((1.0, 0.0))
        assert february.kappa.high < january.kappa.low
        assert (march.month, march.articles, march.kappa) == ("2026-03", MIN_ARTICLES - 1, None)

    def test_others_who_disagree_have_no_majority(self):
        rows = [opinion(1, "ann", "a"), opinion(1, "bob", "b"), opinion(1, "cid", "a")]
        articles = {each.annotator: each.articles for each in measure_agreement(rows, "single").annotators}
        assert articles == {"ann": 0, "bob": 1, "cid": 0}

    def test_a_plurality_is_no_majority_of_a_single_label_task(self):
        labels = {"ann": "a", "bob": "a", "cid": "b", "dan": "c", "eve": "d"}
        rows = [opinion(1, name, label) for name, label in labels.items()]
        assert all(each.articles == 0 for each in measure_agreement(rows, "single").annotators)

    def test_of_a_multi_label_task_most_may_give_none(self):
        rows = [opinion(1, "ann", "gold"), opinion(1, "bob"), opinion(1, "cid")]
        articles = {each.annotator: each.articles for each in measure_agreement(rows, "multi").annotators}
        assert articles == {"ann": 1, "bob": 0, "cid": 0}, "for bob and cid, half of the others gave gold"

    def test_label_sets_differ_by_each_label_that_only_one_has(self):
        pairs = [(("gold", "ship"), ("gold",)), ((), ()), (("ship",), ("ship",)), (("grain",), ())] * 10
        rows = [
            opinion(number, name, *labels)
            for number, sets in enumerate(pairs)
            for name, labels in zip(("ann", "bob"), sets, strict=True)
        ]
        report = measure_agreement(rows, "multi")
        (pair,) = report.pairs
        # a quarter of the articles differ in ship and a quarter in grain; expected: gold, ship and grain
        expected = (2 * 0.25 * 0.75) + (0.5 * 0.75 + 0.5 * 0.25) + 0.25
        assert pair.kappa.value == pytest.approx(1 - 0.5 / expected)
        assert pair.agreed == 20
        by_category = {each.category: each for each in report.categories}
        assert by_category["grain"].alpha is None, "ten articles are too few"
        assert by_category["ship"].alpha.value < 1

    def test_single_opinions_do_not_count(self):
        assert measure_agreement([], "single").articles == 0
        report = measure_agreement([opinion(1, "ann", "a"), opinion(2, "bob", "a")], "single")
        assert (report.articles, report.opinions, report.pairs) == (0, 0, ())

    def test_no_label_anywhere_is_no_figure(self):
        rows = [opinion(number, name) for number in range(30) for name in ("ann", "bob")]
        report = measure_agreement(rows, "multi")
        assert (report.articles, report.alpha, report.categories) == (30, None, ())
        assert report.pairs[0].agreed == 30


def test_the_source_of_each_method_is_named():
    assert "Cohen (1960)" in annotator_agreement.__doc__
    assert "Krippendorff (2011)" in annotator_agreement.__doc__
