"""Choose the articles whose annotation improves a model most.

There are three kinds. No two articles are from one cluster of near-duplicates.

- *rare*: the most probable articles of categories with few annotations;
- *diverse*: drawn as k-means++ draws its centres, from the gradients of the model's last layer (BADGE: Ash et al.,
  ICLR 2020). A gradient is long if the model is uncertain, and its direction depends on the text. So the draw prefers
  uncertain articles that differ. TF-IDF replaces the network's hidden state, which is not stored;
- *uncertain*: those with the smallest margin between the two most probable categories.

Of a multi-label model, the labels are the categories whose probability reaches their threshold. An article is uncertain
if any probability is near its threshold. The gradient of the last layer is the difference between the probabilities and
these labels, too. An article is one of a rare category from a tenth of the category's threshold on, whether or not the
model gives it that label: a model gives few articles a rare label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Probabilities
from classifier.ingest.fingerprints import fold
from classifier.model import multi_label

Reason = Literal["uncertain", "diverse", "rare", "rewritten", "split", "audit", "doubtful", "control"]
CHECK_REASONS = frozenset({"doubtful", "control"})
"""The reasons of articles that are annotated again: their annotation is doubtful, or they were drawn with these."""

RowIndices = NDArray[np.int64]
"""Indices of articles in a pool."""

RARE_SHARE, DIVERSE_SHARE = 0.2, 0.5
RARE_THRESHOLD_SHARE = 0.1
"""Shares of the chosen articles; the others are uncertain ones."""

SHORTLIST_FACTOR = 10
"""Texts that are read for each article chosen (Zhdanov, 2019, uses 10 to 50)."""


@dataclass(frozen=True, slots=True)
class ReviewPool:
    """Predicted articles that may be chosen.

    `probabilities` has the shape (articles, categories). `clusters` has the shape (articles,): the cluster of
    near-duplicates, or a number of its own for an article without near-duplicates. `thresholds` has the threshold of
    each category of a multi-label model, and is None for a single-label model.
    """

    categories: tuple[str, ...]
    probabilities: Probabilities
    clusters: RowIndices
    thresholds: tuple[float, ...] | None = None

    @property
    def margins(self) -> NDArray[np.float32]:
        """The difference between the two highest probabilities, shape (articles,).

        Of a multi-label model: the smallest difference between a probability and its threshold.
        """
        if self.thresholds is not None:
            distances = np.abs(self.probabilities - np.asarray(self.thresholds, np.float32))
            nearest: NDArray[np.float32] = distances.min(axis=1, initial=1)
            return nearest
        if len(self.categories) < 2:
            return np.ones(len(self.probabilities), np.float32)
        first_two = np.partition(self.probabilities, -2, axis=1)[:, -2:]
        margins: NDArray[np.float32] = first_two[:, 1] - first_two[:, 0]
        return margins

    @property
    def labels(self) -> LabelMatrix:
        """The labels that follow from the probabilities, shape (articles, categories)."""
        if self.thresholds is not None:
            return multi_label.assign_labels(self.probabilities, self.thresholds, min_labels=0)
        labels: LabelMatrix = np.eye(len(self.categories), dtype=np.bool_)[self.probabilities.argmax(axis=1)]
        return labels

    def __getitem__(self, rows: RowIndices) -> ReviewPool:
        """Return the articles with these indices."""
        return ReviewPool(self.categories, self.probabilities[rows], self.clusters[rows], self.thresholds)


@dataclass(frozen=True, slots=True)
class ArticleChoice:
    """The index of an article in a pool, and why it was chosen."""

    row: int
    reason: Reason


def shortlist(pool: ReviewPool, number: int, annotated: Mapping[str, int]) -> RowIndices:
    """Return the candidates for a choice of `number` articles, so that no other text must be read.

    They are the least certain article of each cluster, if it is among the least certain of all clusters or among the
    most probable of a rare category.
    """
    order = np.argsort(pool.margins, kind="stable")
    _, first = np.unique(pool.clusters[order], return_index=True)
    representatives = order[np.sort(first)]
    rare = _choose_rare(pool[representatives], round(RARE_SHARE * number), annotated)
    selected = np.union1d(np.arange(min(len(representatives), SHORTLIST_FACTOR * number)), rare)
    return representatives[selected.astype(np.int64)]


def choose_articles(
    pool: ReviewPool, texts: Sequence[str], number: int, annotated: Mapping[str, int], *, seed: int | None = None
) -> list[ArticleChoice]:
    """Return up to `number` articles of a shortlist, whose texts are `texts`.

    `annotated` is the number of annotated articles of each category.
    """
    generator = np.random.default_rng(seed)
    free = np.ones(len(texts), np.bool_)
    chosen: list[ArticleChoice] = []

    def add(rows: RowIndices, reason: Reason) -> None:
        free[rows] = False
        chosen.extend(ArticleChoice(int(row), reason) for row in rows)

    add(_choose_rare(pool, round(RARE_SHARE * number), annotated), "rare")
    add(_draw_diverse(pool, texts, free, round(DIVERSE_SHARE * number), generator), "diverse")
    order = np.argsort(pool.margins, kind="stable")
    add(order[free[order]][: max(number - len(chosen), 0)], "uncertain")
    return chosen


def _choose_rare(pool: ReviewPool, number: int, annotated: Mapping[str, int]) -> RowIndices:
    """Return the most probable articles of the categories with the fewest annotations, spread evenly over these."""
    counts = np.array([annotated.get(name, 0) for name in pool.categories])
    columns = [int(column) for column in np.flatnonzero(counts < counts.mean())]
    eligible = pool.labels
    if pool.thresholds is not None:
        eligible = pool.probabilities >= RARE_THRESHOLD_SHARE * np.asarray(pool.thresholds, np.float32)
    queues = {column: _sort_eligible(pool.probabilities[:, column], eligible[:, column], number) for column in columns}
    chosen: list[int] = []
    while len(chosen) < number and any(queues.values()):
        column = min((c for c in columns if queues[c]), key=lambda c: counts[c])
        if (row := queues[column].pop()) not in chosen:  # an article may be one of several rare categories
            chosen.append(row)
            counts[column] += 1
    return np.array(chosen, np.int64)


def _sort_eligible(probabilities: NDArray[np.float32], eligible: NDArray[np.bool_], number: int) -> list[int]:
    """Return up to `number` of the eligible rows, those that are most probably of a category, the most probable last.

    Of these rows, another category may choose all but one, so no more are needed.
    """
    rows = np.flatnonzero(eligible)
    return [int(row) for row in rows[np.argsort(probabilities[rows], kind="stable")]][-max(number, 1) :]


def _draw_diverse(
    pool: ReviewPool, texts: Sequence[str], free: NDArray[np.bool_], number: int, generator: np.random.Generator
) -> RowIndices:
    """Return free rows, drawn with the squared distance to the nearest drawn row as weight.

    If the prediction is taken as the truth, the gradient of the last layer is the outer product of `error` and `words`.
    So the product of two gradients is the product of the products of their factors, and no gradient is computed.
    """
    error = pool.probabilities - pool.labels.astype(np.float32)
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
    """Return TF-IDF vectors of length 1, as a sparse matrix of shape (articles, words)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # the default pattern ignores words of one letter, and fails if there are no other words
    return TfidfVectorizer(analyzer=_words, sublinear_tf=True, dtype=np.float32).fit_transform(texts)


def _words(text: str) -> list[str]:
    return fold(text).split()
