"""The rules of the gate: each judges one thing and says in words what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from classifier.evaluation import comparison, reliability
from classifier.evaluation.comparison import ComparedScores, Difference
from classifier.evaluation.margins import Margins
from classifier.evaluation.slices import slices
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles

Outcome = Literal["pass", "fail", "unsure", "not judged"]

MAX_PARTS = 50
"""Categories, and slices, whose statistics are kept with a decision: those with the lowest difference."""

MAX_NAMED = 10
"""Categories, and slices, that a reason names."""

CANDIDATE, BASELINE, CHAMPION = range(3)
"""The order in which answers are resampled together."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Who is judged, on what: the champion is None for a first model.

    The `gflops` that a model computes for an article on average are None where that is not known. `left_out` articles
    are not in the sample, since a model was trained on them; of the models of `unknown` that is not known.
    """

    sample: TestArticles
    candidate: Predictions
    champion: Predictions | None
    baseline: Strings
    candidate_gflops: float | None = None
    champion_gflops: float | None = None
    left_out: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule found. `needed` are further test annotations, where they would decide."""

    rule: str
    outcome: Outcome
    reason: str
    statistics: Mapping[str, Any] = field(default_factory=dict)
    needed: int | None = None


def macro_f1(found: Difference, articles: int, margins: Margins) -> RuleResult:
    """Judge what decides: whether the lower bound of the difference lies above minus the margin."""
    bound = 0.0 if margins.policy == "superior" else -margins.macro_f1
    lower = found.lower(margins.alpha)
    said = (
        f"macro-F1 {found.first:.4f} against the champion's {found.second:.4f}: {_points(found.value)}, "
        f"with {1 - margins.alpha:.0%} confidence at least {_points(lower)}; "
    )
    asked = f"above {_points(bound)} was asked for ({margins.policy})"
    statistics = {**_statistics(found, margins.alpha), "bound": bound}
    # Two models that answer alike everywhere are equal, and not better.
    if lower > bound:
        return RuleResult("macro-F1", "pass", said + asked, statistics)
    return _undecided("macro-F1", said + asked, statistics, found, bound, articles, margins)


def _undecided(
    rule: str,
    said: str,
    statistics: Mapping[str, Any],
    found: Difference,
    bound: float,
    articles: int,
    margins: Margins,
) -> RuleResult:
    """Tell a model that is not good enough from one of which too little is known."""
    deviation = float(np.nanstd(found.resampled))
    total = comparison.articles_needed(
        articles, deviation, found.value - bound, alpha=margins.alpha, power=margins.power
    )
    if total is None or total <= articles:
        return RuleResult(rule, "fail", said, statistics)
    more = total - articles
    if more > margins.most_annotations:
        return RuleResult(
            rule, "fail", f"{said}; some {more:,} further test annotations would be needed to tell", statistics
        )
    return RuleResult(
        rule, "unsure", f"{said}; some {more:,} further test annotations would probably tell", statistics, more
    )


def mcnemar(sample: TestArticles, candidate: Strings, champion: Strings, margins: Margins) -> RuleResult:
    """Judge accuracy: a drop beyond the margin that McNemar's test does not put down to chance fails."""
    found = comparison.mcnemar(sample, candidate, champion)
    drop = (found.only_second - found.only_first) / len(sample)
    bound = 0.0 if margins.policy == "superior" else margins.accuracy
    said = (
        f"{found.only_first} articles only the candidate has right, {found.only_second} only the champion "
        f"({_points(-drop)} of accuracy; McNemar's exact p {found.p_two_sided:.3f})"
    )
    fails = drop > bound and found.p_worse <= margins.alpha
    return RuleResult("accuracy", "fail" if fails else "pass", said, asdict(found))


def parts(
    sample: TestArticles, scores: ComparedScores, candidate: Strings, champion: Strings, margins: Margins
) -> Iterator[RuleResult]:
    """Judge every category and every slice of enough rows; their chances of a false alarm add up to alpha."""
    # a slice that holds everything is no part of it
    parts = [one for one in slices(sample) if margins.enough_rows <= one.rows.sum() < len(sample)]
    alpha = margins.alpha / max(1, len(scores.compared) + len(parts))
    differences = {name: scores.category(name) for name in scores.compared}
    yield _part("categories", "F1 of category", differences, margins.category_f1, alpha)
    differences = {
        f"{one.dimension} {one.name}": comparison.accuracy(
            sample, candidate, champion, one.rows, resamples=margins.resamples
        )
        for one in parts
    }
    yield _part("slices", "accuracy on", differences, margins.slice_accuracy, alpha)


