"""Test articles and the predictions on them, as columns. Every figure is computed from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class TestArticles:
    """Test articles; each column has an entry for each article.

    `truth` are the annotated categories; articles of a cluster are near-duplicates. A month has the form 2026-01, and
    is empty if the time of publication is unknown.
    """

    ids: NDArray[np.int64]
    truth: Strings
    clusters: NDArray[np.int64]
    sources: Strings
    words: NDArray[np.int64]
    months: Strings

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.ids)

    def of(self, rows: NDArray[np.bool_]) -> TestArticles:
        """Return the articles of some rows."""
        return TestArticles(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's probabilities on articles, shape (articles, categories)."""

    categories: tuple[str, ...]
    probabilities: NDArray[np.floating]

    def of(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return the predictions of some rows."""
        return Predictions(self.categories, self.probabilities[rows])

    @property
    def predicted(self) -> Strings:
        """The category with the highest probability for each article."""
        predicted: Strings = np.asarray(self.categories)[self.probabilities.argmax(axis=1)]
        return predicted

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The highest probability for each article."""
        confidence: NDArray[np.float64] = self.probabilities.max(axis=1).astype(np.float64)
        return confidence


def number_clusters(ids: NDArray[np.int64], clusters: Sequence[int | None]) -> NDArray[np.int64]:
    """Return a number from 0 for each article's cluster; an article without a cluster has a number of its own."""
    keys = [
        ("article", int(article)) if cluster is None else ("cluster", cluster)
        for article, cluster in zip(ids, clusters, strict=True)
    ]
    numbers: dict[tuple[str, int], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
