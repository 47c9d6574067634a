"""Every rule of the gate has a test of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from classifier.evaluation import comparison, gate
from classifier.evaluation.margins import Margins
from classifier.exceptions import SettingsError
from tests.support.factories import (
    NAMES,
    make_articles,
    make_comparison,
    make_label_set_comparison,
    make_label_set_predictions,
    make_label_sets,
    make_predictions,
    make_truth,
    wrong_on,
)

MARGINS = Margins(resamples=2_000)
TRUTH = make_truth(4000)
CHAMPION = wrong_on(TRUTH, np.arange(0, 4000, 25))  # 160 mistakes


def result_of(verdict, rule):
    return next(result for result in verdict.rule_results if result.rule == rule)


def failed_rules(verdict):
    return [result.rule for result in verdict.rule_results if result.outcome == "fail"]


class TestAgainstAChampion:
    def test_a_model_with_the_same_predictions_is_promoted(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION), MARGINS)
        assert verdict.verdict == "promote"
        assert "macro-F1 0.9600, champion 0.9600: +0.00 points" in verdict.reasons[0]

    def test_a_model_that_is_better_is_promoted(self):
        better = make_predictions(wrong_on(TRUTH, np.arange(0, 4000, 51)), confidence=0.97)
        for policy in ("non-inferior", "superior"):
            assert (
                gate.apply_rules(make_comparison(TRUTH, better, CHAMPION), replace(MARGINS, policy=policy)).verdict
                == "promote"
            )

    def test_superior_holds_a_model_that_is_only_as_good(self):
        elsewhere = wrong_on(TRUTH, np.arange(1, 4000, 25))
        strict = gate.apply_rules(make_comparison(TRUTH, elsewhere, CHAMPION), replace(MARGINS, policy="superior"))
        assert strict.verdict == "hold"
        assert "the policy superior requires more than +0.00 points" in strict.reasons[0]

    def test_a_model_that_is_worse_by_more_than_the_margin_is_held(self):
        worse = wrong_on(CHAMPION, np.arange(3, 4000, 40))
        verdict = gate.apply_rules(make_comparison(TRUTH, worse, CHAMPION), MARGINS)
        assert verdict.verdict == "hold"
        assert {"macro-F1", "accuracy"} <= set(failed_rules(verdict))

    def test_with_few_articles_a_model_as_good_needs_a_number_of_further_annotations(self):
        truth = make_truth(200)
        champion = wrong_on(truth, np.arange(0, 200, 19))
        candidate = wrong_on(truth, np.arange(7, 200, 19))
        verdict = gate.apply_rules(make_comparison(truth, candidate, champion), MARGINS)
        assert verdict.verdict == "need more annotations"
        assert 500 < verdict.needed < 20_000
        assert f"{verdict.needed:,} further test annotations would probably decide" in verdict.reasons[0]

    def test_a_model_that_would_need_too_many_annotations_is_held(self):
        truth = make_truth(200)
        candidate = wrong_on(truth, np.arange(7, 200, 19))
        champion = wrong_on(truth, np.arange(0, 200, 19))
        verdict = gate.apply_rules(make_comparison(truth, candidate, champion), replace(MARGINS, max_annotations=100))
        assert verdict.verdict == "hold"

    def test_a_category_that_got_worse_holds_a_model_of_the_same_overall_accuracy(self):
        of_a = np.flatnonzero(TRUTH == "a")
        candidate = wrong_on(TRUTH, of_a[:160])
        verdict = gate.apply_rules(make_comparison(TRUTH, candidate, CHAMPION), replace(MARGINS, category_f1=0.03))
        assert failed_rules(verdict) == ["categories"]
        assert "F1 of category a: -" in verdict.reasons[0]

    @pytest.mark.parametrize(
        ("dimension", "column"),
        [
            ("source", {"sources": np.where(np.arange(4000) < 200, "wire", "web")}),
            ("length", {"words": np.where(np.arange(4000) < 200, 30, 500)}),
            ("month", {"months": np.where(np.arange(4000) < 200, "2026-01", "2026-02")}),
        ],
    )
    def test_a_slice_that_got_worse_holds_it_too(self, dimension, column):
        candidate = wrong_on(TRUTH, np.concatenate([np.arange(40), np.arange(200, 4000, 32)]))
        verdict = gate.apply_rules(make_comparison(TRUTH, candidate, CHAMPION, **column), MARGINS)
        assert failed_rules(verdict) == ["slices"]
        assert f"accuracy on {dimension} " in verdict.reasons[0]

    def test_a_rule_that_passes_because_a_drop_is_not_significant_says_so(self):
        truth = make_truth(400)
        generator = np.random.default_rng(1)
        champion = wrong_on(truth, generator.choice(400, 20, replace=False))
        candidate = wrong_on(truth, generator.choice(400, 23, replace=False))
        strict = replace(MARGINS, accuracy=0.001, category_f1=0.001, slice_accuracy=0.001, min_articles=10)
        sources = np.where(np.arange(400) < 200, "wire", "web")
        verdict = gate.apply_rules(make_comparison(truth, candidate, champion, sources=sources), strict)
        accuracy, categories = result_of(verdict, "accuracy"), result_of(verdict, "categories")
        assert (accuracy.outcome, categories.outcome) == ("pass", "pass")
        assert "; the drop exceeds the margin of 0.10 points, but is not statistically significant" in accuracy.reason
        assert categories.reason.startswith("F1 of category ")
        assert "the margin of 0.10 points, but" in categories.reason
        assert "not statistically significant, so the rule passes" in categories.reason

    def test_a_rule_whose_drop_is_within_the_margin_does_not_mention_significance(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION), MARGINS)
        assert not any("significant" in result.reason for result in verdict.rule_results)

    def test_a_category_and_a_slice_of_few_articles_are_not_judged(self):
        truth = np.concatenate([TRUTH, np.repeat("rare", 30)])
        names = (*NAMES, "rare")
        champion = make_predictions(np.concatenate([CHAMPION, np.repeat("rare", 30)]), names=names)
        candidate = make_predictions(np.concatenate([CHAMPION, np.repeat("rare", 29), ["a"]]), names=names)
        sources = np.where(truth == "rare", "small", "large")
        verdict = gate.apply_rules(make_comparison(truth, candidate, champion, sources=sources), MARGINS)
        assert set(result_of(verdict, "categories").statistics) == set(NAMES)
        assert set(result_of(verdict, "slices").statistics) == {"source large"}

    def test_worse_calibration_holds_a_model_with_the_same_predictions(self):
        overconfident = make_predictions(CHAMPION, confidence=0.999)
        verdict = gate.apply_rules(
            make_comparison(TRUTH, overconfident, make_predictions(CHAMPION, confidence=0.96)), MARGINS
        )
        assert failed_rules(verdict) == ["calibration"]
        assert "expected calibration error 0.0390, champion 0.0000" in verdict.reasons[0]

    def test_a_model_that_computes_more_than_twice_as_much_is_held(self):
        slow = gate.apply_rules(
            make_comparison(TRUTH, CHAMPION, CHAMPION, candidate_gflops=22.0, champion_gflops=7.26), MARGINS
        )
        assert failed_rules(slow) == ["speed"]
        assert "22 GFLOP for an article, champion 7.26: 33% of its speed" in slow.reasons[0]

    def test_a_model_that_computes_twice_as_much_is_not(self):
        verdict = gate.apply_rules(
            make_comparison(TRUTH, CHAMPION, CHAMPION, candidate_gflops=22.0, champion_gflops=11.0), MARGINS
        )
        assert (verdict.verdict, result_of(verdict, "speed").outcome) == ("promote", "pass")

    def test_unknown_speeds_are_not_judged(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION, champion_gflops=7.26), MARGINS)
        assert (verdict.verdict, result_of(verdict, "speed").outcome) == ("promote", "not judged")

    def test_articles_that_a_model_was_trained_on_are_counted_and_hold_no_model(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION, left_out=3), MARGINS)
        assert (verdict.verdict, result_of(verdict, "training data").outcome) == ("promote", "pass")
        assert result_of(verdict, "training data").reason.startswith("3 test articles left out: a model was trained on")

    def test_a_model_without_a_snapshot_is_named(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION, unknown=("imported",)), MARGINS)
        assert (verdict.verdict, result_of(verdict, "training data").outcome) == ("promote", "not judged")
        assert "the training data of imported are unknown" in result_of(verdict, "training data").reason

    def test_a_model_clearly_behind_the_baseline_is_held_whatever_the_champion_is(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION, baseline=TRUTH), MARGINS)
        assert failed_rules(verdict) == ["baseline"]
        assert (
            gate.apply_rules(
                make_comparison(TRUTH, CHAMPION, CHAMPION, baseline=TRUTH), replace(MARGINS, baseline=0.05)
            ).verdict
            == "promote"
        )

    def test_near_duplicates_count_once(self):
        """Ten copies of each article prove no more than one copy."""
        truth = make_truth(400)
        champion, candidate = wrong_on(truth, np.arange(0, 400, 25)), wrong_on(truth, np.arange(7, 400, 25))
        once = gate.apply_rules(make_comparison(truth, candidate, champion), MARGINS)
        tenfold = [np.repeat(categories, 10) for categories in (truth, candidate, champion)]
        copied = gate.apply_rules(make_comparison(*tenfold, clusters=np.repeat(np.arange(400), 10)), MARGINS)
        lower = [result_of(verdict, "macro-F1").statistics["at_least"] for verdict in (once, copied)]
        assert copied.verdict != "promote"
        assert lower[1] == pytest.approx(lower[0], abs=0.004)


class TestAFirstModel:
    def test_a_good_model_is_promoted_even_with_few_articles(self):
        truth = make_truth(24)
        verdict = gate.apply_rules(make_comparison(truth, truth, None), MARGINS)
        assert verdict.verdict == "promote"
        assert verdict.reasons[0].startswith("first model: macro-F1 1.0000")

    def test_a_model_below_the_floor_is_held(self):
        guess = np.repeat("a", 400)
        verdict = gate.apply_rules(make_comparison(make_truth(400), guess, None), MARGINS)
        assert verdict.verdict == "hold"
        assert set(failed_rules(verdict)) == {"floor", "guessing"}

    def test_a_model_that_may_be_below_the_floor_needs_more_annotations(self):
        truth = make_truth(20)
        verdict = gate.apply_rules(make_comparison(truth, wrong_on(truth, np.arange(0, 20, 3)), None), MARGINS)
        assert verdict.verdict == "need more annotations"
        assert verdict.needed > 0

    def test_a_model_clearly_behind_the_baseline_is_held(self):
        verdict = gate.apply_rules(make_comparison(TRUTH, CHAMPION, None, baseline=TRUTH), MARGINS)
        assert failed_rules(verdict) == ["baseline"]


class TestStatistics:
    def test_mcnemar_by_hand(self):
        truth = make_truth(100)
        first, second = wrong_on(truth, np.arange(9)), wrong_on(truth, [50])
        test = comparison.mcnemar(make_articles(truth), first, second)
        assert (test.only_first, test.only_second) == (1, 9)
        assert test.p_worse == pytest.approx((1 + 10) / 2**10)  # of ten coins, none or one heads
        assert test.p_two_sided == pytest.approx(2 * (1 + 10) / 2**10)

    def test_models_with_the_same_predictions_do_not_differ(self):
        truth = make_truth(8)
        assert comparison.mcnemar(make_articles(truth), truth, truth).p_worse == 1.0

    def test_the_standard_deviation_of_an_accuracy_difference_equals_the_textbook_formula(self):
        truth = make_truth(1000)
        first, second = wrong_on(truth, np.arange(30)), wrong_on(truth, np.arange(30, 50))
        difference = comparison.accuracy(make_articles(truth), first, second, np.full(1000, True), resamples=4000)
        assert difference.value == pytest.approx(-0.01)
        textbook = np.sqrt((0.05 - 0.01**2) / 1000)
        assert difference.resampled.std() == pytest.approx(textbook, rel=0.05)

    def test_the_articles_needed_by_hand(self):
        # (1.645 + 0.842) standard deviations must fit into the gap: 0.02 * 2.487 / 0.01 = 4.97, squared
        assert comparison.articles_needed(100, 0.02, 0.01, alpha=0.05, power=0.8) == 2474
        assert comparison.articles_needed(100, 0.02, 0.0, alpha=0.05, power=0.8) is None

    def test_a_verdict_is_plain_json_and_the_same_each_time(self):
        once, again = (
            gate.apply_rules(make_comparison(TRUTH, CHAMPION, CHAMPION), MARGINS).as_json() for _ in range(2)
        )
        assert json.loads(json.dumps(once)) == json.loads(json.dumps(again))


class TestMargins:
    def test_margins_can_be_changed(self):
        assert Margins().with_changes({"macro_f1": 0.02, "policy": "superior"}) == Margins("superior", macro_f1=0.02)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"macro": 0.1}, "unknown margin 'macro'; choose from policy, alpha, macro_f1"),
            ({"macro_f1": "wide"}, "macro_f1 'wide': must be a number from -1 to 1"),
            ({"macro_f1": 2}, "macro_f1 2: must be a number from -1 to 1; one point is 0.01"),
            ({"min_articles": 0}, "min_articles 0: must be a whole number from 1"),
            ({"policy": "best"}, "policy 'best': unknown; choose from non-inferior, superior"),
            ({"alpha": 0}, "alpha 0: must be between 0 and 1"),
        ],
    )
    def test_an_invalid_margin_is_refused(self, changes, message):
        with pytest.raises(SettingsError, match=message):
            Margins().with_changes(changes)


class TestNewCategories:
    """The champion was trained before the category d was annotated."""

    KNOWN = ("a", "b", "c")
    TRUTH = make_truth(4000)
    BY_CHAMPION = np.where(TRUTH == "d", "a", TRUTH)

    def champion(self, predicted=BY_CHAMPION):
        return make_predictions(predicted, names=self.KNOWN)

    def test_the_comparison_leaves_out_what_the_champion_cannot_know(self):
        verdict = gate.apply_rules(make_comparison(self.TRUTH, self.TRUTH, self.champion()), MARGINS)
        assert "macro-F1 1.0000, champion 1.0000: +0.00 points" in verdict.reasons[0]
        assert result_of(verdict, "new categories").reason == (
            "the champion does not know 1 category of the test articles: d (F1 1.00 on 1,000 articles); the comparison "
            "with it leaves them out"
        )

    def test_a_candidate_that_is_worse_on_the_common_categories_is_held_although_it_knows_the_new_one(self):
        common = np.flatnonzero(self.TRUTH != "d")
        worse = self.TRUTH.copy()
        worse[common[::10]] = "d"
        verdict = gate.apply_rules(make_comparison(self.TRUTH, worse, self.champion()), MARGINS)
        assert verdict.verdict == "hold"
        everything = comparison.compare_scores(make_articles(self.TRUTH), [worse, self.BY_CHAMPION], resamples=10)
        assert everything.macro_f1(0, 1).value > 0.1, "over all categories it would look better"

    def test_a_champion_that_knows_none_of_the_categories_is_compared_on_all(self):
        champion = make_predictions(np.full(4000, "x"), names=("x", "y"))
        verdict = gate.apply_rules(make_comparison(self.TRUTH, self.TRUTH, champion), MARGINS)
        assert verdict.verdict == "promote"
        assert "champion 0.0000" in verdict.reasons[0]

    def test_of_a_multi_label_task_the_columns_of_new_categories_are_left_out(self):
        truth = make_label_sets(2000)
        without_new = truth[:, :3]
        compared = make_label_set_comparison(truth, truth, truth)
        compared = replace(compared, champion=make_label_set_predictions(without_new, categories=self.KNOWN))
        verdict = gate.apply_rules(compared, MARGINS)
        assert verdict.verdict == "promote"
        assert "champion 1.0000: +0.00 points" in verdict.reasons[0]
        assert "d (F1 1.00 on" in result_of(verdict, "new categories").reason
        worse = truth.copy()
        worse[::10, 0] = ~worse[::10, 0]
        compared = replace(compared, candidate=make_label_set_predictions(worse))
        assert gate.apply_rules(compared, MARGINS).verdict == "hold"
