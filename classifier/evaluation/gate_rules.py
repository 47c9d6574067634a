"""The rules of the gate: each checks one property and gives its reason in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation import comparison, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.comparison import ComparedScores, Difference, McNemar
from classifier.evaluation.examples import ExampleResults
from classifier.evaluation.margins import Margins
from classifier.evaluation.slices import SlicedArticles, slices
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles
from classifier.plurals import plural, verb

Outcome = Literal["pass", "fail", "unsure", "warning", "not judged"]

MAX_PARTS = 50
"""Categories, and slices, whose statistics are stored with a decision: those with the lowest difference."""

MAX_NAMED = 10
"""Categories, and slices, that a reason names."""

EXAMPLES_RULE = "must-pass examples"

CANDIDATE, BASELINE, CHAMPION = range(3)
"""The order in which predictions are resampled together."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The predictions of a candidate, the champion and the baseline on the same articles.

    The champion is None for a first model. `gflops` is the mean number of GFLOP that a model computes for an article,
    None if unknown. `left_out` articles do not count, because a model was trained on them; the training data of the
    models in `unknown` are unknown.
    """

    test_articles: TestArticles
    candidate: Predictions
    champion: Predictions | None
    baseline: Strings
    candidate_gflops: float | None = None
    champion_gflops: float | None = None
    left_out: int = 0
    unknown: tuple[str, ...] = ()


class ClusteredArticles(SlicedArticles, Protocol):
    """Test articles with their clusters of near-duplicates, whatever their labels are."""

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The number of each article's cluster."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of a rule. `needed` is the number of further test annotations that would decide, if it is unsure."""

    rule: str
    outcome: Outcome
    reason: str
    statistics: Mapping[str, Any] = field(default_factory=dict)
    needed: int | None = None


def check_f1(difference: Difference, articles: int, margins: Margins, *, metric: str = "macro-F1") -> RuleResult:
    """Pass if the lower bound of the difference in the metric lies above minus the margin."""
    bound = 0.0 if margins.policy == "superior" else -margins.macro_f1
    lower = difference.lower(margins.alpha)
    reason = (
        f"{metric} {difference.first:.4f}, champion {difference.second:.4f}: {points(difference.value)}, "
        f"at least {points(lower)} with {1 - margins.alpha:.0%} confidence; "
        f"the policy {margins.policy} requires more than {points(bound)}"
    )
    statistics = {**_statistics(difference, margins.alpha), "bound": bound}
    # two models with the same predictions are equal, and neither is better
    if lower > bound:
        return RuleResult(metric, "pass", reason, statistics)
    return _fail_or_need_annotations(RuleResult(metric, "fail", reason, statistics), difference, articles, margins)


def _fail_or_need_annotations(
    failed: RuleResult, difference: Difference, articles: int, margins: Margins
) -> RuleResult:
    """Return the failure, or an unsure result if more annotations would probably show that the model passes."""
    gap = difference.value - failed.statistics["bound"]
    deviation = float(np.nanstd(difference.resampled))
    total = comparison.articles_needed(articles, deviation, gap, alpha=margins.alpha, power=margins.power)
    if total is None or total <= articles:
        return failed
    more = total - articles
    if more > margins.max_annotations:
        reason = f"{failed.reason}; about {plural(more, 'further test annotation')} would be needed to decide"
        return RuleResult(failed.rule, "fail", reason, failed.statistics)
    reason = f"{failed.reason}; about {plural(more, 'further test annotation')} would probably decide"
    return RuleResult(failed.rule, "unsure", reason, failed.statistics, more)


def check_accuracy(articles: TestArticles, candidate: Strings, champion: Strings, margins: Margins) -> RuleResult:
    """Fail if accuracy drops by more than the margin, and McNemar's test shows that this is not chance."""
    return check_mcnemar(comparison.mcnemar(articles, candidate, champion), len(articles), margins)


def check_mcnemar(
    test: McNemar, articles: int, margins: Margins, *, rule: str = "accuracy", predicate: str = "is correct"
) -> RuleResult:
    """Fail if the share of correct articles drops by more than the margin, beyond chance; `predicate` names it."""
    drop = (test.only_second - test.only_first) / articles
    bound = 0.0 if margins.policy == "superior" else margins.accuracy
    reason = (
        f"only the candidate {predicate} on {plural(test.only_first, 'article')}, "
        f"only the champion on {test.only_second:,} "
        f"({points(-drop)} of {rule}; McNemar's exact p {test.p_two_sided:.3f})"
    )
    fails = drop > bound and test.p_worse <= margins.alpha
    if drop > bound and not fails:
        reason += _insignificant(bound)
    return RuleResult(rule, "fail" if fails else "pass", reason, asdict(test))


