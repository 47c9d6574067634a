"""The labels that a model assigns to articles by their probabilities, and its confidence in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Model, Probabilities
from classifier.model import multi_label


@dataclass(frozen=True, slots=True)
class Decisions:
    """The labels of articles, shape (articles, categories), and the confidence of each article's labels.

    Of a single-label model, confidence is the label's probability. Of a multi-label model it is the probability that
    each label is correct and none is missing, as if its decisions were independent of each other.
    """

    labels: LabelMatrix
    confidence: NDArray[np.float32]


def thresholds_of(model: Model) -> tuple[float, ...] | None:
    """Return a multi-label model's threshold of each category, or None of a single-label model."""
    if model.kind != "multi":
        return None
    return model.thresholds or (multi_label.DEFAULT_THRESHOLD,) * len(model.categories)


def confidence_of_sets(probabilities: NDArray[np.floating[Any]], labels: LabelMatrix) -> NDArray[np.float32]:
    """Return the confidence of each article's labels by a multi-label model: that all of its decisions are correct."""
    of_decisions = np.where(labels, probabilities, 1 - probabilities.astype(np.float64))
    confidence: NDArray[np.float32] = of_decisions.prod(axis=1).astype(np.float32)
    return confidence


def decide(model: Model, probabilities: Probabilities) -> Decisions:
    """Return the labels that a model gives to articles with these probabilities."""
    thresholds = thresholds_of(model)
    if thresholds is not None:
        labels = multi_label.assign_labels(probabilities, thresholds, min_labels=model.min_labels)
        return Decisions(labels, confidence_of_sets(probabilities, labels))
    labels = np.zeros(probabilities.shape, dtype=np.bool_)
    labels[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return Decisions(labels, probabilities.max(axis=1))


def names_of(labels: LabelMatrix, categories: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the names of each article's labels."""
    return [tuple(categories[column] for column in np.flatnonzero(row)) for row in labels]
