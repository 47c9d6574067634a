"""Below which confidence a model abstains, so that what it does say is as precise as is wanted.

Precision is the share of correct labels among those that the model does not abstain from.

The threshold comes from validation articles alone, and the promise holds for the one that is chosen: it is broken at
most 5 times in 100. Thresholds are tested in a fixed sequence, from high to low, and the first failure ends it (Bauer,
1991; Angelopoulos et al., "Learn then Test", 2021, section 3), so each test has the full level of 5 %. A test is
exact: so few mistakes have a binomial probability of 5 % or less if the precision is below the wanted one (Clopper and
Pearson, 1934). The sequence depends on numbers of articles and never on the annotations: it has the numbers at which
one more mistake is tolerated, from `BEGIN` of the articles. If it began with fewer, one early mistake would end it.

Where the first test fails, the best of ten thresholds is taken, by bounds that hold for all ten together (Bonferroni),
and `reached` is false.

What the promise assumes: articles are independent, so of near-duplicates one counts. The epoch and the temperature were
chosen on the same articles, which is a little optimistic: the test split measures what was reached.
benchmarks/accuracy/calibration.py measures how often a promise is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""How sure a promise is."""

BEGIN = 0.3
"""Share of the articles that the first threshold labels at least: 0.1 to 0.5 were simulated, this one covers most."""

SHARES = 10
"""Coverages that are looked at where the target precision is not shown: a tenth of the articles, two tenths …"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The confidence `value` below which a model abstains, 0 for never, and what it reached on validation articles.

    `precision` was measured on the share `coverage` of the articles, of which near-duplicates count once, and is
    `at_least` so much.
    """

    value: float
    target_precision: float
    at_least: float
    precision: float
    coverage: float
    articles: int

    @property
    def reached(self) -> bool:
        """Whether the bound is as high as the precision that was wanted."""
        return self.at_least >= self.target_precision

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Threshold:
        """Read back what `as_json` returned."""
        return cls(**{name: value for name, value in stored.items() if name != "reached"})

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "reached": self.reached}

    def __str__(self) -> str:
        """Say it in a line."""
        said = "abstains from nothing" if not self.value else f"abstains below a confidence of {self.value:.4f}"
        found = (
            f"{said}: at least {self.at_least:.4f} precise on the {self.coverage:.1%} of {self.articles:,} validation "
            f"articles that it labels"
        )
        if self.reached:
            return f"{found}, {self.target_precision:g} was wanted"
        return f"{found}; the {self.target_precision:g} that was wanted cannot be shown with so many articles"


def choose_threshold(
    confidence: NDArray[np.float32],
    right: NDArray[np.bool_],
    wanted: float,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> Threshold:
    """Choose the lowest threshold whose precision is shown to be as wanted, or else the best one.

    `confidence` and `right` have an entry a validation article, of which there has to be one. `clusters` are numbers of
    near-duplicates, of which the first counts.
    """
    if clusters is not None:
        first = np.sort(np.unique(clusters, return_index=True)[1])
        confidence, right = confidence[first], right[first]
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order], np.cumsum(right[order], dtype=np.int64)
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))  # articles of the same confidence stay together
    passed = _passed(hits, ends, wanted)
    place, bound = (passed, wanted) if wanted and passed is not None else _best(hits, ends, everything=not wanted)
    return Threshold(
        value=0.0 if place + 1 == len(ordered) else float(ordered[place]),
        target_precision=wanted,
        at_least=bound,
        precision=float(hits[place] / (place + 1)),
        coverage=float((place + 1) / len(ordered)),
        articles=len(ordered),
    )


def tolerated(counts: NDArray[np.int64], wanted: float) -> NDArray[np.int64]:
    """Return with how many mistakes so many articles still show the precision; -1 where none is few enough."""
    from scipy.stats import binom

    # the smallest number whose probability, or that of fewer, reaches 5 %, is one too many
    found: NDArray[np.int64] = binom.ppf(1 - CONFIDENCE, counts, 1 - wanted).astype(np.int64) - 1
    return found


def lower_bound(
    hits: NDArray[np.int64], counts: NDArray[np.int64], confidence: float = CONFIDENCE
) -> NDArray[np.float64]:
    """Return what shares are at least, with a confidence each (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.nan_to_num(beta.ppf(1 - confidence, hits, counts - hits + 1))
    return found


def _passed(hits: NDArray[np.int64], ends: NDArray[np.int64], wanted: float) -> int | None:
    """Return the place of the last threshold of the sequence that is shown to be as wanted; None where none is."""
    counts = np.arange(1, len(hits) + 1)
    allowed = tolerated(counts, wanted)
    steps = np.flatnonzero(np.diff(allowed, prepend=-1) > 0)
    steps = np.append(steps[steps + 1 >= BEGIN * len(hits)], len(hits) - 1)
    places = np.unique(ends[np.searchsorted(ends, steps)])
    fails = np.flatnonzero((counts - hits)[places] > allowed[places])
    number = int(fails[0]) if len(fails) else len(places)
    return int(places[number - 1]) if number else None


def _best(hits: NDArray[np.int64], ends: NDArray[np.int64], *, everything: bool) -> tuple[int, float]:
    """Return the place with the highest bound, and the bound; with `everything`, only the last place is looked at."""
    shares = np.ceil(np.linspace(0, 1, SHARES + 1)[1:] * len(hits)).astype(np.int64) - 1
    places = np.unique(ends[np.searchsorted(ends, shares[-1:] if everything else shares)])
    bounds = lower_bound(hits[places], places + 1, 1 - (1 - CONFIDENCE) / len(places))
    best = int(np.flatnonzero(bounds == bounds.max())[-1])
    return int(places[best]), float(bounds[best])