def check_parts(
    articles: ClusteredArticles,
    scores: ComparedScores,
    correct: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    margins: Margins,
    *,
    metric: str = "accuracy",
) -> Iterator[RuleResult]:
    """Check every category and every slice with enough articles; their false-alarm probabilities add up to alpha.

    `correct` says on which articles the candidate and the champion are correct, and `metric` names the share of them.
    """
    # a slice that holds every article is not a part
    parts = [part for part in slices(articles) if margins.min_articles <= part.rows.sum() < len(articles)]
    alpha = margins.alpha / max(1, len(scores.compared) + len(parts))
    differences = {name: scores.category(name) for name in scores.compared}
    yield _check_part("categories", "F1 of category", differences, margins.category_f1, alpha)
    differences = {
        f"{part.dimension} {part.name}": comparison.share_correct(
            correct, articles.clusters, part.rows, resamples=margins.resamples
        )
        for part in parts
    }
    yield _check_part("slices", f"{metric} on", differences, margins.slice_accuracy, alpha)


def _check_part(
    rule: str, metric: str, differences: Mapping[str, Difference], margin: float, alpha: float
) -> RuleResult:
    lowest = sorted(differences, key=lambda name: differences[name].value)[:MAX_PARTS]
    statistics = {name: _statistics(differences[name], alpha) for name in lowest}
    if not differences:
        return RuleResult(rule, "not judged", f"{rule}: none has enough test articles", statistics)
    worse = [name for name, difference in differences.items() if difference.worse(margin, alpha)]
    if not worse:
        reason = f"{rule}: none of {len(differences)} is worse by more than {points(margin, sign=False)} beyond chance"
        if within := [name for name in lowest if differences[name].value < -margin]:
            drops = _named_drops(metric, within, differences)
            reason = f"{drops}{_insignificant(margin, len(within))}"
        return RuleResult(rule, "pass", reason, statistics)
    drops = _named_drops(metric, worse, differences)
    return RuleResult(rule, "fail", f"{drops}; the margin is {points(margin, sign=False)}", statistics)


def _named_drops(metric: str, names: Sequence[str], differences: Mapping[str, Difference]) -> str:
    """Return the largest drops with the names of their parts."""
    named = sorted(names, key=lambda name: differences[name].value)[:MAX_NAMED]
    drops = "; ".join(f"{metric} {name}: {points(differences[name].value)}" for name in named)
    return f"{drops}; and {len(names) - len(named):,} more" if len(names) > len(named) else drops


def _insignificant(margin: float, drops: int = 1) -> str:
    """Return the end of a reason: the rule passes although drops exceed the margin."""
    subject = "the drop exceeds" if drops == 1 else "the drops exceed"
    number = "is" if drops == 1 else "are"
    return (
        f"; {subject} the margin of {points(margin, sign=False)}, but {number} not statistically significant, so the "
        "rule passes"
    )


def check_calibration(
    articles: TestArticles, candidate: Predictions, champion: Predictions, margins: Margins
) -> RuleResult:
    """Fail if expected calibration error exceeds the champion's by more than the margin, and beyond chance."""
    difference = comparison.calibration_error(articles, candidate, champion)
    brier_scores = {
        name: float(reliability.brier(articles.truth, predictions).mean())
        for name, predictions in (("brier", candidate), ("champion_brier", champion))
    }
    return check_calibration_error(difference, brier_scores, margins)


def check_calibration_error(
    difference: Difference, more: Mapping[str, float], margins: Margins, *, subject: str = ""
) -> RuleResult:
    """Fail if the first calibration error is larger by more than the margin, beyond chance; `more` are statistics."""
    reason = f"expected calibration error{subject} {-difference.first:.4f}, champion {-difference.second:.4f}"
    worse = difference.worse(margins.calibration, margins.alpha)
    if difference.value < -margins.calibration and not worse:
        reason += _insignificant(margins.calibration)
    statistics = {**_statistics(difference, margins.alpha), **more}
    return RuleResult("calibration", "fail" if worse else "pass", reason, statistics)


def check_speed(candidate: float | None, champion: float | None, margins: Margins) -> RuleResult:
    """Fail if an article needs too many GFLOP. Seconds are not compared, because the machine may be busy."""
    if not candidate or not champion:
        reason = "speed: an evaluation of an older version did not count the computations"
        return RuleResult("speed", "not judged", reason)
    ratio = champion / candidate
    reason = (
        f"{candidate:.3g} GFLOP for an article, champion {champion:.3g}: {ratio:.0%} of its speed; "
        f"at least {1 - margins.speed:.0%} is required"
    )
    return RuleResult("speed", "fail" if ratio < 1 - margins.speed else "pass", reason, {"ratio": ratio})