def _part(rule: str, what: str, found: Mapping[str, Difference], margin: float, alpha: float) -> RuleResult:
    lowest = sorted(found, key=lambda name: found[name].value)[:MAX_PARTS]
    statistics = {name: _statistics(found[name], alpha) for name in lowest}
    if not found:
        return RuleResult(rule, "not judged", f"{rule}: none has enough test articles", statistics)
    worse = [name for name, one in found.items() if one.worse(margin, alpha)]
    if not worse:
        said = f"{rule}: none of {len(found)} is worse by more than {_points(margin, sign=False)} and beyond chance"
        return RuleResult(rule, "pass", said, statistics)
    named = sorted(worse, key=lambda name: found[name].value)[:MAX_NAMED]
    drops = "; ".join(f"{what} {name}: {_points(found[name].value)}" for name in named)
    if more := len(worse) - len(named):
        drops += f"; and {more:,} more"
    return RuleResult(rule, "fail", f"{drops}; the margin is {_points(margin, sign=False)}", statistics)


def calibration(sample: TestArticles, candidate: Predictions, champion: Predictions, margins: Margins) -> RuleResult:
    """Judge whether the candidate's confidence is as good as the champion's."""
    found = comparison.calibration_error(sample, candidate, champion)
    scores = {
        name: float(reliability.brier(sample.truth, answers).mean())
        for name, answers in (("brier", candidate), ("champion_brier", champion))
    }
    said = f"expected calibration error {-found.first:.4f} against the champion's {-found.second:.4f}"
    worse = found.worse(margins.calibration, margins.alpha)
    return RuleResult("calibration", "fail" if worse else "pass", said, {**_statistics(found, margins.alpha), **scores})


def speed(candidate: float | None, champion: float | None, margins: Margins) -> RuleResult:
    """Judge the speed from the GFLOP for an article, and not from time: a busy machine must not hold a model."""
    if not candidate or not champion:
        return RuleResult(
            "speed", "not judged", "speed: an evaluation of an older version does not say what was computed"
        )
    ratio = champion / candidate
    said = (
        f"computes {candidate:.3g} GFLOP for an article, the champion {champion:.3g}: {ratio:.0%} of its speed; "
        f"at least {1 - margins.speed:.0%} is asked for"
    )
    return RuleResult("speed", "fail" if ratio < 1 - margins.speed else "pass", said, {"ratio": ratio})


def training_data(left_out: int, unknown: tuple[str, ...]) -> RuleResult:
    """Say how many test articles do not count, since a model was trained on them; this holds nobody."""
    said = f"{left_out:,} test articles left out: a model was trained on them or on their near-duplicates"
    statistics = {"left_out": left_out, "unknown": unknown}
    if not unknown:
        return RuleResult("training data", "pass", said, statistics)
    said += f"; not known what {', '.join(unknown)} was trained on, for want of a snapshot"
    return RuleResult("training data", "not judged", said, statistics)


def baseline(scores: ComparedScores, margins: Margins) -> RuleResult:
    """Judge macro-F1 beside the baseline's."""
    found = scores.macro_f1(CANDIDATE, BASELINE)
    said = (
        f"macro-F1 {found.first:.4f} against the baseline's {found.second:.4f}: {_points(found.value)}, "
        f"where {_points(-margins.baseline)} is borne"
    )
    fails = found.worse(margins.baseline, margins.alpha)
    return RuleResult("baseline", "fail" if fails else "pass", said, _statistics(found, margins.alpha))


def floor(scores: ComparedScores, articles: int, margins: Margins) -> RuleResult:
    """Judge a first model's macro-F1, which nothing can be compared with."""
    macro = scores.macro[CANDIDATE]
    found = Difference(float(macro[0]), 0.0, macro[1:])
    lower = found.lower(margins.alpha)
    said = (
        f"first model: macro-F1 {found.first:.4f}, with {1 - margins.alpha:.0%} confidence at least {lower:.4f}; "
        f"the floor is {margins.floor_macro_f1:.4f}"
    )
    statistics = _statistics(found, margins.alpha)
    if lower >= margins.floor_macro_f1:
        return RuleResult("floor", "pass", said, statistics)
    return _undecided("floor", said, statistics, found, margins.floor_macro_f1, articles, margins)


def better_than_guessing(sample: TestArticles, predicted: Strings, margins: Margins) -> RuleResult:
    """Judge whether a first model does better than naming the most frequent category, by an exact binomial test."""
    from scipy.stats import binomtest

    right = int((predicted == sample.truth).sum())
    share = float(np.unique(sample.truth, return_counts=True)[1].max() / len(sample))
    p = float(binomtest(right, len(sample), share, alternative="greater").pvalue) if share < 1 else 1.0
    said = f"{right / len(sample):.1%} right, where naming the most frequent category always is {share:.1%}"
    return RuleResult("guessing", "pass" if p <= margins.alpha else "fail", said, {"p": p, "share": share})


def _statistics(found: Difference, alpha: float) -> dict[str, float]:
    return {
        "candidate": abs(found.first),
        "other": abs(found.second),
        "difference": found.value,
        "at_least": found.lower(alpha),
        "at_most": found.upper(alpha),
    }


def _points(share: float, *, sign: bool = True) -> str:
    """Write a difference in points."""
    return f"{100 * share:+.2f} points" if sign else f"{100 * share:.2f} points"
