"""Choose the confidence below which a model abstains, so that its labels reach a target precision.

Precision is the share of correct labels among the articles that the model labels.

The threshold is chosen on validation articles alone. Its precision is below the target in at most 5 of 100 choices.
Thresholds are tested in a fixed sequence from high to low, and the first failure ends it (Bauer, 1991; Angelopoulos et
al., "Learn then Test", 2021, section 3). So each test has the full level of 5 %. A test is exact: so few mistakes have
a binomial probability of at most 5 % if the precision is below the target (Clopper and Pearson, 1934). The sequence
depends on the number of articles and never on the annotations. It contains the numbers of articles at which one more
mistake is tolerated, from `MIN_FIRST_COVERAGE` of the articles on. With fewer articles, one early mistake would end it.

A model that backs off answers a parent of its category if only the parent reaches the threshold. Then an answer is
correct if it is the article's category or an ancestor of it, and all answers at a threshold are tested together.

If the first test fails, the best of `COVERAGE_STEPS` thresholds is chosen, by bounds that hold for all of them together
(Bonferroni), and `reached` is false.

Assumptions: articles are independent, so only one of near-duplicates counts. The epoch and the temperature were chosen
on the same articles, which is slightly optimistic; the test split measures the precision that is reached.
benchmarks/accuracy/calibration.py measures how often the precision is below the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Probability that the precision is at least its lower bound."""

MIN_FIRST_COVERAGE = 0.3
"""Smallest share of the articles that the first threshold labels. Of 0.1 to 0.5, 0.3 covers most in simulations."""

COVERAGE_STEPS = 10
"""Number of thresholds to choose from if the target is not reached: they label a tenth of the articles, two tenths …"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The confidence `value` below which a model abstains (0: never), and the precision on validation articles.

    `precision` was measured on the share `coverage` of the articles, in which near-duplicates count once. `at_least` is
    its lower bound. `parents` is the share of the articles that get a parent of the model's category; None: the model
    does not back off.
    """

    value: float
    target_precision: float
    at_least: float
    precision: float
    coverage: float
    articles: int
    parents: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the lower bound reaches the target precision."""
        return self.at_least >= self.target_precision

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Threshold:
        """Return the threshold that `as_json` wrote."""
        return cls(**{name: value for name, value in stored.items() if name != "reached"})

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "reached": self.reached}

    def __str__(self) -> str:
        """Return a line for users."""
        action = f"abstains below a confidence of {self.value:.4f}" if self.value else "never abstains"
        if self.parents is not None:
            action += f", and backs off to a parent for {self.parents:.1%} of the articles"
        line = (
            f"{action}: precision at least {self.at_least:.4f} on the {self.coverage:.1%} of {self.articles:,} "
            "validation articles that the model labels"
        )
        if self.reached:
            return f"{line}; the target is {self.target_precision:g}"
        return f"{line}; so few articles cannot show the target of {self.target_precision:g}"


def choose_threshold(
    confidence: NDArray[np.float32],
    correct: NDArray[np.bool_],
    target: float,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> Threshold:
    """Return the lowest threshold whose precision is shown to reach the target, or else the best one.

    `confidence` and `correct` have an entry for each validation article; there must be at least one. Of a model that
    backs off they have the shape (articles, levels): of the category, of its parent, and so on, with a confidence that
    never decreases; the first level that reaches the threshold is the answer. `clusters` are numbers of near-duplicate
    clusters, of which the first article counts.
    """
    backs_off = confidence.ndim > 1 and target > 0
    levels = slice(None) if backs_off else slice(1)
    confidence = confidence.reshape(len(confidence), -1)[:, levels]
    correct = correct.reshape(len(correct), -1)[:, levels]
    if clusters is not None:
        first = np.sort(np.unique(clusters, return_index=True)[1])
        confidence, correct = confidence[first], correct[first]
    order = np.argsort(-confidence[:, -1], kind="stable")
    ordered, hits = confidence[order, -1], _count_hits(confidence[order], correct[order])
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))  # articles of the same confidence stay together
    passed = _last_passed(hits, ends, target)
    last, bound = (passed, target) if target and passed is not None else _best(hits, ends, label_all=not target)
    value = 0.0 if last + 1 == len(ordered) and not backs_off else float(ordered[last])
    return Threshold(
        value=value,
        target_precision=target,
        at_least=bound,
        precision=float(hits[last] / (last + 1)),
        coverage=float((last + 1) / len(ordered)),
        articles=len(ordered),
        parents=float(((confidence[:, 0] < value) & (confidence[:, -1] >= value)).mean()) if backs_off else None,
    )


def _count_hits(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of correct answers if the threshold is the last confidence of each article.

    The articles are sorted by their last confidence, the highest first. A level is the answer at the thresholds above
    the confidence of the level before it, up to its own.
    """
    thresholds, changes = -confidence[:, -1], np.zeros(len(confidence) + 1, dtype=np.int64)
    for level in range(confidence.shape[1]):
        starts = np.searchsorted(thresholds, -confidence[:, level])
        ends = np.searchsorted(thresholds, -confidence[:, level - 1]) if level else np.full_like(starts, len(starts))
        hit = correct[:, level]
        np.add.at(changes, starts[hit], 1)
        np.subtract.at(changes, ends[hit], 1)
    hits: NDArray[np.int64] = np.cumsum(changes[:-1])
    return hits


def max_mistakes(counts: NDArray[np.int64], target: float) -> NDArray[np.int64]:
    """Return the largest number of mistakes with which each number of articles shows the precision; -1 for none."""
    from scipy.stats import binom

    # the smallest number of mistakes whose cumulative probability reaches 5 % is one too many
    mistakes: NDArray[np.int64] = binom.ppf(1 - CONFIDENCE, counts, 1 - target).astype(np.int64) - 1
    return mistakes


def lower_bound(
    hits: NDArray[np.int64], counts: NDArray[np.int64], confidence: float = CONFIDENCE
) -> NDArray[np.float64]:
    """Return the lower bound of each share, with a confidence for each (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    with np.errstate(invalid="ignore"):
        bounds: NDArray[np.float64] = np.nan_to_num(beta.ppf(1 - confidence, hits, counts - hits + 1))
    return bounds


def _last_passed(hits: NDArray[np.int64], ends: NDArray[np.int64], target: float) -> int | None:
    """Return the index of the last article above the last threshold of the sequence that passes; None if none does."""
    counts = np.arange(1, len(hits) + 1)
    allowed = max_mistakes(counts, target)
    steps = np.flatnonzero(np.diff(allowed, prepend=-1) > 0)
    steps = np.append(steps[steps + 1 >= MIN_FIRST_COVERAGE * len(hits)], len(hits) - 1)
    tested = np.unique(ends[np.searchsorted(ends, steps)])
    failures = np.flatnonzero((counts - hits)[tested] > allowed[tested])
    passed = int(failures[0]) if len(failures) else len(tested)
    return int(tested[passed - 1]) if passed else None


def _best(hits: NDArray[np.int64], ends: NDArray[np.int64], *, label_all: bool) -> tuple[int, float]:
    """Return the index with the highest lower bound, and the bound; with `label_all`, of the last article alone."""
    steps = np.ceil(np.linspace(0, 1, COVERAGE_STEPS + 1)[1:] * len(hits)).astype(np.int64) - 1
    tested = np.unique(ends[np.searchsorted(ends, steps[-1:] if label_all else steps)])
    bounds = lower_bound(hits[tested], tested + 1, 1 - (1 - CONFIDENCE) / len(tested))
    best = int(np.flatnonzero(bounds == bounds.max())[-1])
    return int(tested[best]), float(bounds[best])
