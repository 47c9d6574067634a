"""Two models and the baseline on the same articles: the differences, and how far chance carries them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation import bootstrap, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CALIBRATION_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the first is than the second: as measured, and in each resample of the articles."""

    first: float
    second: float
    resampled: Floats

    @property
    def value(self) -> float:
        """The difference as measured."""
        return self.first - self.second

    def lower(self, alpha: float) -> float:
        """Return what the difference is at least, with confidence 1 - alpha.

        The percentile or, where that is less, the normal bound: of few articles that differ, percentiles are
        coarse and too near.
        """
        return min(float(np.nanquantile(self.resampled, alpha)), self.value - self._reach(alpha))

    def upper(self, alpha: float) -> float:
        """Return what the difference is at most, with confidence 1 - alpha."""
        return max(float(np.nanquantile(self.resampled, 1 - alpha)), self.value + self._reach(alpha))

    def _reach(self, alpha: float) -> float:
        from scipy.stats import norm

        return float(norm.ppf(1 - alpha)) * float(np.nanstd(self.resampled))

    def worse(self, margin: float, alpha: float) -> bool:
        """Say whether it is below the margin as measured, and below nothing beyond chance."""
        return self.value < -margin and self.upper(alpha) < 0


@dataclass(frozen=True, slots=True)
class ComparedScores:
    """Macro-F1 of several answers, and how the F1 of categories differs between the first and the last of them.

    All is as measured, row 0, and as resampled together. `compared` are the categories of which there is a
    difference; `f1` has their F1 as measured, (2, compared).
    """

    categories: tuple[str, ...]
    support: NDArray[np.int64]
    macro: tuple[Floats, ...]
    compared: tuple[str, ...]
    f1: Floats
    differences: Floats

    def macro_f1(self, first: int, second: int) -> Difference:
        """Return the difference in macro-F1 between two of the answers."""
        one, other = self.macro[first], self.macro[second]
        return Difference(float(one[0]), float(other[0]), one[1:] - other[1:])

    def category(self, name: str) -> Difference:
        """Return the difference in a category's F1 between the first answers and the last."""
        column = self.compared.index(name)
        first, last = self.f1[:, column]
        return Difference(float(first), float(last), self.differences[:, column])


def scores(
    sample: TestArticles, predicted: Sequence[Strings], *, resamples: int, enough_rows: int | None = None
) -> ComparedScores:
    """Compute macro-F1 of several predictions on the same resamples, and compare categories of enough articles.

    Without `enough_rows`, no category is compared.

    Two imagined articles may be drawn, too: one that the first predictions alone have right, and one that all
    others have right. They stand for the disagreement that a small sample has not shown yet, as Agresti and
    Min (2005) add to paired proportions; without them, 200 articles let 13 % through instead of 5 %.
    """
    names, codes = np.unique(np.concatenate([sample.truth, *predicted]), return_inverse=True)
    truth, *guesses = np.split(codes.astype(np.int64), len(predicted) + 1)
    contributions = bootstrap.outcomes(truth, guesses, len(names))
    support = np.bincount(truth, minlength=len(names))
    imagined = _pseudo_counts(support, len(predicted))
    compared = np.flatnonzero(support >= (enough_rows or len(sample) + 1))
    macro = np.empty((len(predicted), 1 + resamples))
    differences = np.empty((resamples, len(compared)))
    measured = contributions.sum(axis=0)[None]
    macro[:, 0] = [bootstrap.macro_f1(measured[:, : len(names)], *pair)[0] for pair in _pairs(measured, len(names))]
    start = 0
    for sums in bootstrap.blocks(contributions, sample.clusters, resamples=resamples, imagined=imagined):
        rows, there, pairs = slice(start, start + len(sums)), sums[:, : len(names)], _pairs(sums, len(names))
        macro[:, slice(1 + rows.start, 1 + rows.stop)] = [bootstrap.macro_f1(there, *pair) for pair in pairs]
        differences[rows] = _f1(there, pairs[0], compared) - _f1(there, pairs[-1], compared)
        start = rows.stop
    of_both = [_f1(measured[:, : len(names)], _pairs(measured, len(names))[side], compared)[0] for side in (0, -1)]
    return ComparedScores(
        tuple(str(name) for name in names),
        support,
        tuple(macro),
        tuple(str(name) for name in names[compared]),
        np.vstack(of_both),
        differences,
    )


