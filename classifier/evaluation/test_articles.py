"""Test articles and what was answered on them, as columns: what every figure is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class TestArticles:
    """Test articles, one entry an article in each column.

    `truth` are the annotated categories; articles of a cluster are near-duplicates. `months` are written
    2026-01, empty where the time of publication is not known.
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
        """Return some of the articles."""
        return TestArticles(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's probabilities on a sample, shape (articles, categories)."""

    categories: tuple[str, ...]
    probabilities: NDArray[np.floating]

    def of(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return what is answered on some of the articles."""
        return Predictions(self.categories, self.probabilities[rows])

    @property
    def predicted(self) -> Strings:
        """The category of the highest probability, an article each."""
        found: Strings = np.asarray(self.categories)[self.probabilities.argmax(axis=1)]
        return found

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The highest probability, an article each."""
        found: NDArray[np.float64] = self.probabilities.max(axis=1).astype(np.float64)
        return found


def clusters(ids: NDArray[np.int64], found: Sequence[int | None]) -> NDArray[np.int64]:
    """Number the clusters from 0; an article of which none is known is its own."""
    keys = [
        ("article", int(one)) if cluster is None else ("cluster", cluster)
        for one, cluster in zip(ids, found, strict=True)
    ]
    numbers: dict[tuple[str, int], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
