"""How much a figure would vary with other test articles: the bootstrap by clusters of near-duplicates.

Near-duplicates are right or wrong together, so whole clusters are drawn, not articles. Every figure here is
a function of sums over articles. A resample needs only to know how often each *kind* of cluster was drawn,
and clusters that add the same to every sum are of one kind. So a multinomial draw over some hundred kinds is
exactly the bootstrap of thousands of articles, in milliseconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CELLS = 4_000_000
"""Numbers drawn at once, to bound memory."""


def sums(
    contributions: Floats,
    clusters: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
    imagined: tuple[Floats, Floats] | None = None,
) -> Floats:
    """Return the contributions' sums in each resample, (resamples, columns), from (articles, columns).

    `imagined` are further kinds of clusters that may be drawn, (kinds, columns), and how many of each.
    """
    kinds, counts = _kinds(_by_cluster(contributions, clusters))
    if imagined is not None:
        kinds, counts = np.vstack([kinds, imagined[0]]), np.concatenate([counts, imagined[1]])
    total = round(counts.sum())
    generator = np.random.default_rng(seed)
    found = np.empty((resamples, contributions.shape[1]))
    step = max(1, _CELLS // len(kinds))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.multinomial(total, counts / counts.sum(), size=size)
        found[start : start + size] = drawn.astype(np.float64) @ kinds
    return found


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval that holds `level` of the resampled values."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def counts(truth: NDArray[np.int64], predicted: NDArray[np.int64], categories: int) -> Floats:
    """Return what each article adds to a category's predictions and to its hits: (articles, 2 * categories)."""
    guessed = one_hot(predicted, categories)
    return np.hstack([guessed, guessed * one_hot(truth, categories)])


def one_hot(values: NDArray[np.int64], categories: int) -> Floats:
    """Return 1 in the column of each value: (articles, categories)."""
    found = np.zeros((len(values), categories))
    found[np.arange(len(values)), values] = 1
    return found


def f1(truth: Floats, guessed: Floats, hits: Floats) -> Floats:
    """Return F1 from sums, category by category; not a number where a category occurs nowhere."""
    with np.errstate(invalid="ignore"):
        found: Floats = 2 * hits / (truth + guessed)
    return found


def macro_f1(truth: Floats, guessed: Floats, hits: Floats) -> Floats:
    """Return the mean F1 of the categories that occur in `truth`, along the last axis."""
    there = truth > 0
    scores = np.where(there, np.nan_to_num(f1(truth, guessed, hits)), 0)
    found: Floats = scores.sum(axis=-1) / there.sum(axis=-1)
    return found


def _kinds(totals: Floats) -> tuple[Floats, Floats]:
    """Return the distinct rows and how many there are of each.

    Rows are told apart by a random projection, which is many times faster than sorting them. Equal rows that
    rounding tells apart do no harm, and unequal ones do not fall together.
    """
    projected = totals @ np.random.default_rng(0).normal(size=totals.shape[1])
    _, first, counts = np.unique(projected, return_index=True, return_counts=True)
    return totals[first], counts.astype(np.float64)


def _by_cluster(contributions: Floats, clusters: NDArray[np.int64]) -> Floats:
    _, inverse = np.unique(clusters, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    found: Floats = np.add.reduceat(contributions[order], starts, axis=0)
    return found
