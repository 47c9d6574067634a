"""How far what comes now is from what a model was evaluated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.sample import Strings

PARTS = 10
"""Ranges of equal numbers of test articles that numbers are counted in, as is usual for a stability index."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drift:
    """How two samples differ in their shares of the same kinds.

    `distance` is Jensen and Shannon's, base 2: 0 for the same shares, 1 where no kind occurs in both. A population
    stability index is about 5.5 times its square, so the customary 0.25 is a distance of 0.21; but an empty kind
    makes that one infinite. `p` is the chance of such a difference between samples of the same articles.
    """

    distance: float
    p: float


def between(then: Counts, now: Counts) -> Drift:
    """Compare two samples by how many they have of each kind."""
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2_contingency

    there = (then + now) > 0
    if there.sum() < 2:
        return Drift(0.0, 1.0)
    # of shares that are all but equal, rounding can make a root of less than nothing
    distance = float(np.nan_to_num(jensenshannon(then, now, base=2)))
    return Drift(distance, float(chi2_contingency(np.vstack([then, now])[:, there]).pvalue))


def of_categories(then: Strings, now: Strings) -> tuple[Strings, Counts, Counts]:
    """Return the categories, and how many articles each sample has of them."""
    names, codes = np.unique(np.concatenate([then, now]), return_inverse=True)
    first, second = codes[: len(then)], codes[len(then) :]
    return names, np.bincount(first, minlength=len(names)), np.bincount(second, minlength=len(names))


def of_numbers(then: NDArray[Any], now: NDArray[Any]) -> tuple[Counts, Counts]:
    """Return how many numbers each sample has in ranges that hold as many of the first sample's each."""
    edges = np.unique(np.quantile(then, np.linspace(0, 1, PARTS + 1)[1:-1]))
    first, second = (np.searchsorted(edges, values, side="right") for values in (then, now))
    return np.bincount(first, minlength=len(edges) + 1), np.bincount(second, minlength=len(edges) + 1)
