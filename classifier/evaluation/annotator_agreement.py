"""How far people agree beyond chance: Cohen's kappa, Krippendorff's alpha, and each annotator's drift from the others.

An opinion is a row of zeros and ones over the categories. Disagreement in a category is the share of pairs of opinions
of which one has it and the other does not. Both coefficients are one minus the observed disagreement divided by the
disagreement expected by chance, and both sums run over the categories. Of a single-label task, that is exactly the
nominal coefficient. Of a multi-label task, two label sets differ by the number of labels that only one of them has; a
single category is a binary question. Intervals are percentile intervals of a bootstrap over articles.

Sources:
    Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 37-46.
    Krippendorff (2011), "Computing Krippendorff's alpha-reliability", University of Pennsylvania.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifier.articles import TaskKind
from classifier.evaluation import bootstrap
from classifier.evaluation.bootstrap import Floats

if TYPE_CHECKING:  # SciPy takes long to import: only when it is needed
    from scipy.sparse import csr_array

RESAMPLES = 500

MIN_ARTICLES = 20
"""Articles below which no figure is given: its interval would span most of the scale."""


@dataclass(frozen=True, slots=True)
class IndependentOpinion:
    """A person's first annotation of an article, before any resolution; `month` is that of the annotation."""

    article_id: int
    annotator: str
    labels: tuple[str, ...]
    month: str


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A chance-corrected coefficient, 1 for perfect agreement and 0 for chance, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CategoryAgreement:
    """Krippendorff's alpha of a category as a binary question; `articles` are those to which a person gave it."""

    category: str
    articles: int
    alpha: Coefficient | None


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Cohen's kappa of two annotators on the articles that both annotated; `agreed` have exactly the same labels."""

    first: str
    second: str
    articles: int
    agreed: int
    kappa: Coefficient | None


@dataclass(frozen=True, slots=True)
class MonthAgreement:
    """Cohen's kappa of an annotator and the majority of the others, on the articles of a month."""

    month: str
    articles: int
    kappa: Coefficient | None


