"""How far what comes now is from what a model was evaluated on, beyond what chance alone makes of it.

Two samples of the same articles are never alike: the squared Jensen-Shannon distance of finite samples is too large on
average (Grosse et al., Physical Review E 65, 2002), by about (kinds - 1) / (8 ln 2) * (1 / n + 1 / m) bits. With 1,000
categories and 500 articles that alone is a distance above 0.6. So each sample's share of the articles is permuted:
given how many articles there are of each kind in both samples together, a permutation is a draw of the multivariate
hypergeometric distribution. The permutations give the p-value, exact for any number of articles (Phipson and Smyth,
2010), and the mean squared distance by chance, which is subtracted as Miller (1955) subtracts the bias of an entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.test_articles import Strings

PARTS = 10
"""Ranges of equal numbers of test articles that numbers are counted in, as is usual for a stability index."""

PERMUTATIONS = 999
"""The smallest p-value is then 0.001."""

_CELLS = 4_000_000
"""Numbers drawn at once, to bound memory."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """How two samples differ in their shares of the same kinds.

    `distance` is Jensen and Shannon's, base 2: 0 for the same shares, 1 where no kind occurs in both. A population
    stability index is about 5.5 times its square, so the customary 0.25 is a distance of 0.21; but an empty kind
    makes that one infinite. `by_chance` is the root of the mean squared distance between samples of the same articles,
    `p` the share of such samples that are at least as far apart.
    """

    distance: float
    by_chance: float
    p: float

    @property
    def beyond_chance(self) -> float:
        """The distance less what is expected by chance: the root of the difference of the squares, from 0."""
        return float(np.sqrt(max(self.distance**2 - self.by_chance**2, 0)))


def between(then: Counts, now: Counts, *, seed: int = 0) -> Drift:
    """Compare two samples by how many they have of each kind. The same counts give the same result."""
    present = (then + now) > 0
    if present.sum() < 2:
        return Drift(0.0, 0.0, 1.0)
    first, second = then[present], now[present]
    squared = float(_squared_distances(first[np.newaxis], second[np.newaxis])[0])
    permuted = _permuted(first + second, int(second.sum()), seed)
    return Drift(float(np.sqrt(squared)), float(np.sqrt(permuted.mean())), p_value(permuted >= squared - 1e-12))


def lower_mean_p(then: Floats, now: Floats, *, seed: int = 0) -> float:
    """Return the one-sided p-value of a permutation test for a lower mean now."""
    generator = np.random.default_rng(seed)
    both, count = np.concatenate([then, now]), len(now)
    # the sum of the numbers that are drawn decides, as that of all stays the same
    sums = np.array([generator.permuted(both)[:count].sum() for _ in range(PERMUTATIONS)])
    return p_value(sums <= now.sum() + 1e-9)


def p_value(at_least_as_extreme: NDArray[np.bool_]) -> float:
    """Return the p-value of a permutation test: what was observed counts as one of the permutations."""
    return float((1 + at_least_as_extreme.sum()) / (1 + len(at_least_as_extreme)))


def _permuted(pooled: Counts, drawn: int, seed: int) -> Floats:
    """Return squared distances of samples drawn from the pooled articles, `drawn` in one and the rest in the other."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _CELLS // len(pooled))
    found = []
    for begin in range(0, PERMUTATIONS, at_once):
        size = min(at_once, PERMUTATIONS - begin)
        second = generator.multivariate_hypergeometric(pooled, drawn, size=size)
        found.append(_squared_distances(pooled - second, second))
    return np.concatenate(found)


def _squared_distances(first: Counts, second: Counts) -> Floats:
    """Return the Jensen-Shannon divergence of each row's shares, in bits; shape (rows,) from (rows, kinds)."""
    from scipy.spatial.distance import jensenshannon

    # of shares that are all but equal, rounding can make a root of less than nothing
    found: Floats = np.nan_to_num(jensenshannon(first, second, base=2, axis=1)) ** 2
    return found


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
