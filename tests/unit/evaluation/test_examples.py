"""A model must give every expected label of a must-pass example and none that it forbids."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from classifier.articles import Model
from classifier.evaluation import examples as example_rules
from classifier.evaluation import gate, gate_rules
from classifier.evaluation.examples import Example, ExampleResults
from classifier.evaluation.margins import Margins
from classifier.evaluation.page import html
from classifier.exceptions import SettingsError
from tests.support.factories import make_comparison, make_truth

TRUTH = make_truth(400)
SINGLE = Model(1, "m", "candidate", "/none", "0", ("business", "sport"), threshold=0.6)
MULTI = Model(
    1, "m", "candidate", "/none", "0", ("gold", "grain", "ship"), kind="multi", thresholds=(0.5,) * 3, min_labels=0
)


def example(expected=None, forbidden=(), name="derby"):
    return Example("a.csv", "line 2", name, "secret words", None, expected, forbidden)


def fail(model, example, *probabilities):
    return example_rules.find_failures(model, [example], np.array([probabilities], np.float32))


def results(*failures, problems=(), examples=5):
    made = example_rules.make_results("0" * 64, [], list(failures), list(problems))
    return replace(made, examples=examples)


class TestSingleLabel:
    def test_the_expected_label_passes(self):
        assert fail(SINGLE, example(("sport",)), 0.1, 0.9) == []

    def test_another_label_fails_with_both_probabilities(self):
        (failure,) = fail(SINGLE, example(("sport",)), 0.9, 0.1)
        assert failure.reason == "expected sport 0.1000; given business 0.9000"
        assert (failure.name, failure.assigned, failure.abstained) == ("derby", ("business",), False)

    def test_a_model_that_abstains_marks_the_expected_label_as_too_uncertain_so_it_fails(self):
        (failure,) = fail(SINGLE, example(("sport",)), 0.45, 0.55)
        assert failure.reason == "expected sport 0.5500; given sport 0.5500, but abstains"
        assert (failure.assigned, failure.abstained) == (("sport",), True)

    def test_a_confidence_equal_to_the_threshold_is_enough_as_in_the_database(self):
        at_threshold = float(np.float32(0.6))
        assert fail(SINGLE, example(("sport",)), 1 - at_threshold, at_threshold) == []

    def test_a_forbidden_label_fails_and_any_other_passes(self):
        (failure,) = fail(SINGLE, example(forbidden=("business",)), 0.9, 0.1)
        assert failure.reason == "not business 0.9000; given business 0.9000"
        assert fail(SINGLE, example(forbidden=("business",)), 0.1, 0.9) == []
        (failure,) = fail(SINGLE, example(forbidden=("business",)), 0.55, 0.45)
        assert failure.reason == "not business 0.5500; given business 0.5500, but abstains", "it is still shown"

    def test_a_category_that_the_model_does_not_know_fails_with_that_reason(self):
        (failure,) = fail(SINGLE, example(("weather",)), 0.9, 0.1)
        assert failure.reason == (
            "expected weather; given business 0.9000; the model does not know weather, because it was not trained on it"
        )


class TestMultiLabel:
    def test_every_expected_label_must_be_given_and_others_may_be(self):
        assert fail(MULTI, example(("gold",)), 0.9, 0.1, 0.8) == []
        (failure,) = fail(MULTI, example(("gold", "grain")), 0.9, 0.1, 0.8)
        assert failure.reason == "expected gold 0.9000, grain 0.1000; given gold 0.9000, ship 0.8000"

    def test_a_forbidden_label_must_not_be_given(self):
        (failure,) = fail(MULTI, example(("gold",), ("ship",)), 0.9, 0.1, 0.8)
        assert "not ship 0.8000" in failure.reason
        assert fail(MULTI, example(("gold",), ("ship",)), 0.9, 0.1, 0.2) == []

    def test_no_label_at_all_may_be_expected(self):
        assert fail(MULTI, example(()), 0.1, 0.1, 0.2) == []
        (failure,) = fail(MULTI, example(()), 0.1, 0.1, 0.7)
        assert failure.reason == "expected none; given ship 0.7000"

    def test_a_multi_label_model_never_abstains(self):
        (failure,) = fail(replace(MULTI, threshold=0.99), example(("gold",)), 0.2, 0.1, 0.2)
        assert failure.reason == "expected gold 0.2000; given none"


class TestRule:
    FAILURE = fail(SINGLE, example(("sport",)), 0.9, 0.1)[0]

    @pytest.mark.parametrize("champion", [TRUTH, None])
    def test_a_failed_example_vetoes_a_model_that_passes_every_other_rule(self, champion):
        compared = make_comparison(TRUTH, TRUTH, champion)
        margins = Margins(resamples=300, macro_f1=0.5)
        assert gate.apply_rules(compared, margins).verdict == "promote"
        verdict = gate.apply_rules(compared, margins, results(self.FAILURE))
        assert verdict.verdict == "hold"
        assert verdict.reasons == (
            "1 of 5 must-pass examples fails: derby (expected sport 0.1000; given business 0.9000)",
        )
        assert "secret" not in json.dumps(verdict.as_json())
        assert gate.apply_rules(compared, margins, results()).verdict == "promote"

    def test_a_margin_allows_some_failures_for_a_run(self):
        (rule,) = gate_rules.check_examples(results(self.FAILURE), Margins(failed_examples=1))
        assert rule.outcome == "pass"
        assert rule.reason.endswith("; the margin allows 1")
        assert Margins().with_changes({"failed_examples": 0}).failed_examples == 0
        with pytest.raises(SettingsError, match="failed_examples -1: must be a whole number from 0"):
            Margins().with_changes({"failed_examples": -1})

    def test_what_cannot_be_read_is_a_warning_and_the_others_still_veto(self):
        compared = make_comparison(TRUTH, TRUTH, None)
        damaged = results(problems=("a.csv, line 3: text is empty", "b.csv: damaged"))
        verdict = gate.apply_rules(compared, Margins(resamples=300), damaged)
        assert verdict.verdict == "promote"
        assert verdict.warnings == (
            "WARNING: must-pass examples that cannot be read were not judged: a.csv, line 3: text is empty; and 1 more",
        )
        both = results(self.FAILURE, problems=("b.csv: damaged",))
        assert gate.apply_rules(compared, Margins(resamples=300), both).verdict == "hold"

    def test_a_thousand_failures_stay_readable(self):
        (rule,) = gate_rules.check_examples(results(*[self.FAILURE] * 1000, examples=2000), Margins())
        assert rule.reason.startswith("1,000 of 2,000 must-pass examples fail: ")
        assert rule.reason.count("derby") == gate_rules.MAX_NAMED
        assert rule.reason.endswith("; and 990 more")
        assert len(rule.statistics["failures"]) == example_rules.MAX_FAILURES

    def test_a_folder_without_examples_of_the_task_judges_nothing(self):
        (rule,) = gate_rules.check_examples(results(examples=0), Margins())
        assert rule.outcome == "not judged"

    def test_results_are_stored_as_json_and_read_again(self):
        kept = results(self.FAILURE, problems=("a.csv: damaged",))
        assert ExampleResults.from_json(json.loads(json.dumps(kept.as_json()))) == kept


def test_the_page_lists_the_failed_examples_with_what_was_expected_and_given():
    failures = [
        fail(SINGLE, example(("sport",), name="<b>derby"), 0.9, 0.1)[0],
        fail(SINGLE, example(("sport",), name="cup"), 0.45, 0.55)[0],
        fail(SINGLE, example(forbidden=("business",), name="bank"), 0.9, 0.1)[0],
    ]
    verdict = gate.apply_rules(make_comparison(TRUTH, TRUTH, None), Margins(resamples=300), results(*failures))
    rules = json.loads(json.dumps(verdict.as_json()))["rule_results"]
    subject = html.Subject("m", {})
    template = html._environment().get_template("evaluation_gate.html")
    page = template.render(rule_results=rules, verdict="hold", examples=html._examples(subject, rules))
    cells = " ".join(page.split())
    assert '<td class="words">&lt;b&gt;derby</td> <td>sport (0.1000)</td> <td>business (0.9000)</td>' in cells
    assert "<td>sport (0.5500)</td> <td>sport (0.5500), but abstains</td>" in cells
    assert "<td>not business (0.9000)</td> <td>business (0.9000)</td>" in cells
    stored = html.Subject("m", {"examples": results(*failures).as_json()})
    assert html._examples(stored, ())["failed"] == 3, "without a decision, those of the evaluation"


def test_the_page_says_how_many_of_the_other_failed_examples_the_command_lists():
    failures = fail(SINGLE, example(("sport",)), 0.9, 0.1) * 300
    template = html._environment().get_template("evaluation_gate.html")
    page = template.render(rule_results=(), examples=results(*failures, examples=300).as_json())
    assert "And 250 more; the command classifier examples check lists up to 200." in page
