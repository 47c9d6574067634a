"""Test articles of a multi-label task and the predictions on them, as columns.

The counterpart of `test_articles.py`: each article has a set of categories, which may be empty, as a row of a matrix.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, join_labels
from classifier.evaluation.test_articles import Strings
from classifier.model.decisions import confidence_of_sets, names_of

Cells = TypeVar("Cells", bound=np.generic)


@dataclass(frozen=True, slots=True)
class LabelSetArticles:
    """Test articles; each column has an entry for each article, see `TestArticles`.

    `truth` has the annotated categories, shape (articles, categories). An empty row means that annotators found no
    category. `categories` contain those of every model that predicts the articles: see `common_categories` and `over`.
    """

    ids: NDArray[np.int64]
    categories: tuple[str, ...]
    truth: LabelMatrix
    clusters: NDArray[np.int64]
    sources: Strings
    words: NDArray[np.int64]
    months: Strings

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.ids)

    def of(self, rows: NDArray[np.bool_]) -> LabelSetArticles:
        """Return the articles of some rows."""
        columns: dict[str, Any] = {
            field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "categories"
        }
        return replace(self, **columns)

    @property
    def names(self) -> list[str]:
        """The annotated categories of each article as one text, in alphabetical order."""
        return [join_labels(sorted(names)) for names in names_of(self.truth, self.categories)]

    def over(self, categories: tuple[str, ...]) -> LabelSetArticles:
        """Return the articles with other columns, which must contain every annotated category."""
        return replace(self, categories=categories, truth=align(self.truth, self.categories, categories))


@dataclass(frozen=True, slots=True)
class LabelSetPredictions:
    """A model's probabilities on articles and the labels that its thresholds assign, shape (articles, categories).

    `categories` are those that the model knows.
    """

    categories: tuple[str, ...]
    probabilities: NDArray[np.floating[Any]]
    predicted: LabelMatrix

    def of(self, rows: NDArray[np.bool_] | slice) -> LabelSetPredictions:
        """Return the predictions of some rows."""
        return LabelSetPredictions(self.categories, self.probabilities[rows], self.predicted[rows])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability that each article's labels are exactly right: see `decisions.Decisions`."""
        return confidence_of_sets(self.probabilities, self.predicted).astype(np.float64)

    @property
    def names(self) -> list[str]:
        """The labels of each article as one text, in alphabetical order."""
        return [join_labels(sorted(names)) for names in names_of(self.predicted, self.categories)]

    def over(self, categories: tuple[str, ...]) -> LabelSetPredictions:
        """Return the predictions with other columns; a category that the model does not know has probability 0."""
        if categories == self.categories:
            return self
        return LabelSetPredictions(
            categories,
            align(self.probabilities, self.categories, categories),
            align(self.predicted, self.categories, categories),
        )


def common_categories(*groups: Iterable[str]) -> tuple[str, ...]:
    """Return the categories of several models and annotations, sorted."""
    return tuple(sorted({name for group in groups for name in group}))


def to_matrix(label_sets: Sequence[Collection[str]], categories: Sequence[str]) -> LabelMatrix:
    """Return the label sets as a matrix, shape (label sets, categories).

    Raises:
        KeyError: a label is not among the categories.
    """
    columns = {name: column for column, name in enumerate(categories)}
    matrix = np.zeros((len(label_sets), len(columns)), dtype=np.bool_)
    rows = np.repeat(np.arange(len(label_sets)), [len(labels) for labels in label_sets])
    matrix[rows, np.array([columns[name] for labels in label_sets for name in labels], dtype=np.int64)] = True
    return matrix


def align(matrix: NDArray[Cells], categories: Sequence[str], target: Sequence[str]) -> NDArray[Cells]:
    """Return the matrix with the columns of the target categories; a new column is 0.

    Raises:
        ValueError: a column that is not among the target's has a value other than 0.
    """
    columns = {name: column for column, name in enumerate(target)}
    kept = np.array([column for column, name in enumerate(categories) if name in columns], dtype=np.int64)
    dropped = np.setdiff1d(np.arange(len(categories)), kept)
    if matrix[:, dropped].any():
        raise ValueError("a category with labels is not among the target's")
    result = np.zeros((len(matrix), len(columns)), dtype=matrix.dtype)
    result[:, [columns[categories[column]] for column in kept]] = matrix[:, kept]
    return result
