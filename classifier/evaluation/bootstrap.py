"""How much a figure varies with other test articles: the bootstrap by clusters of near-duplicates.

The predictions on near-duplicates are correct or wrong together, so whole clusters are resampled, not articles. Every
figure is a function of sums over articles. So a resample needs only how often each *kind* of cluster was drawn, where
clusters that add the same to every sum are of one kind. A multinomial draw over a few hundred kinds is exactly the
bootstrap of thousands of articles, and takes milliseconds.

With a thousand categories, an article adds to seven of seven thousand columns. So the contributions of articles are
sparse rows, and the sums come in blocks of resamples: memory is bounded whatever the number of categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix

if TYPE_CHECKING:  # SciPy takes long to import: only when it is needed
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

Contributions: TypeAlias = "Floats | csr_array"
"""What each article, or each kind of cluster, adds to each sum; shape (rows, columns)."""

_CELLS = 4_000_000
"""Numbers drawn or summed at once; this bounds memory."""


def resample_sums(
    contributions: Contributions,
    clusters: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
    pseudo_counts: tuple[Contributions, Floats] | None = None,
) -> Floats:
    """Return the sums of the contributions in each resample, shape (resamples, columns)."""
    return np.vstack(
        list(resample_blocks(contributions, clusters, resamples=resamples, seed=seed, pseudo_counts=pseudo_counts))
    )


def resample_blocks(
    contributions: Contributions,
    clusters: NDArray[np.int64],
    *,
    resamples: int,
    seed: int = 0,
    pseudo_counts: tuple[Contributions, Floats] | None = None,
) -> Iterator[Floats]:
    """Yield the sums of the contributions for some resamples at a time, shape (resamples, columns).

    `pseudo_counts` are further kinds of clusters that may be drawn, shape (kinds, columns), and the number of each.
    """
    kinds, counts = _kinds(_by_cluster(contributions, clusters))
    if pseudo_counts is not None:
        kinds, counts = _stack(kinds, pseudo_counts[0]), np.concatenate([counts, pseudo_counts[1]])
    total = round(counts.sum())
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(kinds.shape))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(total, counts / counts.sum(), size=min(step, resamples - start))
        yield np.ascontiguousarray(drawn.astype(np.float64) @ kinds)


def percentile_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval that contains the share `level` of the resampled values."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_interval(correct: NDArray[np.bool_], clusters: NDArray[np.int64], *, resamples: int) -> tuple[float, float]:
    """Return the percentile interval of the share of correct articles; there must be at least one article."""
    columns: Floats = np.column_stack([correct, np.ones(len(correct))]).astype(np.float64)
    sums = resample_sums(columns, clusters, resamples=resamples)
    return percentile_interval(sums[:, 0] / sums[:, 1])


def count_outcomes(
    truth: NDArray[np.int64],
    predictions: Sequence[NDArray[np.int64]],
    categories: int,
    *,
    hits: Sequence[NDArray[np.bool_]] | None = None,
) -> csr_array:
    """Return what each article adds to each category: to its articles, then for each model to predictions and hits.

    Shape (articles, categories * (1 + 2 * models)), in this order. By default, a prediction of the true category is a
    hit.
    """
    from scipy.sparse import csr_array

    hits = [predicted == truth for predicted in predictions] if hits is None else hits
    articles = np.arange(len(truth))
    rows, columns = [articles], [truth]
    for number, (predicted, hit) in enumerate(zip(predictions, hits, strict=True)):
        first = categories * (1 + 2 * number)
        rows += [articles, articles[hit]]
        columns += [first + predicted, first + categories + truth[hit]]
    cells = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(truth), categories * (1 + 2 * len(predictions)))
    return csr_array((np.ones(len(cells[0])), cells), shape=shape)


def count_label_outcomes(truth: LabelMatrix, predictions: Sequence[LabelMatrix]) -> csr_array:
    """Return what each article of a multi-label task adds to each category, in the order of `count_outcomes`.

    All matrices have the shape (articles, categories).
    """
    from scipy.sparse import csr_array, hstack

    blocks = [truth, *(block for predicted in predictions for block in (predicted, predicted & truth))]
    return csr_array(hstack([csr_array(block, dtype=np.float64) for block in blocks], format="csr"))


def f1(truth: Floats, predicted: Floats, hits: Floats) -> Floats:
    """Return the F1 of each category from sums; NaN for a category that occurs nowhere."""
    with np.errstate(invalid="ignore"):
        scores: Floats = 2 * hits / (truth + predicted)
    return scores


def macro_f1(truth: Floats, predicted: Floats, hits: Floats) -> Floats:
    """Return the mean F1 of the categories that occur in `truth`, along the last axis; 0 if none does."""
    occurs = truth > 0
    scores = np.where(occurs, np.nan_to_num(f1(truth, predicted, hits)), 0)
    mean: Floats = scores.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return mean


def micro_f1(truth: Floats, predicted: Floats, hits: Floats) -> Floats:
    """Return F1 over the labels of all categories, along the last axis; 0 if there is no label.

    For a single-label task, this is the accuracy.
    """
    total = (truth + predicted).sum(axis=-1)
    score: Floats = 2 * hits.sum(axis=-1) / np.where(total > 0, total, 1)
    return score


def _kinds(totals: Contributions) -> tuple[Contributions, Floats]:
    """Return the distinct rows and the number of each.

    A random projection distinguishes rows, many times faster than sorting them. Equal rows may be counted separately
    because of rounding, which does no harm; different rows are never counted together.
    """
    projected = totals @ np.random.default_rng(0).normal(size=totals.shape[1])
    _, first, counts = np.unique(projected, return_index=True, return_counts=True)
    return totals[first], counts.astype(np.float64)


def _by_cluster(contributions: Contributions, clusters: NDArray[np.int64]) -> Contributions:
    _, inverse = np.unique(clusters, return_inverse=True)
    if not isinstance(contributions, np.ndarray):
        from scipy.sparse import csr_array

        cells = (inverse, np.arange(len(inverse)))
        totals = csr_array((np.ones(len(inverse)), cells)) @ contributions
        totals.sort_indices()  # so that equal rows have the same projection, bit for bit
        return totals
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    sums: Floats = np.add.reduceat(contributions[order], starts, axis=0)
    return sums


def _stack(first: Contributions, second: Contributions) -> Contributions:
    if isinstance(first, np.ndarray):
        return np.vstack([first, second])
    from scipy.sparse import vstack

    return vstack([first, second], format="csr")
