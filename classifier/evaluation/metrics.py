"""Accuracy, F1 and confusion of a set of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MAX_MATRIX_CATEGORIES = 30
"""Largest number of categories whose confusion matrix is stored; a thousand would make a million cells."""


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """The scores of one category against all others; `support` is its number of articles."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Accuracy, macro-F1 over the categories that occur, and each category's own scores.

    `confusion[i][j]` counts the articles of `categories[i]` that were predicted as `categories[j]`.
    """

    articles: int
    accuracy: float
    macro_f1: float
    categories: tuple[str, ...]
    by_category: dict[str, CategoryScore]
    confusion: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain lists, dictionaries and numbers.

        `confused` lists the mistakes as (true category, predicted category, articles), the most frequent first;
        categories are indices into `categories`. `confusion` is empty for more than `MAX_MATRIX_CATEGORIES` categories.
        """
        matrix = self.confusion if len(self.categories) <= MAX_MATRIX_CATEGORIES else ()
        return {**asdict(replace(self, confusion=matrix)), "confused": list_confusions(self.confusion)}


def list_confusions(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the mistakes of a confusion matrix, the most frequent first."""
    mistakes = [
        (true, predicted, count)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return sorted(mistakes, key=lambda mistake: (-mistake[2], mistake[:2]))


def compute_metrics(truth: Sequence[str], predicted: Sequence[str]) -> Metrics:
    """Return the figures of predicted categories, compared with the true ones article by article.

    A category that the model does not know counts as a mistake on each of its articles.
    """
    from sklearn.metrics import precision_recall_fscore_support

    categories = tuple(sorted({*truth, *predicted}))
    scores = precision_recall_fscore_support(truth, predicted, labels=categories, zero_division=0.0)
    by_category = {
        name: CategoryScore(round(float(p), 5), round(float(r), 5), round(float(f), 5), int(n))
        for name, p, r, f, n in zip(categories, *scores, strict=True)
    }
    pairs = Counter(zip(truth, predicted, strict=True))
    return Metrics(
        articles=len(truth),
        accuracy=float(np.mean(np.asarray(truth) == np.asarray(predicted))),
        macro_f1=macro_f1(truth, predicted),
        categories=categories,
        by_category=by_category,
        confusion=tuple(tuple(pairs[true, guess] for guess in categories) for true in categories),
    )


def share_interval(hits: int, size: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; from 0 to 1 if the size is 0."""
    from scipy.stats import binomtest

    if not size:
        return 0.0, 1.0
    interval = binomtest(hits, size).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean F1 of the categories that occur in `truth`."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0.0))
