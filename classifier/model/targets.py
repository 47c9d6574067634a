"""The categories of articles as arrays, in the order of a model's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from classifier.articles import CategoryIndices, LabelMatrix, Probabilities, TaskKind

Targets = CategoryIndices | LabelMatrix
"""Each article's category, shape (articles,); of a multi-label task, whether it has each category, shape (articles,
categories)."""


def encode_targets(label_sets: Sequence[Sequence[str]], categories: Sequence[str], kind: TaskKind) -> Targets:
    """Return the targets of articles with these sets of categories.

    For a multi-label task, a category that is not one of `categories` is left out, because a model cannot predict it.
    """
    return label_matrix(label_sets, categories) if kind == "multi" else category_indices(label_sets, categories)


def category_indices(label_sets: Iterable[Sequence[str]], categories: Sequence[str]) -> CategoryIndices:
    """Return the column of each article's only category."""
    columns = {name: column for column, name in enumerate(categories)}
    return np.array([columns[category] for (category,) in label_sets], dtype=np.int64)


def label_matrix(label_sets: Sequence[Sequence[str]], categories: Sequence[str]) -> LabelMatrix:
    """Return whether each article has each category; a category that is not one of `categories` is left out."""
    columns = {name: column for column, name in enumerate(categories)}
    labels = [[columns[name] for name in names if name in columns] for names in label_sets]
    matrix = np.zeros((len(labels), len(columns)), dtype=np.bool_)
    rows = np.repeat(np.arange(len(labels)), [len(of_article) for of_article in labels])
    matrix[rows, np.fromiter(chain.from_iterable(labels), np.int64, count=len(rows))] = True
    return matrix


def log_odds(targets: Targets) -> Probabilities:
    """Return the logarithm of the odds of each category of a label matrix, shape (categories,).

    One article that half has each category is added, so the odds of a category that no article has are finite.
    """
    counts = targets.sum(axis=0) + 0.5
    odds: Probabilities = np.log(counts / (len(targets) + 1 - counts)).astype(np.float32)
    return odds
