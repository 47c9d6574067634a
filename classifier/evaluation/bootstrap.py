"""How much a figure would vary with other test articles: the bootstrap by clusters of near-duplicates.

Near-duplicates are right or wrong together, so whole clusters are drawn, not articles. Every figure here is
a function of sums over articles. A resample needs only to know how often each *kind* of cluster was drawn,
and clusters that add the same to every sum are of one kind. So a multinomial draw over some hundred kinds is
exactly the bootstrap of thousands of articles, in milliseconds.

With a thousand categories an article adds to seven of seven thousand columns. So what articles add is kept in
sparse rows, and the sums come in blocks of resamples: memory is bounded whatever the number of categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # SciPy takes long to import: only when it is needed
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

Contributions: TypeAlias = "Floats | csr_array"
"""What each article, or each kind of cluster, adds to each sum: (rows, columns)."""

_CELLS = 4_000_000
"""Numbers drawn or summed at once, to bound memory."""


def sums(
    contributions: Contributions,
    clusters: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
    imagined: tuple[Contributions, Floats] | None = None,
) -> Floats:
    """Return the contributions' sums in each resample, (resamples, columns)."""
    return np.vstack(list(blocks(contributions, clusters, resamples=resamples, seed=seed, imagined=imagined)))


def blocks(
    contributions: Contributions,
    clusters: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
    imagined: tuple[Contributions, Floats] | None = None,
) -> Iterator[Floats]:
    """Yield the contributions' sums, (resamples, columns), some resamples at a time.

    `imagined` are further kinds of clusters that may be drawn, (kinds, columns), and how many of each.
    """
    kinds, counts = _kinds(_by_cluster(contributions, clusters))
    if imagined is not None:
        kinds, counts = _stack(kinds, imagined[0]), np.concatenate([counts, imagined[1]])
    total = round(counts.sum())
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(kinds.shape))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(total, counts / counts.sum(), size=min(step, resamples - start))
        yield np.ascontiguousarray(drawn.astype(np.float64) @ kinds)


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval that holds `level` of the resampled values."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def outcomes(
    truth: NDArray[np.int64],
    guesses: Sequence[NDArray[np.int64]],
    categories: int,
    *,
    hits: Sequence[NDArray[np.bool_]] | None = None,
) -> csr_array:
    """Return what each article adds to each category: one to its own, and of each guess to predictions and to hits.

    Shape (articles, categories * (1 + 2 * guesses)), in this order. Without `hits`, a guess hits that names the truth.
    """
    from scipy.sparse import csr_array

    hits = [guess == truth for guess in guesses] if hits is None else hits
    articles = np.arange(len(truth))
    rows, columns = [articles], [truth]
    for place, (guess, hit) in enumerate(zip(guesses, hits, strict=True)):
        first = categories * (1 + 2 * place)
        rows += [articles, articles[hit]]
        columns += [first + guess, first + categories + truth[hit]]
    places = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(truth), categories * (1 + 2 * len(guesses)))
    return csr_array((np.ones(len(places[0])), places), shape=shape)


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


def _kinds(totals: Contributions) -> tuple[Contributions, Floats]:
    """Return the distinct rows and how many there are of each.

    Rows are told apart by a random projection, which is many times faster than sorting them. Equal rows that
    rounding tells apart do no harm, and unequal ones do not fall together.
    """
    projected = totals @ np.random.default_rng(0).normal(size=totals.shape[1])
    _, first, counts = np.unique(projected, return_index=True, return_counts=True)
    return totals[first], counts.astype(np.float64)


def _by_cluster(contributions: Contributions, clusters: NDArray[np.int64]) -> Contributions:
    _, inverse = np.unique(clusters, return_inverse=True)
    if not isinstance(contributions, np.ndarray):
        from scipy.sparse import csr_array

        places = (inverse, np.arange(len(inverse)))
        totals = csr_array((np.ones(len(inverse)), places)) @ contributions
        totals.sort_indices()  # equal rows are then projected to the same bits
        return totals
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    found: Floats = np.add.reduceat(contributions[order], starts, axis=0)
    return found


def _stack(first: Contributions, second: Contributions) -> Contributions:
    if isinstance(first, np.ndarray):
        return np.vstack([first, second])
    from scipy.sparse import vstack

    return vstack([first, second], format="csr")
