"""Every rule of the gate in a story of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from classifier.evaluation import comparison, gate
from classifier.evaluation.margins import Margins
from classifier.exceptions import SettingsError
from tests.support.factories import NAMES, answers, contest, sample, truth, wrong_on

MARGINS = Margins(resamples=2_000)
TRUTH = truth(4000)
CHAMPION = wrong_on(TRUTH, np.arange(0, 4000, 25))  # 160 mistakes


def found(judgement, rule):
    return next(one for one in judgement.findings if one.rule == rule)


def fails(judgement):
    return [one.rule for one in judgement.findings if one.outcome == "fail"]


class TestAgainstAChampion:
    def test_a_model_that_answers_alike_is_promoted(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION), MARGINS)
        assert judgement.verdict == "promote"
        assert "macro-F1 0.9600 against the champion's 0.9600: +0.00 points" in judgement.reasons[0]

    def test_a_model_that_is_better_is_promoted(self):
        better = answers(wrong_on(TRUTH, np.arange(0, 4000, 51)), confidence=0.97)
        for policy in ("non-inferior", "superior"):
            assert (
                gate.apply_rules(contest(TRUTH, better, CHAMPION), replace(MARGINS, policy=policy)).verdict == "promote"
            )

    def test_superior_holds_a_model_that_is_only_as_good(self):
        elsewhere = wrong_on(TRUTH, np.arange(1, 4000, 25))
        strict = gate.apply_rules(contest(TRUTH, elsewhere, CHAMPION), replace(MARGINS, policy="superior"))
        assert strict.verdict == "hold"
        assert "above +0.00 points was asked for (superior)" in strict.reasons[0]

    def test_a_model_that_is_worse_by_more_than_the_margin_is_held(self):
        worse = wrong_on(CHAMPION, np.arange(3, 4000, 40))
        judgement = gate.apply_rules(contest(TRUTH, worse, CHAMPION), MARGINS)
        assert judgement.verdict == "hold"
        assert {"macro-F1", "accuracy"} <= set(fails(judgement))

    def test_of_few_articles_a_model_as_good_needs_more_annotations_and_they_are_counted(self):
        right = truth(200)
        champion = wrong_on(right, np.arange(0, 200, 19))
        candidate = wrong_on(right, np.arange(7, 200, 19))
        judgement = gate.apply_rules(contest(right, candidate, champion), MARGINS)
        assert judgement.verdict == "need more annotations"
        assert 500 < judgement.needed < 20_000
        assert f"{judgement.needed:,} further test annotations would probably tell" in judgement.reasons[0]

    def test_what_would_need_too_many_annotations_is_held(self):
        right = truth(200)
        candidate = wrong_on(right, np.arange(7, 200, 19))
        champion = wrong_on(right, np.arange(0, 200, 19))
        judgement = gate.apply_rules(contest(right, candidate, champion), replace(MARGINS, most_annotations=100))
        assert judgement.verdict == "hold"

    def test_a_category_that_got_worse_holds_a_model_that_is_as_good_on_the_whole(self):
        of_a = np.flatnonzero(TRUTH == "a")
        candidate = wrong_on(TRUTH, of_a[:160])
        judgement = gate.apply_rules(contest(TRUTH, candidate, CHAMPION), replace(MARGINS, category_f1=0.03))
        assert fails(judgement) == ["categories"]
        assert "F1 of category a: -" in judgement.reasons[0]

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
        judgement = gate.apply_rules(contest(TRUTH, candidate, CHAMPION, **column), MARGINS)
        assert fails(judgement) == ["slices"]
        assert f"accuracy on {dimension} " in judgement.reasons[0]

    def test_a_category_and_a_slice_of_few_articles_are_not_judged(self):
        right = np.concatenate([TRUTH, np.repeat("rare", 30)])
        names = (*NAMES, "rare")
        champion = answers(np.concatenate([CHAMPION, np.repeat("rare", 30)]), names=names)
        candidate = answers(np.concatenate([CHAMPION, np.repeat("rare", 29), ["a"]]), names=names)
        sources = np.where(right == "rare", "small", "large")
        judgement = gate.apply_rules(contest(right, candidate, champion, sources=sources), MARGINS)
        assert set(found(judgement, "categories").statistics) == set(NAMES)
        assert set(found(judgement, "slices").statistics) == {"source large"}

    def test_worse_calibration_holds_a_model_of_the_same_answers(self):
        sure = answers(CHAMPION, confidence=0.999)
        judgement = gate.apply_rules(contest(TRUTH, sure, answers(CHAMPION, confidence=0.96)), MARGINS)
        assert fails(judgement) == ["calibration"]
        assert "expected calibration error 0.0390 against the champion's 0.0000" in judgement.reasons[0]

    def test_a_model_that_computes_more_than_twice_as_much_is_held(self):
        slow = gate.apply_rules(
            contest(TRUTH, CHAMPION, CHAMPION, candidate_gflops=22.0, champion_gflops=7.26), MARGINS
        )
        assert fails(slow) == ["speed"]
        assert "computes 22 GFLOP for an article, the champion 7.26: 33% of its speed" in slow.reasons[0]

    def test_a_model_that_computes_twice_as_much_is_not(self):
        judgement = gate.apply_rules(
            contest(TRUTH, CHAMPION, CHAMPION, candidate_gflops=22.0, champion_gflops=11.0), MARGINS
        )
        assert (judgement.verdict, found(judgement, "speed").outcome) == ("promote", "pass")

    def test_speeds_that_are_not_known_are_not_judged(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION, champion_gflops=7.26), MARGINS)
        assert (judgement.verdict, found(judgement, "speed").outcome) == ("promote", "not judged")

    def test_articles_that_a_model_was_trained_on_are_counted_and_hold_nobody(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION, left_out=3), MARGINS)
        assert (judgement.verdict, found(judgement, "training data").outcome) == ("promote", "pass")
        assert found(judgement, "training data").reason.startswith("3 test articles left out: a model was trained on")

    def test_a_model_without_a_snapshot_is_named(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION, unknown=("imported",)), MARGINS)
        assert (judgement.verdict, found(judgement, "training data").outcome) == ("promote", "not judged")
        assert "not known what imported was trained on" in found(judgement, "training data").reason

    def test_a_model_clearly_behind_the_baseline_is_held_whatever_the_champion_is(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION, baseline=TRUTH), MARGINS)
        assert fails(judgement) == ["baseline"]
        assert (
            gate.apply_rules(
                contest(TRUTH, CHAMPION, CHAMPION, baseline=TRUTH), replace(MARGINS, baseline=0.05)
            ).verdict
            == "promote"
        )

    def test_what_near_duplicates_say_counts_once(self):
        """Ten copies of each article prove no more than one."""
        right = truth(400)
        champion, candidate = wrong_on(right, np.arange(0, 400, 25)), wrong_on(right, np.arange(7, 400, 25))
        once = gate.apply_rules(contest(right, candidate, champion), MARGINS)
        tenfold = [np.repeat(one, 10) for one in (right, candidate, champion)]
        copied = gate.apply_rules(contest(*tenfold, clusters=np.repeat(np.arange(400), 10)), MARGINS)
        lower = [found(one, "macro-F1").statistics["at_least"] for one in (once, copied)]
        assert copied.verdict != "promote"
        assert lower[1] == pytest.approx(lower[0], abs=0.004)


class TestAFirstModel:
    def test_a_good_one_is_promoted_even_by_few_articles(self):
        right = truth(24)
        judgement = gate.apply_rules(contest(right, right, None), MARGINS)
        assert judgement.verdict == "promote"
        assert judgement.reasons[0].startswith("first model: macro-F1 1.0000")

    def test_one_below_the_floor_is_held(self):
        guess = np.repeat("a", 400)
        judgement = gate.apply_rules(contest(truth(400), guess, None), MARGINS)
        assert judgement.verdict == "hold"
        assert set(fails(judgement)) == {"floor", "guessing"}

    def test_one_that_may_be_below_the_floor_needs_more_annotations(self):
        right = truth(20)
        judgement = gate.apply_rules(contest(right, wrong_on(right, np.arange(0, 20, 3)), None), MARGINS)
        assert judgement.verdict == "need more annotations"
        assert judgement.needed > 0

    def test_one_clearly_behind_the_baseline_is_held(self):
        judgement = gate.apply_rules(contest(TRUTH, CHAMPION, None, baseline=TRUTH), MARGINS)
        assert fails(judgement) == ["baseline"]


class TestStatistics:
    def test_mcnemar_by_hand(self):
        right = truth(100)
        first, second = wrong_on(right, np.arange(9)), wrong_on(right, [50])
        test = comparison.mcnemar(sample(right), first, second)
        assert (test.only_first, test.only_second) == (1, 9)
        assert test.p_worse == pytest.approx((1 + 10) / 2**10)  # of ten coins, none or one heads
        assert test.p_two_sided == pytest.approx(2 * (1 + 10) / 2**10)

    def test_models_that_agree_differ_by_nothing(self):
        right = truth(8)
        assert comparison.mcnemar(sample(right), right, right).p_worse == 1.0

    def test_the_standard_deviation_of_an_accuracy_difference_is_the_textbooks(self):
        right = truth(1000)
        first, second = wrong_on(right, np.arange(30)), wrong_on(right, np.arange(30, 50))
        difference = comparison.accuracy(sample(right), first, second, np.full(1000, True), resamples=4000)
        assert difference.value == pytest.approx(-0.01)
        textbook = np.sqrt((0.05 - 0.01**2) / 1000)
        assert difference.resampled.std() == pytest.approx(textbook, rel=0.05)

    def test_the_articles_needed_by_hand(self):
        # (1.645 + 0.842) standard deviations have to fit into the gap: 0.02 * 2.487 / 0.01 = 4.97, squared
        assert comparison.articles_needed(100, 0.02, 0.01, alpha=0.05, power=0.8) == 2474
        assert comparison.articles_needed(100, 0.02, 0.0, alpha=0.05, power=0.8) is None

    def test_a_judgement_is_plain_json_and_the_same_each_time(self):
        once, again = (gate.apply_rules(contest(TRUTH, CHAMPION, CHAMPION), MARGINS).as_json() for _ in range(2))
        assert json.loads(json.dumps(once)) == json.loads(json.dumps(again))


class TestMargins:
    def test_some_are_changed(self):
        assert Margins().with_changes({"macro_f1": 0.02, "policy": "superior"}) == Margins("superior", macro_f1=0.02)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"macro": 0.1}, "no margin 'macro'; they are policy, alpha, macro_f1"),
            ({"macro_f1": "wide"}, "macro_f1 'wide': has to be a number from -1 to 1"),
            ({"macro_f1": 2}, "macro_f1 2: has to be a number from -1 to 1, 0.01 for one point"),
            ({"enough_rows": 0}, "enough_rows 0: has to be a whole number from 1"),
            ({"policy": "best"}, "policy 'best': one of non-inferior, superior"),
            ({"alpha": 0}, "alpha 0: has to be between 0 and 1"),
        ],
    )
    def test_what_is_no_margin_is_told(self, changes, said):
        with pytest.raises(SettingsError, match=said):
            Margins().with_changes(changes)
