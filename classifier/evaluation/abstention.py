"""Below which confidence a model abstains, so that what it does say is as precise as is wanted.

Precision is the share of right labels among those that the model does not abstain from.

The threshold comes from validation articles alone. A precision as measured would promise too much, so what has to
reach the wanted one is its lower bound: Clopper and Pearson's exact one, one-sided, with 95 % confidence. Every
confidence that occurs is tried and the lowest whose bound suffices is taken, which is many tries on the same articles;
benchmarks/calibration.py measures how often a threshold then promises too much. Where none suffices, the one with the
best bound is taken, and `reached` is false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""How sure the bound is."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The confidence `value` below which a model abstains, 0 for never, and what it reached on validation articles.

    `precision` was measured on the share `coverage` of the articles, and is `at_least` so much.
    """

    value: float
    wanted_precision: float
    at_least: float
    precision: float
    coverage: float
    articles: int

    @property
    def reached(self) -> bool:
        """Whether the bound is as high as the precision that was wanted."""
        return self.at_least >= self.wanted_precision

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
            return f"{found}, {self.wanted_precision:g} was wanted"
        return f"{found}; the {self.wanted_precision:g} that was wanted cannot be shown with so many articles"


def choose(confidence: NDArray[np.float32], right: NDArray[np.bool_], wanted: float) -> Threshold:
    """Choose the lowest threshold whose precision is shown to be as wanted, or else the best one.

    `confidence` and `right` have an entry a validation article, of which there has to be one.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    counts, hits = np.arange(1, len(ordered) + 1), np.cumsum(right[order], dtype=np.int64)
    last = np.append(ordered[1:] < ordered[:-1], True)  # a threshold cannot part articles of the same confidence
    bounds = np.where(last, lower_bound(hits, counts), -1)
    enough = np.flatnonzero(bounds >= wanted)
    place = int(enough[-1]) if len(enough) else int(np.flatnonzero(bounds == bounds.max())[-1])
    return Threshold(
        value=0.0 if place + 1 == len(ordered) else float(ordered[place]),
        wanted_precision=wanted,
        at_least=float(bounds[place]),
        precision=float(hits[place] / counts[place]),
        coverage=float(counts[place] / len(ordered)),
        articles=len(ordered),
    )


def lower_bound(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what shares are at least, with `CONFIDENCE` each (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.nan_to_num(beta.ppf(1 - CONFIDENCE, hits, counts - hits + 1))
    return found
