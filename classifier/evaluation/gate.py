"""Decide whether a candidate may be promoted: apply every rule, and derive the verdict from their outcomes.

The rule on macro-F1 decides. By a paired bootstrap over clusters of near-duplicates, the lower bound of the difference
to the champion must lie above minus the margin. This is a test of non-inferiority: a model that is worse by the margin
passes with a probability of at most `alpha`, whatever the number of test articles. With few articles, a model as good
as the champion does not pass either, and the verdict says how many more annotations would decide.

For a multi-label task, macro- or micro-F1 over label sets decides in the same way. With many categories that have a few
test articles each, a model that is worse by the margin passes slightly more often than `alpha`: see
docs/explanation/gate.md.

The champion cannot know a category that was annotated after its training. So both are compared on the articles of the
categories that the champion knows. The candidate's F1 of a new category is reported separately; it does not affect the
verdict.

The other rules only stop a candidate. Each needs a drop beyond its margin *and* beyond chance, so that many rules
together rarely stop a model that is as good. The rules on parts share `alpha` among the parts (Bonferroni). The rule on
must-pass examples has no such allowance: a user wrote each because one wrong label is enough to stop a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from classifier.evaluation import category_coverage, comparison, gate_rules, label_set_rules
from classifier.evaluation.examples import ExampleResults
from classifier.evaluation.gate_rules import Comparison, RuleResult
from classifier.evaluation.label_set_rules import LabelSetComparison
from classifier.evaluation.margins import Margins

Verdict = Literal["promote", "hold", "need more annotations"]


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The verdict, and the result of every rule with its reason in words. A warning does not change the verdict."""

    verdict: Verdict
    rule_results: tuple[RuleResult, ...]
    margins: Margins

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons against promotion, or the reasons of the first two rules that passed; then the warnings."""
        against = tuple(result.reason for result in self.rule_results if result.outcome in {"fail", "unsure"})
        passed = tuple(result.reason for result in self.rule_results if result.outcome == "pass")
        return (against or passed[:2]) + self.warnings

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, each of which begins with the word."""
        return tuple(f"WARNING: {result.reason}" for result in self.rule_results if result.outcome == "warning")

    @property
    def needed(self) -> int | None:
        """Further test annotations that would probably decide; None if the result is clear."""
        return next((result.needed for result in self.rule_results if result.outcome == "unsure"), None)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "reasons": self.reasons, "warnings": self.warnings, "needed": self.needed}


def apply_rules(
    compared: Comparison | LabelSetComparison, margins: Margins, examples: ExampleResults | None = None
) -> GateVerdict:
    """Apply every rule to a candidate and the champion, or to a first model alone.

    `examples` are the candidate's results on the must-pass examples, None if there are none.
    """
    results = tuple(_check(compared, margins))
    if examples is not None:
        results += tuple(gate_rules.check_examples(examples, margins))
    outcomes = {result.outcome for result in results}
    verdict: Verdict = "promote"
    if "fail" in outcomes:
        verdict = "hold"
    elif "unsure" in outcomes:
        verdict = "need more annotations"
    return GateVerdict(verdict, results, margins)


def _check(compared: Comparison | LabelSetComparison, margins: Margins) -> Iterator[RuleResult]:
    if isinstance(compared, LabelSetComparison):
        if compared.champion is None:
            return label_set_rules.check_first_model(compared, margins)
        return label_set_rules.check_against_champion(compared, margins)
    return _first_model(compared, margins) if compared.champion is None else _against_champion(compared, margins)


def _first_model(compared: Comparison, margins: Margins) -> Iterator[RuleResult]:
    articles, predicted = compared.test_articles, compared.candidate.predicted
    scores = comparison.compare_scores(articles, [predicted, compared.baseline], resamples=margins.resamples)
    yield gate_rules.check_floor(scores.macro[gate_rules.CANDIDATE], len(articles), margins)
    yield gate_rules.check_above_guessing(articles, predicted, margins)
    yield gate_rules.check_baseline(scores, margins)
    yield gate_rules.check_training_data(compared.left_out, compared.unknown)
    yield category_coverage.check_categories(articles, compared.candidate)


def _against_champion(compared: Comparison, margins: Margins) -> Iterator[RuleResult]:
    common = category_coverage.without_new_categories(compared)
    assert common.champion is not None
    articles = common.test_articles
    candidate, champion = common.candidate.predicted, common.champion.predicted
    scores = comparison.compare_scores(
        articles,
        [candidate, common.baseline, champion],
        resamples=margins.resamples,
        min_articles=margins.min_articles,
    )
    macro_f1 = scores.macro_f1(gate_rules.CANDIDATE, gate_rules.CHAMPION)
    yield gate_rules.check_f1(macro_f1, len(articles), margins)
    yield gate_rules.check_accuracy(articles, candidate, champion, margins)
    yield from gate_rules.check_parts(
        articles, scores, (candidate == articles.truth, champion == articles.truth), margins
    )
    yield gate_rules.check_calibration(articles, common.candidate, common.champion, margins)
    yield gate_rules.check_speed(compared.candidate_gflops, compared.champion_gflops, margins)
    if common is compared:
        yield gate_rules.check_baseline(scores, margins)
    else:
        yield category_coverage.check_new_categories(compared)
        yield gate_rules.check_baseline(
            comparison.compare_scores(
                compared.test_articles,
                [compared.candidate.predicted, compared.baseline],
                resamples=margins.resamples,
            ),
            margins,
        )
    yield gate_rules.check_training_data(compared.left_out, compared.unknown)
    yield category_coverage.check_categories(compared.test_articles, compared.candidate)
