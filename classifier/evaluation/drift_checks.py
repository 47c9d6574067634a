"""Is the champion still among articles such as it was evaluated on, and is it as right as it says?

Each check asks for a difference that is larger than the limit *and* beyond chance, by a test that is exact for few
articles, too: permutations, and the Poisson binomial distribution. Accuracy on articles that nobody
annotates is told from confidence: the test articles' accuracy less what mean confidence has lost since (the
difference of confidences, Guillory et al., 2021). That is as good as the calibration, which the articles that were
drawn at random and reviewed are there to check.
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

Outcome = Literal["fine", "alarm", "not judged"]

ALPHA = 0.01
"""How often chance alone may look like a difference. A check runs daily, and has a limit besides."""

MIN_AUDITED = 30
"""Annotated articles that confidence is checked against at least."""

LOOK = "look at the newest articles of each source in article_labels"
ANNOTATE = "annotate some of them and let retrain_classifier run"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is borne: a distance, a loss of accuracy, and how many articles are needed to judge."""

    drift: float
    accuracy: float
    least: int


@dataclass(frozen=True, slots=True)
class Articles:
    """Articles that a model labelled, an entry each: its category, its confidence, and the text's length in words."""

    predicted: Strings
    confidence: NDArray[np.float64]
    words: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.predicted)


@dataclass(frozen=True, slots=True)
class AuditedLabels:
    """Articles drawn at random and reviewed: the model's confidence, and whether it was right."""

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.right)


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how far it is from what it was, and what to do about it."""

    name: str
    outcome: Outcome
    said: str
    advice: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def run_checks(
    then: Articles, accuracy: float, now: Articles, audited: AuditedLabels, limits: Limits
) -> Iterator[Check]:
    """Make every check: `then` are the test articles, on which the model had that accuracy, `now` the newest ones."""
    if len(now) < limits.least:
        said = f"{len(now):,} articles came and were labelled, {limits.least:,} are needed to judge"
        for name in ("category mix", "length", "confidence", "estimated accuracy"):
            yield Check(name, "not judged", said)
    else:
        yield category_mix(then, now, limits)
        yield length(then, now, limits)
        yield confidence(then, now, limits)
        yield estimated_accuracy(then, accuracy, now, limits)
    yield audit(audited, limits)


def category_mix(then: Articles, now: Articles, limits: Limits) -> Check:
    """Compare how many articles each category was predicted for."""
    names, first, second = drift.of_categories(then.predicted, now.predicted)
    shares = np.vstack([first / first.sum(), second / second.sum()])
    moved = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:3]
    said = ", ".join(f"{names[one]} {shares[0, one]:.1%} then and {shares[1, one]:.1%} now" for one in moved)
    return _drifted("category mix", said, first, second, limits)


def length(then: Articles, now: Articles, limits: Limits) -> Check:
    """Compare the texts' lengths."""
    said = f"half the texts had up to {np.median(then.words):,.0f} words then, {np.median(now.words):,.0f} now"
    return _drifted("length", said, *drift.of_numbers(then.words, now.words), limits)


def confidence(then: Articles, now: Articles, limits: Limits) -> Check:
    """Compare how sure the model is."""
    said = f"{then.confidence.mean():.3f} on average then, {now.confidence.mean():.3f} now"
    return _drifted("confidence", said, *drift.of_numbers(then.confidence, now.confidence), limits)


def estimated_accuracy(then: Articles, accuracy: float, now: Articles, limits: Limits) -> Check:
    """Tell the accuracy on the newest articles from confidence."""
    lost = float(then.confidence.mean() - now.confidence.mean())
    p = drift.lower_mean_p(then.confidence, now.confidence)
    estimate = float(np.clip(accuracy - lost, 0, 1))
    return Check(
        "estimated accuracy",
        "alarm" if lost > limits.accuracy and p <= ALPHA else "fine",
        f"{estimate:.3f}, told from confidence, against {accuracy:.3f} on the test articles; "
        f"a loss of {limits.accuracy:g} is borne",
        f"{LOOK}, above all at those it abstains from; {ANNOTATE}",
        {"estimate": estimate, "test": accuracy, "p": p},
    )


def audit(found: AuditedLabels, limits: Limits) -> Check:
    """Check confidence against the articles that were annotated since.

    Null hypothesis: each label is correct with the probability that its own confidence promises. So it does not matter
    whether sure or unsure articles were chosen for annotation; it does if mistakes were. The number of correct labels
    then has a Poisson binomial distribution, of which the tail is exact (Biscarri et al., 2018). The normal
    approximation (Spiegelhalter, 1986) gives up to nine times as many false alarms where few mistakes are expected.
    """
    from scipy.stats import poisson_binom

    count = len(found)
    if count < MIN_AUDITED:
        said = f"{count} of the articles drawn for review were annotated, {MIN_AUDITED} are needed to judge"
        return Check("audit", "not judged", said)
    promised, right = float(found.confidence.mean()), float(found.right.mean())
    p = float(poisson_binom.cdf(int(found.right.sum()), np.clip(found.confidence, 0, 1)))
    return Check(
        "audit",
        "alarm" if promised - right > limits.accuracy and p <= ALPHA else "fine",
        f"{right:.3f} of {count:,} labels drawn at random were right, where confidence promises "
        f"{promised:.3f}; {limits.accuracy:g} less is borne",
        "do not rely on confidence or estimated accuracy before retrain_classifier has made a new champion",
        {"right": right, "promised": promised, "articles": count, "p": p},
    )


def _drifted(name: str, said: str, then: Counts, now: Counts, limits: Limits) -> Check:
    found = drift.between(then, now)
    return Check(
        name,
        "alarm" if found.beyond_chance > limits.drift and found.p <= ALPHA else "fine",
        f"Jensen-Shannon distance {found.beyond_chance:.3f} from the test articles beyond chance (measured "
        f"{found.distance:.3f}, by chance {found.by_chance:.3f}), {said}; {limits.drift:g} is borne",
        f"{LOOK}; if they are as they should be, {ANNOTATE}",
        {
            "distance": found.beyond_chance,
            "measured": found.distance,
            "by_chance": found.by_chance,
            "p": found.p,
        },
    )
