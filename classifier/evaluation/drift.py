"""How far the newest articles are from those that a model was evaluated on, beyond chance.

Two samples of the same articles always differ: the squared Jensen-Shannon distance of finite samples is too large on
average (Grosse et al., Physical Review E 65, 2002), by about (kinds - 1) / (8 ln 2) * (1 / n + 1 / m) bits. With 1,000
categories and 500 articles that alone is a distance above 0.6. So the assignment of articles to the samples is
permuted: given the number of articles of each kind in both samples together, a permutation is a draw from the
multivariate hypergeometric distribution. The permutations give the p-value, exact for any number of articles (Phipson
and Smyth, 2010). They also give the mean squared distance by chance, which is subtracted as Miller (1955) subtracts the
bias of an entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.test_articles import Strings

RANGES = 10
"""Number of ranges with equally many test articles, as is usual for a stability index."""

PERMUTATIONS = 999
"""The smallest p-value is then 0.001."""

_CELLS = 4_000_000
"""Numbers drawn at once; this bounds memory."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """How two samples differ in their shares of the same kinds.

    `distance` is the Jensen-Shannon distance, base 2: 0 for the same shares, 1 if no kind occurs in both samples. A
    population stability index is about 5.5 times its square, so the usual 0.25 is a distance of 0.21; but an empty kind
    makes that index infinite. `by_chance` is the root of the mean squared distance between samples of the same
    articles; `p` is the share of such samples that are at least as far apart.
    """

    distance: float
    by_chance: float
    p: float

    @property
    def beyond_chance(self) -> float:
        """The distance without the part expected by chance: the root of the difference of the squares, at least 0."""
        return float(np.sqrt(max(self.distance**2 - self.by_chance**2, 0)))


def compare_counts(then: Counts, now: Counts, *, seed: int = 0) -> Drift:
    """Return how two samples differ, from their counts of each kind. The same counts give the same result."""
    present = (then + now) > 0
    if present.sum() < 2:
        return Drift(0.0, 0.0, 1.0)
    first, second = then[present], now[present]
    squared = float(_squared_distances(first[np.newaxis], second[np.newaxis])[0])
    permuted = _permuted(first + second, int(second.sum()), seed)
    return Drift(
        float(np.sqrt(squared)), float(np.sqrt(permuted.mean())), permutation_p_value(permuted >= squared - 1e-12)
    )


def lower_mean_p(then: Floats, now: Floats, *, seed: int = 0) -> float:
    """Return the one-sided p-value of a permutation test for a lower mean now."""
    generator = np.random.default_rng(seed)
    both, count = np.concatenate([then, now]), len(now)
    # comparing sums is enough, because the sum of both samples stays the same
    sums = np.array([generator.permuted(both)[:count].sum() for _ in range(PERMUTATIONS)])
    return permutation_p_value(sums <= now.sum() + 1e-9)


def permutation_p_value(at_least_as_extreme: NDArray[np.bool_]) -> float:
    """Return the p-value of a permutation test; the observed samples count as one of the permutations."""
    return float((1 + at_least_as_extreme.sum()) / (1 + len(at_least_as_extreme)))


def _permuted(pooled: Counts, drawn: int, seed: int) -> Floats:
    """Return squared distances between the parts of random splits, with `drawn` articles in the second part."""
    generator = np.random.default_rng(seed)
    batch = max(1, _CELLS // len(pooled))
    distances = []
    for begin in range(0, PERMUTATIONS, batch):
        size = min(batch, PERMUTATIONS - begin)
        second = generator.multivariate_hypergeometric(pooled, drawn, size=size)
        distances.append(_squared_distances(pooled - second, second))
    return np.concatenate(distances)


def _squared_distances(first: Counts, second: Counts) -> Floats:
    """Return the Jensen-Shannon divergence of each row's shares, in bits; shape (rows,) from (rows, kinds)."""
    from scipy.spatial.distance import jensenshannon

    # if shares are almost equal, rounding can give the root of a negative number
    squared: Floats = np.nan_to_num(jensenshannon(first, second, base=2, axis=1)) ** 2
    return squared


def count_categories(then: Strings, now: Strings) -> tuple[Strings, Counts, Counts]:
    """Return the categories, and the number of articles in each of them for both samples."""
    names, codes = np.unique(np.concatenate([then, now]), return_inverse=True)
    first, second = codes[: len(then)], codes[len(then) :]
    return names, np.bincount(first, minlength=len(names)), np.bincount(second, minlength=len(names))


def count_ranges(then: NDArray[Any], now: NDArray[Any]) -> tuple[Counts, Counts]:
    """Return how many numbers each sample has in ranges that contain equally many numbers of the first sample."""
    edges = np.unique(np.quantile(then, np.linspace(0, 1, RANGES + 1)[1:-1]))
    first, second = (np.searchsorted(edges, values, side="right") for values in (then, now))
    return np.bincount(first, minlength=len(edges) + 1), np.bincount(second, minlength=len(edges) + 1)
