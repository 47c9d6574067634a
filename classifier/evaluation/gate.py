"""Whether a candidate has earned its promotion: every rule, and the verdict that they give.

The rule that decides is macro-F1: the lower bound of its difference to the champion's, by a paired bootstrap
over clusters of near-duplicates, has to lie above minus the margin. That is a test of non-inferiority, so a
model that is worse by the margin gets through with probability `alpha` at most, whatever the number of test
articles; with few of them, a model that is as good does not get through either, and the verdict says how
many more would do. The other rules are there to stop: each asks for a drop beyond its margin *and* beyond
chance, so that many rules together rarely hold a model that is as good. Those on parts share `alpha`
between them (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from classifier.evaluation import comparison, gate_rules
from classifier.evaluation.gate_rules import Comparison, RuleResult
from classifier.evaluation.margins import Margins

Verdict = Literal["promote", "hold", "need more annotations"]


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The verdict, and every finding with its reason in words."""

    verdict: Verdict
    findings: tuple[RuleResult, ...]
    margins: Margins

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against promotion; where nothing does, what was looked at first."""
        against = tuple(one.reason for one in self.findings if one.outcome in {"fail", "unsure"})
        return against or tuple(one.reason for one in self.findings if one.outcome == "pass")[:2]

    @property
    def needed(self) -> int | None:
        """Further test annotations, where they would decide."""
        return next((one.needed for one in self.findings if one.outcome == "unsure"), None)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "reasons": self.reasons, "needed": self.needed}


def apply_rules(contest: Comparison, margins: Margins) -> GateVerdict:
    """Apply every rule."""
    findings = tuple(_against_champion(contest, margins) if contest.champion else _first(contest, margins))
    outcomes = {one.outcome for one in findings}
    verdict: Verdict = "promote"
    if "fail" in outcomes:
        verdict = "hold"
    elif "unsure" in outcomes:
        verdict = "need more annotations"
    return GateVerdict(verdict, findings, margins)


def _first(contest: Comparison, margins: Margins) -> Iterator[RuleResult]:
    sample, predicted = contest.sample, contest.candidate.predicted
    scores = comparison.scores(sample, [predicted, contest.baseline], resamples=margins.resamples)
    yield gate_rules.floor(scores, len(sample), margins)
    yield gate_rules.better_than_guessing(sample, predicted, margins)
    yield gate_rules.baseline(scores, margins)
    yield gate_rules.training_data(contest.left_out, contest.unknown)


def _against_champion(contest: Comparison, margins: Margins) -> Iterator[RuleResult]:
    assert contest.champion is not None
    sample = contest.sample
    candidate, champion = contest.candidate.predicted, contest.champion.predicted
    scores = comparison.scores(
        sample, [candidate, contest.baseline, champion], resamples=margins.resamples, enough_rows=margins.enough_rows
    )
    yield gate_rules.macro_f1(scores.macro_f1(gate_rules.CANDIDATE, gate_rules.CHAMPION), len(sample), margins)
    yield gate_rules.mcnemar(sample, candidate, champion, margins)
    yield from gate_rules.parts(sample, scores, candidate, champion, margins)
    yield gate_rules.calibration(sample, contest.candidate, contest.champion, margins)
    yield gate_rules.speed(contest.candidate_gflops, contest.champion_gflops, margins)
    yield gate_rules.baseline(scores, margins)
    yield gate_rules.training_data(contest.left_out, contest.unknown)
