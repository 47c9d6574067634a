"""Compare two models and the baseline on the same articles: the differences, and how much chance varies them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix
from classifier.evaluation import bootstrap, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.label_sets import LabelSetArticles
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CALIBRATION_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the first is than the second: as measured, and in each bootstrap resample."""

    first: float
    second: float
    resampled: Floats

    @property
    def value(self) -> float:
        """The difference as measured."""
        return self.first - self.second

    def lower(self, alpha: float) -> float:
        """Return the lower bound of the difference, with confidence 1 - alpha.

        This is the smaller of the percentile and the normal bound: if few articles differ, percentiles are coarse and
        too narrow.
        """
        return min(float(np.nanquantile(self.resampled, alpha)), self.value - self._half_width(alpha))

    def upper(self, alpha: float) -> float:
        """Return the upper bound of the difference, with confidence 1 - alpha."""
        return max(float(np.nanquantile(self.resampled, 1 - alpha)), self.value + self._half_width(alpha))

    def _half_width(self, alpha: float) -> float:
        from scipy.stats import norm

        return float(norm.ppf(1 - alpha)) * float(np.nanstd(self.resampled))

    def worse(self, margin: float, alpha: float) -> bool:
        """Return whether the measured drop exceeds the margin, and is beyond chance."""
        return self.value < -margin and self.upper(alpha) < 0


@dataclass(frozen=True, slots=True)
class ComparedScores:
    """Macro- and micro-F1 of several predictions, and the F1 of categories in the first and the last of them.

    Row 0 is measured, and the other rows are resampled together. `compared` are the categories with enough articles;
    `f1` has their measured F1, shape (2, compared).
    """

    categories: tuple[str, ...]
    support: NDArray[np.int64]
    macro: tuple[Floats, ...]
    micro: tuple[Floats, ...]
    compared: tuple[str, ...]
    f1: Floats
    differences: Floats

    def macro_f1(self, first: int, second: int) -> Difference:
        """Return the difference in macro-F1 between two of the predictions."""
        return self._difference(self.macro[first], self.macro[second])

    def micro_f1(self, first: int, second: int) -> Difference:
        """Return the difference in micro-F1 between two of the predictions."""
        return self._difference(self.micro[first], self.micro[second])

    def _difference(self, ours: Floats, theirs: Floats) -> Difference:
        return Difference(float(ours[0]), float(theirs[0]), ours[1:] - theirs[1:])

    def category(self, name: str) -> Difference:
        """Return the difference in a category's F1 between the first predictions and the last."""
        column = self.compared.index(name)
        first, last = self.f1[:, column]
        return Difference(float(first), float(last), self.differences[:, column])


def compare_scores(
    articles: TestArticles, predicted: Sequence[Strings], *, resamples: int, min_articles: int | None = None
) -> ComparedScores:
    """Return macro-F1 of several predictions on the same resamples, and compare categories of enough articles.

    If `min_articles` is None, no category is compared.

    Two pseudo-counts may be drawn too: an article on which only the first predictions are correct, and one on which all
    others are. They represent the disagreement that few articles have not shown yet, as Agresti and Min (2005) add it
    to paired proportions. Without them, 13 % instead of 5 % would pass at 200 articles.
    """
    names, codes = np.unique(np.concatenate([articles.truth, *predicted]), return_inverse=True)
    truth, *predictions = np.split(codes.astype(np.int64), len(predicted) + 1)
    outcomes = _Outcomes(
        tuple(str(name) for name in names),
        np.bincount(truth, minlength=len(names)),
        bootstrap.count_outcomes(truth, predictions, len(names)),
        articles.clusters,
    )
    return _resample_scores(outcomes, resamples, min_articles)


