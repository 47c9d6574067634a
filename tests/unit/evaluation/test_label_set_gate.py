"""Every rule of the gate for a multi-label task has a test of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from classifier.evaluation import bootstrap, comparison, gate, label_set_reliability, reliability
from classifier.evaluation.label_sets import LabelSetPredictions
from classifier.evaluation.margins import Margins
from classifier.exceptions import SettingsError
from tests.support.factories import (
    NAMES,
    flip,
    make_label_set_articles,
    make_label_set_comparison,
    make_label_set_predictions,
    make_label_sets,
)

MARGINS = Margins(resamples=1_000)
COUNT = 3000
TRUTH = make_label_sets(COUNT)
ROWS = np.arange(COUNT)


def wrong_every(step, *, first=0, truth=TRUTH):
    """Return label sets with one wrong decision in every `step` articles, in all columns in turn."""
    rows = np.arange(first, len(truth), step)
    return flip(truth, (rows, np.arange(len(rows)) % len(NAMES)))


CHAMPION = wrong_every(25)


def apply(candidate, champion=CHAMPION, margins=MARGINS, truth=TRUTH, **more):
    return gate.apply_rules(make_label_set_comparison(truth, candidate, champion, **more), margins)


def result_of(verdict, rule):
    return next(result for result in verdict.rule_results if result.rule == rule)


def failed_rules(verdict):
    return [result.rule for result in verdict.rule_results if result.outcome == "fail"]


class TestAgainstAChampion:
    def test_a_model_with_the_same_predictions_is_promoted(self):
        verdict = apply(CHAMPION)
        assert verdict.verdict == "promote"
        assert verdict.reasons[0].startswith("macro-F1 0.9")
        assert [result.rule for result in verdict.rule_results] == [
            "macro-F1",
            "exact matches",
            "categories",
            "slices",
            "calibration",
            "speed",
            "baseline",
            "training data",
            "unknown categories",
        ]

    @pytest.mark.parametrize("metric", ["macro_f1", "micro_f1"])
    def test_a_model_that_is_better_is_promoted_under_either_policy_and_metric(self, metric):
        better = make_label_set_predictions(wrong_every(60), confidence=0.97)
        for policy in ("non-inferior", "superior"):
            verdict = apply(better, margins=replace(MARGINS, policy=policy, metric=metric))
            assert verdict.verdict == "promote", verdict.reasons

    @pytest.mark.parametrize(("metric", "name"), [("macro_f1", "macro-F1"), ("micro_f1", "micro-F1")])
    def test_a_model_that_is_worse_by_more_than_the_margin_is_held(self, metric, name):
        verdict = apply(wrong_every(8), margins=replace(MARGINS, metric=metric))
        assert verdict.verdict == "hold"
        assert {name, "exact matches"} <= set(failed_rules(verdict))
        assert f"{name} 0.9" in verdict.reasons[0]

    def test_micro_f1_tolerates_a_rare_category_that_macro_f1_does_not(self):
        """The margins of the other rules are wide, so that the metric alone decides."""
        wide = replace(MARGINS, category_f1=1.0, accuracy=1.0, slice_accuracy=1.0, baseline=1.0)
        rare = np.flatnonzero(TRUTH[:, 3])[::10]
        worse = flip(CHAMPION, (rare, np.full(len(rare), 3)))
        assert failed_rules(apply(worse, margins=wide)) == ["macro-F1"]
        assert apply(worse, margins=replace(wide, metric="micro_f1")).verdict == "promote"

    def test_with_few_articles_a_model_as_good_needs_a_number_of_further_annotations(self):
        truth = make_label_sets(200)
        verdict = apply(wrong_every(19, first=7, truth=truth), champion=wrong_every(19, truth=truth), truth=truth)
        assert verdict.verdict == "need more annotations"
        assert f"{verdict.needed:,} further test annotations would probably decide" in verdict.reasons[0]

    def test_exact_matches_veto_a_model_of_the_same_f1(self):
        """The champion's wrong decisions are in few articles, the candidate's are spread over four times as many."""
        rows = np.arange(0, COUNT, 50)
        champion = TRUTH.copy()
        champion[rows] = ~champion[rows]
        candidate = TRUTH.copy()
        for column in range(4):
            candidate = flip(candidate, (rows + 10 * column, np.full(len(rows), column)))
        verdict = apply(candidate, champion)
        assert "exact matches" in failed_rules(verdict)
        reason = result_of(verdict, "exact matches").reason
        assert reason.startswith("only the candidate has every label correct on ")
        assert "points of exact matches; McNemar's exact p 0.000" in reason

    def test_a_category_that_got_worse_holds_a_model_of_the_same_overall_f1(self):
        rare = np.flatnonzero(TRUTH[:, 3])[::4]
        wide = replace(MARGINS, macro_f1=0.1, accuracy=1.0, slice_accuracy=1.0, baseline=1.0)
        verdict = apply(flip(TRUTH, (rare, np.full(len(rare), 3))), TRUTH, margins=wide)
        assert failed_rules(verdict) == ["categories"]
        assert "F1 of category d: -" in verdict.reasons[0]

    def test_a_slice_that_got_worse_holds_it_too(self):
        sources = np.where(ROWS < 200, "wire", "web")
        candidate = flip(CHAMPION, (np.arange(1, 41), np.arange(40) % 4))
        wide = replace(MARGINS, macro_f1=0.1, accuracy=1.0, category_f1=1.0, baseline=1.0)
        verdict = apply(candidate, margins=wide, sources=sources)
        assert failed_rules(verdict) == ["slices"]
        assert "exact matches on source wire" in verdict.reasons[0]

    def test_worse_calibration_of_the_assigned_labels_holds_a_model_with_the_same_predictions(self):
        verdict = apply(
            make_label_set_predictions(CHAMPION, confidence=0.6), make_label_set_predictions(CHAMPION, confidence=0.97)
        )
        assert failed_rules(verdict) == ["calibration"]
        assert "expected calibration error of assigned labels 0.3" in verdict.reasons[0]

    def test_a_model_that_assigns_nothing_is_held_by_its_f1_alone(self):
        verdict = apply(np.zeros_like(TRUTH))
        assert verdict.verdict == "hold"
        assert result_of(verdict, "calibration").outcome == "not judged"

    def test_a_model_that_computes_more_than_twice_as_much_is_held(self):
        assert failed_rules(apply(CHAMPION, candidate_gflops=22.0, champion_gflops=7.26)) == ["speed"]

    @pytest.mark.parametrize("metric", ["macro", "micro"])
    def test_a_model_clearly_behind_the_baseline_is_held_whatever_the_champion_is(self, metric):
        worse = wrong_every(8)
        verdict = apply(worse, worse, baseline=TRUTH)
        assert failed_rules(verdict) == ["baseline"]
        assert f"{metric}-F1 0.9" in result_of(verdict, "baseline").reason

    def test_near_duplicates_count_once(self):
        truth = make_label_sets(300)
        sides = wrong_every(19, first=7, truth=truth), wrong_every(19, truth=truth)
        once = apply(*sides, truth=truth)
        tenfold = [np.repeat(labels, 10, axis=0) for labels in (truth, *sides)]
        copied = apply(*tenfold[1:], truth=tenfold[0], clusters=np.repeat(np.arange(300), 10))
        lower = [result_of(verdict, "macro-F1").statistics["at_least"] for verdict in (once, copied)]
        assert lower[1] == pytest.approx(lower[0], abs=0.006)

    def test_models_of_different_categories_are_compared_and_unknown_ones_named(self):
        narrow = LabelSetPredictions(NAMES[:3], np.where(TRUTH, 0.9, 0.1)[:, :3], TRUTH[:, :3])
        more = (*NAMES, "e")
        wide = make_label_set_predictions(np.column_stack([TRUTH, np.zeros(COUNT, bool)]), categories=more)
        verdict = apply(narrow, wide)
        assert verdict.verdict == "hold"
        missed = f"because it was not trained on them: d ({TRUTH[:, 3].sum():,})"
        assert f"1 of 4 categories of the test articles, {missed}" in verdict.warnings[0]
        assert "macro-F1 0.7500, champion 1.0000" in verdict.reasons[0]

    def test_a_verdict_is_plain_json_and_the_same_each_time(self):
        once, again = (json.dumps(apply(CHAMPION).as_json()) for _ in range(2))
        assert once == again


class TestAFirstModel:
    def test_a_good_model_is_promoted_even_with_few_articles(self):
        truth = make_label_sets(30)
        verdict = apply(truth, None, truth=truth)
        assert verdict.verdict == "promote", verdict.reasons
        assert verdict.reasons[0].startswith("first model: macro-F1 1.0000")

    @pytest.mark.parametrize("metric", ["macro_f1", "micro_f1"])
    def test_a_model_that_always_names_the_most_frequent_category_is_held(self, metric):
        guess = np.zeros_like(TRUTH)
        guess[:, 0] = True
        verdict = apply(guess, None, margins=replace(MARGINS, metric=metric))
        assert failed_rules(verdict) == ["floor", "guessing"]
        assert "always assigning the most frequent category, a, has 0." in result_of(verdict, "guessing").reason

    def test_a_model_clearly_behind_the_baseline_is_held(self):
        assert failed_rules(apply(wrong_every(8), None, baseline=TRUTH)) == ["baseline"]

    def test_articles_without_any_label_have_no_f1_to_reach(self):
        nothing = np.zeros((60, len(NAMES)), dtype=bool)
        verdict = apply(nothing, None, truth=nothing)
        assert verdict.verdict == "hold"
        assert set(failed_rules(verdict)) == {"floor", "guessing"}


class TestStatistics:
    @given(
        st.tuples(st.integers(2, 30), st.integers(2, 5)).flatmap(
            lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
        )
    )
    def test_f1_from_sums_agrees_with_scikit_learn(self, matrices):
        from sklearn.metrics import f1_score

        truth, predicted = matrices
        support, guesses, hits = np.split(bootstrap.count_label_outcomes(truth, [predicted]).sum(axis=0), 3)
        assert bootstrap.micro_f1(support, guesses, hits) == pytest.approx(
            f1_score(truth, predicted, average="micro", zero_division=0)
        )
        occurring = np.flatnonzero(truth.any(axis=0))
        macro = f1_score(truth, predicted, labels=occurring, average="macro", zero_division=0) if len(occurring) else 0
        assert bootstrap.macro_f1(support, guesses, hits) == pytest.approx(macro)

    def test_the_resampled_differences_vary_as_those_of_drawn_articles(self):
        articles, sides = make_label_set_articles(TRUTH[:600]), (wrong_every(9)[:600], wrong_every(9, first=4)[:600])
        scores = comparison.compare_label_sets(articles, sides, resamples=2_000)
        generator = np.random.default_rng(0)

        def macro(rows, labels):
            truth, predicted = articles.truth[rows], labels[rows]
            return (2 * (truth & predicted).sum(axis=0) / (truth.sum(axis=0) + predicted.sum(axis=0))).mean()

        drawn = generator.integers(0, 600, (2_000, 600))
        plain = np.array([macro(rows, sides[0]) - macro(rows, sides[1]) for rows in drawn])
        difference = scores.macro_f1(0, 1)
        assert difference.value == pytest.approx(macro(np.arange(600), sides[0]) - macro(np.arange(600), sides[1]))
        assert difference.resampled.std() == pytest.approx(plain.std(), rel=0.08)

    def test_the_calibration_of_decisions_and_of_assigned_labels_by_hand(self):
        truth = np.array([[True, False], [False, False]])
        predictions = LabelSetPredictions(
            ("a", "b"), np.array([[0.9, 0.3], [0.9, 0.3]]), np.array([[True, False], [True, False]])
        )
        every, assigned = (
            label_set_reliability.contributions(truth, predictions, assigned=only).sum(axis=0) for only in (False, True)
        )
        assert reliability.calibration_error(every) == pytest.approx((abs(1 - 1.8) + 0.6) / 4)
        assert reliability.calibration_error(assigned) == pytest.approx(abs(1 - 1.8) / 2)
        assert reliability.mean_brier(every) == pytest.approx((0.01 + 0.09 + 0.81 + 0.09) / 4)

    def test_large_matrices_are_read_in_parts(self, monkeypatch):
        predictions = make_label_set_predictions(CHAMPION)
        at_once = label_set_reliability.contributions(TRUTH, predictions)
        monkeypatch.setattr(label_set_reliability, "_CELLS", 70)
        np.testing.assert_array_equal(label_set_reliability.contributions(TRUTH, predictions), at_once)

    def test_an_unknown_metric_is_refused(self):
        with pytest.raises(SettingsError, match="gate: metric 'f1': unknown; choose from macro_f1, micro_f1"):
            Margins().with_changes({"metric": "f1"})
        assert Margins().with_changes({"metric": "micro_f1"}).metric_name == "micro-F1"
