"""Choose the articles of which a human's annotation teaches a model most.

Three kinds, no two of one cluster of near-duplicates:

- *rare*: those that look most like a category of which few annotations are there;
- *diverse*: drawn as k-means++ draws its centres, from what each article would change in the model's last layer
  (BADGE: Ash et al., ICLR 2020). That is long where the model is unsure and points elsewhere for another text,
  so doubtful articles are drawn, and hardly two alike. TF-IDF stands for the network's hidden state, which is
  not stored;
- *uncertain*: those with the smallest margin between the two most probable categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.ingest.fingerprints import fold

Reason = Literal["uncertain", "diverse", "rare", "rewritten", "audit"]
RowIndices = NDArray[np.int64]
"""Positions in a pool."""

RARE_SHARE, DIVERSE_SHARE = 0.2, 0.5
"""Shares of what is chosen; the rest is uncertain."""

SHORTLIST_FACTOR = 10
"""Texts that are read for each article chosen (Zhdanov, 2019, has 10 to 50)."""


@dataclass(frozen=True, slots=True)
class ReviewPool:
    """Predicted articles that may be chosen.

    `probabilities` has a row an article and a column a category; `clusters` are of near-duplicates, shape
    (articles,), an article without one having a number of its own.
    """

    categories: tuple[str, ...]
    probabilities: Probabilities
    clusters: RowIndices

    @property
    def margins(self) -> NDArray[np.float32]:
        """By how much the most probable category is ahead of the next, shape (articles,)."""
        if len(self.categories) < 2:
            return np.ones(len(self.probabilities), np.float32)
        first_two = np.partition(self.probabilities, -2, axis=1)[:, -2:]
        found: NDArray[np.float32] = first_two[:, 1] - first_two[:, 0]
        return found

    def __getitem__(self, rows: RowIndices) -> ReviewPool:
        """Return some of the articles."""
        return ReviewPool(self.categories, self.probabilities[rows], self.clusters[rows])


@dataclass(frozen=True, slots=True)
class ArticleChoice:
    """An article of a pool, and what it was chosen for."""

    row: int
    reason: Reason


def shortlist(pool: ReviewPool, number: int, annotated: Mapping[str, int]) -> RowIndices:
    """Return the rows that `number` articles are to be chosen from, so that no other text need be read.

    The least certain article of each cluster, as far as those are among the least certain of all or among the
    first for a rare category.
    """
    order = np.argsort(pool.margins, kind="stable")
    _, first = np.unique(pool.clusters[order], return_index=True)
    apart = order[np.sort(first)]
    rare = _rare(pool[apart], round(RARE_SHARE * number), annotated)
    kept = np.union1d(np.arange(min(len(apart), SHORTLIST_FACTOR * number)), rare)
    return apart[kept.astype(np.int64)]


def choose_articles(
    pool: ReviewPool, texts: Sequence[str], number: int, annotated: Mapping[str, int], *, seed: int | None = None
) -> list[ArticleChoice]:
    """Choose up to `number` articles from a shortlist, of which these are the texts.

    `annotated` says how many articles of each category have been annotated.
    """
    generator = np.random.default_rng(seed)
    free = np.ones(len(texts), np.bool_)
    chosen: list[ArticleChoice] = []

    def take(rows: RowIndices, reason: Reason) -> None:
        free[rows] = False
        chosen.extend(ArticleChoice(int(row), reason) for row in rows)

    take(_rare(pool, round(RARE_SHARE * number), annotated), "rare")
    take(_diverse(pool, texts, free, round(DIVERSE_SHARE * number), generator), "diverse")
    order = np.argsort(pool.margins, kind="stable")
    take(order[free[order]][: max(number - len(chosen), 0)], "uncertain")
    return chosen


def _rare(pool: ReviewPool, number: int, annotated: Mapping[str, int]) -> RowIndices:
    """Return the most probable articles of the categories with the fewest annotations, filled up evenly."""
    counts = np.array([annotated.get(name, 0) for name in pool.categories])
    best = pool.probabilities.argmax(axis=1)
    queues = [_likeliest(pool.probabilities[:, column], best == column) for column in range(len(counts))]
    taken: list[int] = []
    rare = counts < counts.mean()
    while len(taken) < number and any(rare[column] and queues[column] for column in range(len(counts))):
        column = min((c for c in np.flatnonzero(rare) if queues[c]), key=lambda c: counts[c])
        taken.append(queues[column].pop())
        counts[column] += 1
    return np.array(taken, np.int64)


def _likeliest(probabilities: NDArray[np.float32], predicted: NDArray[np.bool_]) -> list[int]:
    """Return the rows predicted as a category, the likeliest last."""
    rows = np.flatnonzero(predicted)
    return [int(row) for row in rows[np.argsort(probabilities[rows], kind="stable")]]


def _diverse(
    pool: ReviewPool, texts: Sequence[str], free: NDArray[np.bool_], number: int, generator: np.random.Generator
) -> RowIndices:
    """Draw rows that are free by the squared distance to what has been drawn.

    The gradient of the last layer, were the prediction right, is the outer product of `error` and `words`. So
    a product of two gradients is the product of their products, and none is ever made.
    """
    error = pool.probabilities - np.eye(len(pool.categories), dtype=np.float32)[pool.probabilities.argmax(axis=1)]
    words = _tf_idf(texts)
    length = np.square(error).sum(axis=1)
    distance = np.where(free, length, 0)
    drawn: list[int] = []
    while len(drawn) < number and (total := distance.sum()) > 0:
        row = int(generator.choice(len(distance), p=distance / total))
        drawn.append(row)
        product = (error @ error[row]) * (words @ words[[row]].T).toarray().ravel()
        np.minimum(distance, np.maximum(length + length[row] - 2 * product, 0), out=distance)
        distance[row] = 0
    return np.array(drawn, np.int64)


def _tf_idf(texts: Sequence[str]) -> Any:
    """Return TF-IDF of length 1, a sparse matrix of shape (articles, words)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # its own pattern knows no words of one letter, and fails where there are no others
    return TfidfVectorizer(analyzer=_words, sublinear_tf=True, dtype=np.float32).fit_transform(texts)


def _words(text: str) -> list[str]:
    return fold(text).split()
