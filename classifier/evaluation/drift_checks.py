"""Check whether the newest articles resemble those that the champion was evaluated on, and its confidence is accurate.

A check raises an alarm if a difference exceeds its limit *and* is beyond chance. The tests are exact for few articles
too: permutations, and the Poisson binomial distribution. The accuracy on articles without annotations is estimated from
confidence: the accuracy on the test articles, less what mean confidence has lost since (the difference of confidences,
Guillory et al., 2021). This is as good as the calibration, which the audit checks on articles that were drawn at random
and reviewed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation import drift
from classifier.evaluation.drift import Counts
from classifier.evaluation.test_articles import Strings
from classifier.plurals import plural, verb

Outcome = Literal["fine", "alarm", "not judged"]

ALPHA = 0.01
"""Probability that chance alone looks like a difference. A check runs daily, and also has a limit."""

MIN_AUDITED = 30
"""Smallest number of annotated articles against which confidence is checked."""

READ_ARTICLES = "read the newest articles of each source in article_labels"
ANNOTATE = "annotate some of them and let retrain_classifier run"


@dataclass(frozen=True, slots=True)
class DriftLimits:
    """The largest distance and loss of accuracy without an alarm, and the smallest number of articles to judge by."""

    drift: float
    accuracy: float
    min_articles: int


@dataclass(frozen=True, slots=True)
class LabelledArticles:
    """Articles that a model labelled: for each, its category, its confidence and the text's length in words."""

    predicted: Strings
    confidence: NDArray[np.float64]
    words: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.predicted)


@dataclass(frozen=True, slots=True)
class AuditedLabels:
    """Labels that were drawn at random and reviewed: the model's confidence, and whether each label is correct."""

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.correct)


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """A check's outcome, the figures in words, and what to do after an alarm."""

    name: str
    outcome: Outcome
    message: str
    advice: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def run_checks(
    then: LabelledArticles, accuracy: float, now: LabelledArticles, audited: AuditedLabels, limits: DriftLimits
) -> Iterator[DriftCheck]:
    """Run every check: `then` are the test articles, on which the model had `accuracy`; `now` are the newest ones."""
    if len(now) < limits.min_articles:
        labelled = f"{plural(len(now), 'new article')} {verb(len(now), 'was', 'were')} labelled"
        message = f"{labelled}; {limits.min_articles:,} are needed to judge"
        for name in ("category mix", "length", "confidence", "estimated accuracy"):
            yield DriftCheck(name, "not judged", message)
    else:
        yield check_category_mix(then, now, limits)
        yield check_length(then, now, limits)
        yield check_confidence(then, now, limits)
        yield check_estimated_accuracy(then, accuracy, now, limits)
    yield check_audit(audited, limits)


def check_category_mix(then: LabelledArticles, now: LabelledArticles, limits: DriftLimits) -> DriftCheck:
    """Compare how many articles were predicted to be in each category."""
    names, first, second = drift.count_categories(then.predicted, now.predicted)
    shares = np.vstack([first / first.sum(), second / second.sum()])
    moved = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:3]
    message = ", ".join(f"{names[index]} {shares[0, index]:.1%} then and {shares[1, index]:.1%} now" for index in moved)
    return _compare("category mix", message, first, second, limits)


def check_length(then: LabelledArticles, now: LabelledArticles, limits: DriftLimits) -> DriftCheck:
    """Compare the lengths of the texts."""
    message = f"the median text had {np.median(then.words):,.0f} words then and {np.median(now.words):,.0f} now"
    return _compare("length", message, *drift.count_ranges(then.words, now.words), limits)


def check_confidence(then: LabelledArticles, now: LabelledArticles, limits: DriftLimits) -> DriftCheck:
    """Compare the model's confidence."""
    message = f"mean confidence {then.confidence.mean():.3f} then and {now.confidence.mean():.3f} now"
    return _compare("confidence", message, *drift.count_ranges(then.confidence, now.confidence), limits)


def check_estimated_accuracy(
    then: LabelledArticles, accuracy: float, now: LabelledArticles, limits: DriftLimits
) -> DriftCheck:
    """Estimate the accuracy on the newest articles from confidence."""
    lost = float(then.confidence.mean() - now.confidence.mean())
    p = drift.lower_mean_p(then.confidence, now.confidence)
    estimate = float(np.clip(accuracy - lost, 0, 1))
    return DriftCheck(
        "estimated accuracy",
        "alarm" if lost > limits.accuracy and p <= ALPHA else "fine",
        f"{estimate:.3f} accuracy, estimated from confidence; {accuracy:.3f} on the test articles; "
        f"the limit is a loss of {limits.accuracy:g}",
        f"{READ_ARTICLES}, first those that the model abstains from; {ANNOTATE}",
        {"estimate": estimate, "test": accuracy, "p": p},
    )


def check_audit(audited: AuditedLabels, limits: DriftLimits) -> DriftCheck:
    """Check confidence against labels that were reviewed since.

    Null hypothesis: each label is correct with the probability of its own confidence. So it does not matter whether
    confident or unsure articles were chosen for review, but it does matter if mistakes were chosen. The number of
    correct labels then has a Poisson binomial distribution, whose tail is exact (Biscarri et al., 2018). The normal
    approximation (Spiegelhalter, 1986) gives up to nine times as many false alarms if few mistakes are expected.
    """
    from scipy.stats import poisson_binom

    count = len(audited)
    if count < MIN_AUDITED:
        reviewed = f"{plural(count, 'label')} drawn at random {verb(count, 'was', 'were')} reviewed"
        message = f"{reviewed}; {MIN_AUDITED} are needed to judge"
        return DriftCheck("audit", "not judged", message)
    expected, measured = float(audited.confidence.mean()), float(audited.correct.mean())
    p = float(poisson_binom.cdf(int(audited.correct.sum()), np.clip(audited.confidence, 0, 1)))
    return DriftCheck(
        "audit",
        "alarm" if expected - measured > limits.accuracy and p <= ALPHA else "fine",
        f"{measured:.3f} accuracy on {plural(count, 'label')} drawn at random; confidence predicts {expected:.3f}; "
        f"the limit is a loss of {limits.accuracy:g}",
        "do not rely on confidence or estimated accuracy before retrain_classifier has promoted a new champion",
        {"measured": measured, "expected": expected, "articles": count, "p": p},
    )


def _compare(name: str, message: str, then: Counts, now: Counts, limits: DriftLimits) -> DriftCheck:
    distance = drift.compare_counts(then, now)
    return DriftCheck(
        name,
        "alarm" if distance.beyond_chance > limits.drift and distance.p <= ALPHA else "fine",
        f"Jensen-Shannon distance {distance.beyond_chance:.3f} from the test articles beyond chance (measured "
        f"{distance.distance:.3f}, by chance {distance.by_chance:.3f}), {message}; the limit is {limits.drift:g}",
        f"{READ_ARTICLES}; if they are as expected, {ANNOTATE}",
        {
            "distance": distance.beyond_chance,
            "measured": distance.distance,
            "by_chance": distance.by_chance,
            "p": distance.p,
        },
    )