@dataclass(frozen=True, slots=True)
class AnnotatorAgreement:
    """Cohen's kappa of an annotator and the majority of the others, in total and by month; articles with a majority."""

    annotator: str
    articles: int
    kappa: Coefficient | None
    months: tuple[MonthAgreement, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement on the articles that at least two people annotated, each list with the lowest figures first.

    `opinions` is the number of annotations. A figure is None if fewer than `MIN_ARTICLES` articles support it, or if
    chance alone would give perfect agreement.
    """

    articles: int
    opinions: int
    alpha: Coefficient | None
    categories: tuple[CategoryAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    annotators: tuple[AnnotatorAgreement, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """Opinions as arrays; `labels` is (opinions, categories), the others have an entry an opinion."""

    articles: NDArray[np.int64]
    annotators: NDArray[np.str_]
    months: NDArray[np.str_]
    labels: csr_array
    categories: tuple[str, ...]


def measure_agreement(opinions: Sequence[IndependentOpinion], kind: TaskKind) -> Agreement:
    """Return the agreement of people on a task of this kind; an annotator has one opinion on an article at most."""
    table = _make_table(opinions)
    if table is None:
        return Agreement(0, 0, None, (), (), ())
    alphas = krippendorff_alpha(table.articles, table.labels)
    counts = _distinct(table)
    categories = [
        CategoryAgreement(name, count, alpha if count >= MIN_ARTICLES else None)
        for name, count, alpha in zip(table.categories, counts, alphas[1:], strict=True)
    ]
    articles = len(np.unique(table.articles))
    return Agreement(
        articles,
        len(table.articles),
        alphas[0] if articles >= MIN_ARTICLES else None,
        tuple(sorted(categories, key=lambda each: _order(each.alpha, each.articles))),
        tuple(sorted(_pairs(table), key=lambda each: _order(each.kappa, each.articles))),
        tuple(sorted(_annotators(table, kind), key=lambda each: _order(each.kappa, each.articles))),
    )


def _order(coefficient: Coefficient | None, articles: int) -> tuple[bool, float, int]:
    """Return the sort key that puts the lowest figures first, and those without a figure last."""
    return coefficient is None, coefficient.value if coefficient else 0.0, -articles


def _make_table(opinions: Sequence[IndependentOpinion]) -> _Table | None:
    """Return the opinions on articles with at least two of them; None if there is no such article."""
    from scipy.sparse import csr_array

    ids = np.array([opinion.article_id for opinion in opinions], dtype=np.int64)
    _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    kept = [opinion for opinion, several in zip(opinions, counts[inverse] > 1, strict=True) if several]
    if not kept:
        return None
    categories = tuple(sorted({name for opinion in kept for name in opinion.labels}))
    columns = {name: column for column, name in enumerate(categories)}
    cells = [(row, columns[name]) for row, opinion in enumerate(kept) for name in opinion.labels]
    rows, positions = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    return _Table(
        np.unique([opinion.article_id for opinion in kept], return_inverse=True)[1].astype(np.int64),
        np.array([opinion.annotator for opinion in kept]),
        np.array([opinion.month for opinion in kept]),
        csr_array((np.ones(len(rows)), (rows, positions)), shape=(len(kept), len(categories))),
        categories,
    )


def _distinct(table: _Table) -> list[int]:
    """Return the number of articles to which a person gave each category."""
    rows, columns = table.labels.nonzero()
    pairs = np.unique(np.column_stack([table.articles[rows], columns]), axis=0)
    return [int(count) for count in np.bincount(pairs[:, 1], minlength=len(table.categories))]


def krippendorff_alpha(articles: NDArray[np.int64], labels: csr_array) -> list[Coefficient | None]:
    """Return Krippendorff's alpha over all categories, then of each category; Krippendorff (2011), section C.

    `articles` has the article of each opinion, `labels` its categories as zeros and ones, shape (opinions, categories).
    Articles with one opinion are left out. With n opinions on all articles, of which n_c have the category c, the
    expected disagreement is the sum of 2 n_c (n - n_c) / (n - 1), and the observed one the sum over articles of
    2 k (m - k) / (m - 1), where k of an article's m opinions have the category.
    """
    from scipy.sparse import csr_array, hstack

    _, units, sizes = np.unique(articles, return_inverse=True, return_counts=True)
    of_units = csr_array((np.ones(len(units)), (units, np.arange(len(units)))))
    several = np.flatnonzero(sizes > 1)
    counts = csr_array(of_units @ labels)[several]
    totals = sizes[several].astype(np.float64)
    observed = counts.copy()
    m = np.repeat(totals, np.diff(counts.indptr))
    observed.data = 2 * counts.data * (m - counts.data) / (m - 1)
    width = labels.shape[1]
    contributions = csr_array(hstack([counts, observed, csr_array(totals[:, None])], format="csr"))

    def coefficients(sums: Floats) -> Floats:
        with_category, disagreement, n = sums[:, :width], sums[:, width:-1], sums[:, -1:]
        expected = 2 * with_category * (n - with_category) / (n - 1)
        return _one_minus_ratio(disagreement, expected)

    return _with_intervals(contributions, coefficients)


def cohen_kappa(first: csr_array, second: csr_array) -> Coefficient | None:
    """Return Cohen's kappa of two annotators over all categories; Cohen (1960).

    Both have the categories of the same articles as zeros and ones, shape (articles, categories). If the annotators
    give a category to the shares p and q of the articles, the expected disagreement is p (1 - q) + q (1 - p).
    """
    from scipy.sparse import csr_array, hstack

    count, width = first.shape
    ones = csr_array(np.ones((count, 1)))
    contributions = csr_array(hstack([first, second, abs(first - second), ones], format="csr"))

    def coefficients(sums: Floats) -> Floats:
        shares = sums / sums[:, -1:]
        p, q, disagreement = shares[:, :width], shares[:, width : 2 * width], shares[:, 2 * width : -1]
        return _one_minus_ratio(disagreement, p * (1 - q) + q * (1 - p))[:, :1]

    return _with_intervals(contributions, coefficients)[0]


def _one_minus_ratio(observed: Floats, expected: Floats) -> Floats:
    """Return the coefficient over all columns, then of each; NaN if no disagreement is expected."""
    observed = np.column_stack([observed.sum(axis=1), observed])
    expected = np.column_stack([expected.sum(axis=1), expected])
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(expected > 0, 1 - observed / expected, np.nan)
    return result


def _with_intervals(contributions: csr_array, coefficients: Callable[[Floats], Floats]) -> list[Coefficient | None]:
    """Return the coefficients of the sums of the articles' contributions, with bootstrap intervals."""
    if not contributions.shape[0]:
        return [None] * coefficients(np.ones((1, contributions.shape[1]))).shape[1]
    values = coefficients(np.asarray(contributions.sum(axis=0)).reshape(1, -1))[0]
    clusters = np.arange(contributions.shape[0], dtype=np.int64)
    blocks = bootstrap.resample_blocks(contributions, clusters, resamples=RESAMPLES)
    resampled = np.vstack([coefficients(sums) for sums in blocks])
    return [
        None if np.isnan(value) else Coefficient(float(value), *bootstrap.percentile_interval(column))
        for value, column in zip(values, resampled.T, strict=True)
    ]


def _pairs(table: _Table) -> Iterator[PairAgreement]:
    """Yield the agreement of each two annotators who have articles in common."""
    rows = {name: np.flatnonzero(table.annotators == name) for name in np.unique(table.annotators).tolist()}
    for first, second in combinations(rows, 2):
        _, in_first, in_second = np.intersect1d(
            table.articles[rows[first]], table.articles[rows[second]], assume_unique=True, return_indices=True
        )
        if not len(in_first):
            continue
        own, other = table.labels[rows[first][in_first]], table.labels[rows[second][in_second]]
        agreed = int((abs(own - other).sum(axis=1) == 0).sum())
        yield PairAgreement(first, second, len(in_first), agreed, _kappa_of_enough(own, other))


def _kappa_of_enough(first: csr_array, second: csr_array) -> Coefficient | None:
    return cohen_kappa(first, second) if first.shape[0] >= MIN_ARTICLES else None


def _annotators(table: _Table, kind: TaskKind) -> Iterator[AnnotatorAgreement]:
    """Yield each annotator's agreement with the majority of the others, in total and by month."""
    from scipy.sparse import csr_array

    opinions = len(table.articles)
    of_articles = csr_array((np.ones(opinions), (table.articles, np.arange(opinions))))
    counts, sizes = csr_array(of_articles @ table.labels), np.bincount(table.articles)
    for name in np.unique(table.annotators).tolist():
        rows = np.flatnonzero(table.annotators == name)
        own, others = table.labels[rows], sizes[table.articles[rows]] - 1
        majority, decided = _majority(csr_array(counts[table.articles[rows]] - own), others, kind)
        own, majority, months = own[decided], majority[decided], table.months[rows[decided]]
        by_month = [
            MonthAgreement(month, int(of_month.sum()), _kappa_of_enough(own[of_month], majority[of_month]))
            for month in np.unique(months).tolist()
            for of_month in [months == month]
        ]
        yield AnnotatorAgreement(name, len(decided), _kappa_of_enough(own, majority), tuple(by_month))


def _majority(counts: csr_array, others: NDArray[np.int64], kind: TaskKind) -> tuple[csr_array, NDArray[np.int64]]:
    """Return the labels that more than half of the others gave, and the rows in which the others have a majority.

    `counts` is how many of them gave each label, shape (articles, categories). There is no majority if exactly half
    gave a label or, in a single-label task, if no label has more than half.
    """
    from scipy.sparse import csr_array

    doubled, totals = 2 * counts.data, np.repeat(others, np.diff(counts.indptr))
    row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    tied = np.bincount(row_of, weights=doubled == totals, minlength=counts.shape[0]) > 0
    has_label = doubled > totals
    majority = csr_array((has_label.astype(np.float64), counts.indices, counts.indptr), shape=counts.shape)
    majority.eliminate_zeros()
    decided = ~tied if kind == "multi" else ~tied & (np.diff(majority.indptr) == 1)
    return majority, np.flatnonzero(decided)