def check_examples(results: ExampleResults, margins: Margins) -> Iterator[RuleResult]:
    """Fail if more must-pass examples fail than the margin allows; warn of rows and files that cannot be read.

    What cannot be read only warns: one damaged file must not stop every later promotion, and the other examples still
    veto. The warning is part of the decision, and is sent as an alert.
    """
    total = plural(results.examples, "must-pass example")
    statistics: dict[str, Any] = {
        "examples": results.examples,
        "failed": results.failed,
        "failures": [asdict(failure) for failure in results.failures],
        "sha256": results.sha256,
    }
    if not results.examples:
        yield RuleResult(EXAMPLES_RULE, "not judged", "must-pass examples: none is for this task", statistics)
    elif not results.failed:
        yield RuleResult(EXAMPLES_RULE, "pass", f"{total}: none fails", statistics)
    else:
        fails = results.failed > margins.failed_examples
        reason = f"{results.failed:,} of {total} {verb(results.failed, 'fails', 'fail')}: {_named_failures(results)}"
        if not fails:
            reason += f"; the margin allows {margins.failed_examples:,}"
        yield RuleResult(EXAMPLES_RULE, "fail" if fails else "pass", reason, statistics)
    if results.invalid:
        more = f"; and {results.invalid - 1:,} more" if results.invalid > 1 else ""
        reason = f"must-pass examples that cannot be read were not judged: {results.problems[0]}{more}"
        yield RuleResult("unreadable examples", "warning", reason, {"problems": list(results.problems)})


def _named_failures(results: ExampleResults) -> str:
    named = "; ".join(f"{failure.name} ({failure.reason})" for failure in results.failures[:MAX_NAMED])
    return f"{named}; and {results.failed - MAX_NAMED:,} more" if results.failed > MAX_NAMED else named


def check_training_data(left_out: int, unknown: tuple[str, ...]) -> RuleResult:
    """Return how many test articles do not count, because a model was trained on them; this never fails."""
    reason = f"{plural(left_out, 'test article')} left out: a model was trained on them or on their near-duplicates"
    statistics = {"left_out": left_out, "unknown": unknown}
    if not unknown:
        return RuleResult("training data", "pass", reason, statistics)
    reason += f"; the training data of {', '.join(unknown)} are unknown, because there is no snapshot"
    return RuleResult("training data", "not judged", reason, statistics)


def check_baseline(scores: ComparedScores, margins: Margins) -> RuleResult:
    """Fail if macro-F1 is below the baseline's by more than the margin, and beyond chance."""
    fails, reason, statistics = compare_with_baseline(scores.macro_f1(CANDIDATE, BASELINE), margins, margins.alpha)
    return RuleResult("baseline", "fail" if fails else "pass", reason, statistics)


def compare_with_baseline(
    difference: Difference, margins: Margins, alpha: float, *, metric: str = "macro-F1"
) -> tuple[bool, str, dict[str, float]]:
    """Return whether the metric is below the baseline's by more than the margin, beyond chance; reason, statistics."""
    reason = (
        f"{metric} {difference.first:.4f}, baseline {difference.second:.4f}: {points(difference.value)}; "
        f"at least {points(-margins.baseline)} is required"
    )
    fails = difference.worse(margins.baseline, alpha)
    if difference.value < -margins.baseline and not fails:
        reason += _insignificant(margins.baseline)
    return fails, reason, _statistics(difference, alpha)


def check_floor(resampled: Floats, articles: int, margins: Margins, *, metric: str = "macro-F1") -> RuleResult:
    """Pass if the lower bound of a first model's metric reaches the floor; row 0 is measured, the others resampled."""
    difference = Difference(float(resampled[0]), 0.0, resampled[1:])
    lower = difference.lower(margins.alpha)
    reason = (
        f"first model: {metric} {difference.first:.4f}, at least {lower:.4f} with {1 - margins.alpha:.0%} confidence; "
        f"the floor is {margins.floor_macro_f1:.4f}"
    )
    statistics = {**_statistics(difference, margins.alpha), "bound": margins.floor_macro_f1}
    if lower >= margins.floor_macro_f1:
        return RuleResult("floor", "pass", reason, statistics)
    return _fail_or_need_annotations(RuleResult("floor", "fail", reason, statistics), difference, articles, margins)


def check_above_guessing(articles: TestArticles, predicted: Strings, margins: Margins) -> RuleResult:
    """Pass if a first model beats always naming the most frequent category, by an exact binomial test."""
    from scipy.stats import binomtest

    correct = int((predicted == articles.truth).sum())
    share = float(np.unique(articles.truth, return_counts=True)[1].max() / len(articles))
    p = float(binomtest(correct, len(articles), share, alternative="greater").pvalue) if share < 1 else 1.0
    reason = (
        f"{correct / len(articles):.1%} accuracy; always naming the most frequent category has {share:.1%} accuracy"
    )
    return RuleResult("guessing", "pass" if p <= margins.alpha else "fail", reason, {"p": p, "share": share})


def _statistics(difference: Difference, alpha: float) -> dict[str, float]:
    return {
        "candidate": abs(difference.first),
        "other": abs(difference.second),
        "difference": difference.value,
        "at_least": difference.lower(alpha),
        "at_most": difference.upper(alpha),
    }


def points(share: float, *, sign: bool = True) -> str:
    """Return a difference of shares in percentage points."""
    return f"{100 * share:+.2f} points" if sign else f"{100 * share:.2f} points"