def compare_label_sets(
    articles: LabelSetArticles, predicted: Sequence[LabelMatrix], *, resamples: int, min_articles: int | None = None
) -> ComparedScores:
    """Return what `compare_scores` returns, for the label sets of a multi-label task.

    The predictions have the columns of `articles.truth`. The pseudo-counts are articles with one label each.
    """
    outcomes = _Outcomes(
        articles.categories,
        articles.truth.sum(axis=0, dtype=np.int64),
        bootstrap.count_label_outcomes(articles.truth, predicted),
        articles.clusters,
    )
    return _resample_scores(outcomes, resamples, min_articles)


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """What each article adds to the sums of `bootstrap.count_outcomes`; `support` has each category's articles."""

    categories: tuple[str, ...]
    support: NDArray[np.int64]
    contributions: csr_array
    clusters: NDArray[np.int64]

    @property
    def predictions(self) -> int:
        """The number of predictions."""
        return int(self.contributions.shape[1] // len(self.categories) - 1) // 2


def _resample_scores(outcomes: _Outcomes, resamples: int, min_articles: int | None) -> ComparedScores:
    size, support = len(outcomes.categories), outcomes.support
    compared = np.flatnonzero(support >= (min_articles or len(outcomes.clusters) + 1))
    macro, micro = (np.empty((outcomes.predictions, 1 + resamples)) for _ in range(2))
    differences = np.empty((resamples, len(compared)))
    measured = outcomes.contributions.sum(axis=0)[None]
    blocks = bootstrap.resample_blocks(
        outcomes.contributions,
        outcomes.clusters,
        resamples=resamples,
        pseudo_counts=_pseudo_counts(support, outcomes.predictions),
    )
    start = 0
    for sums in chain([measured], blocks):
        rows, counts, pairs = slice(start, start + len(sums)), sums[:, :size], _pairs(sums, size)
        macro[:, rows] = [bootstrap.macro_f1(counts, *pair) for pair in pairs]
        micro[:, rows] = [bootstrap.micro_f1(counts, *pair) for pair in pairs]
        if start:
            difference = _f1(counts, pairs[0], compared) - _f1(counts, pairs[-1], compared)
            differences[rows.start - 1 : rows.stop - 1] = difference
        start = rows.stop
    measured_f1 = [_f1(measured[:, :size], _pairs(measured, size)[side], compared)[0] for side in (0, -1)]
    return ComparedScores(
        outcomes.categories,
        support,
        tuple(macro),
        tuple(micro),
        tuple(outcomes.categories[column] for column in compared),
        np.vstack(measured_f1),
        differences,
    )


def _pairs(sums: Floats, size: int) -> list[tuple[Floats, Floats]]:
    """Return the predictions and hits of each model by category, from the sums of `bootstrap.count_outcomes`."""
    parts = np.split(sums[:, size:], sums.shape[1] // size - 1, axis=1)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _f1(counts: Floats, pair: tuple[Floats, Floats], columns: NDArray[np.int64]) -> Floats:
    return bootstrap.f1(counts[:, columns], pair[0][:, columns], pair[1][:, columns])


def _pseudo_counts(support: NDArray[np.int64], predictions: int) -> tuple[csr_array, Floats]:
    """Return the two pseudo-counts, spread over the categories by their size, and the weight of each part.

    A wrong prediction names the next category that occurs.
    """
    from scipy.sparse import vstack

    present = np.flatnonzero(support)
    correct = present, np.full(len(present), True)
    wrong = np.roll(present, -1), np.full(len(present), False)
    cases = [correct, *[wrong] * (predictions - 1)], [wrong, *[correct] * (predictions - 1)]
    both = [
        bootstrap.count_outcomes(
            present, [predicted for predicted, _ in case], len(support), hits=[hits for _, hits in case]
        )
        for case in cases
    ]
    share = support[present] / support.sum()
    return vstack(both, format="csr"), np.concatenate([share, share])


def accuracy(
    articles: TestArticles, first: Strings, second: Strings, rows: NDArray[np.bool_], *, resamples: int
) -> Difference:
    """Return the difference in accuracy on some of the articles."""
    correct = first == articles.truth, second == articles.truth
    return share_correct(correct, articles.clusters, rows, resamples=resamples)


def share_correct(
    correct: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    clusters: NDArray[np.int64],
    rows: NDArray[np.bool_],
    *,
    resamples: int,
) -> Difference:
    """Return the difference between two models' shares of correct articles, among some of the articles."""
    columns = np.column_stack([*correct, np.ones(len(clusters))])[rows].astype(np.float64)
    sums = bootstrap.resample_sums(columns, clusters[rows], resamples=resamples)
    ours, theirs, count = columns.sum(axis=0)
    return Difference(ours / count, theirs / count, (sums[:, 0] - sums[:, 1]) / sums[:, 2])


def calibration_error(articles: TestArticles, first: Predictions, second: Predictions) -> Difference:
    """Return how much smaller the expected calibration error of the first is."""
    both = [reliability.contributions(articles.truth, predictions) for predictions in (first, second)]
    return calibration_difference(both, articles.clusters)


def calibration_difference(both: Sequence[Floats], clusters: NDArray[np.int64]) -> Difference:
    """Return how much smaller the first calibration error is, from two models' `reliability.contributions`."""
    sums = bootstrap.resample_sums(np.hstack(both), clusters, resamples=CALIBRATION_RESAMPLES)
    ours, theirs = (reliability.calibration_error(part) for part in np.split(sums, 2, axis=1))
    measured = [float(reliability.calibration_error(part.sum(axis=0))) for part in both]
    return Difference(-measured[0], -measured[1], theirs - ours)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Articles on which only one of two models is correct, and exact p-values: that the first is worse, two-sided."""

    only_first: int
    only_second: int
    p_worse: float
    p_two_sided: float


def mcnemar(articles: TestArticles, first: Strings, second: Strings) -> McNemar:
    """Return McNemar's exact test of equal accuracy, on the articles on which only one model is correct."""
    return mcnemar_test(first == articles.truth, second == articles.truth)


def mcnemar_test(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> McNemar:
    """Return McNemar's exact test, from whether each of two models is correct on each article."""
    from scipy.stats import binomtest

    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    total = only_first + only_second
    if not total:
        return McNemar(0, 0, 1.0, 1.0)
    worse = binomtest(only_first, total, 0.5, alternative="less").pvalue
    return McNemar(only_first, only_second, float(worse), float(binomtest(only_first, total, 0.5).pvalue))


def articles_needed(articles: int, deviation: float, gap: float, *, alpha: float, power: float) -> int | None:
    """Return how many articles would decide if the measured difference, `gap` above the bound, is the true one.

    The standard deviation of a difference shrinks with the square root of the number of articles. The result is None
    if no number of articles would decide.
    """
    from scipy.stats import norm

    if gap <= 0:
        return None
    width = float(norm.ppf(1 - alpha) + norm.ppf(power)) * deviation / gap
    return math.ceil(articles * width**2)