def _pairs(sums: Floats, size: int) -> list[tuple[Floats, Floats]]:
    """Return each answer's predictions and hits, category by category, from the sums of `resampling.outcomes`."""
    parts = np.split(sums[:, size:], sums.shape[1] // size - 1, axis=1)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _f1(there: Floats, pair: tuple[Floats, Floats], columns: NDArray[np.int64]) -> Floats:
    return bootstrap.f1(there[:, columns], pair[0][:, columns], pair[1][:, columns])


def _pseudo_counts(support: NDArray[np.int64], predictions: int) -> tuple[csr_array, Floats]:
    """Return the two imagined articles, spread over the categories by their size, and how much there is of each.

    A wrong answer names the next category that occurs.
    """
    from scipy.sparse import vstack

    there = np.flatnonzero(support)
    right, wrong = (there, np.full(len(there), True)), (np.roll(there, -1), np.full(len(there), False))
    stories = [right, *[wrong] * (predictions - 1)], [wrong, *[right] * (predictions - 1)]
    both = [
        bootstrap.outcomes(there, [guess for guess, _ in told], len(support), hits=[hit for _, hit in told])
        for told in stories
    ]
    share = support[there] / support.sum()
    return vstack(both, format="csr"), np.concatenate([share, share])


def accuracy(
    sample: TestArticles, first: Strings, second: Strings, rows: NDArray[np.bool_], *, resamples: int
) -> Difference:
    """Return the difference in accuracy on some of the articles."""
    right = np.column_stack([first == sample.truth, second == sample.truth, np.ones(len(sample))])
    columns = right[rows].astype(np.float64)
    sums = bootstrap.sums(columns, sample.clusters[rows], resamples=resamples)
    one, other, count = columns.sum(axis=0)
    return Difference(one / count, other / count, (sums[:, 0] - sums[:, 1]) / sums[:, 2])


def calibration_error(sample: TestArticles, first: Predictions, second: Predictions) -> Difference:
    """Return how much smaller the first one's expected calibration error is."""
    both = [reliability.contributions(sample.truth, answers) for answers in (first, second)]
    sums = bootstrap.sums(np.hstack(both), sample.clusters, resamples=CALIBRATION_RESAMPLES)
    one, other = (reliability.error(part) for part in np.split(sums, 2, axis=1))
    measured = [float(reliability.error(part.sum(axis=0))) for part in both]
    return Difference(-measured[0], -measured[1], other - one)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Articles that only one of two models has right, and the exact one-sided p that the first is the worse."""

    only_first: int
    only_second: int
    p_worse: float
    p_two_sided: float


def mcnemar(sample: TestArticles, first: Strings, second: Strings) -> McNemar:
    """Test whether two models err equally often: exactly, on the articles where one alone is right."""
    from scipy.stats import binomtest

    one, other = first == sample.truth, second == sample.truth
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    total = only_first + only_second
    if not total:
        return McNemar(0, 0, 1.0, 1.0)
    worse = binomtest(only_first, total, 0.5, alternative="less").pvalue
    return McNemar(only_first, only_second, float(worse), float(binomtest(only_first, total, 0.5).pvalue))


def articles_needed(articles: int, deviation: float, gap: float, *, alpha: float, power: float) -> int | None:
    """Estimate how many articles decide, if the measured difference, `gap` above the bound, is the true one.

    The standard deviation of a difference shrinks with the root of the number of articles. None where no
    number does.
    """
    from scipy.stats import norm

    if gap <= 0:
        return None
    reach = float(norm.ppf(1 - alpha) + norm.ppf(power)) * deviation / gap
    return math.ceil(articles * reach**2)
