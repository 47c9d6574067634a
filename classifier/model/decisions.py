"""The labels that a model assigns to articles by their probabilities, and its confidence in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Model, Probabilities, TaskKind
from classifier.model import multi_label

Cell = TypeVar("Cell", np.float32, np.bool_)


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


@dataclass(frozen=True, slots=True)
class PresentDecisions:
    """What a model decides for articles in the categories of today, as `article_labels` shows it.

    The probabilities and labels have the shape (articles, categories). Of a multi-label model, confidence is that of
    the labels before categories were merged.
    """

    categories: tuple[str, ...]
    probabilities: Probabilities
    labels: LabelMatrix
    confidence: NDArray[np.float32]


def merge_probabilities(probabilities: NDArray[Cell], names: tuple[str, ...], kind: TaskKind) -> NDArray[Cell]:
    """Return probabilities in which the columns of equal names are one, in the order of the names' first columns.

    The probabilities of a single-label model's merged categories are added; of a multi-label model's, the highest
    counts.
    """
    categories = tuple(dict.fromkeys(names))
    if len(categories) == len(names):
        return probabilities
    columns = {name: column for column, name in enumerate(categories)}
    merged = np.zeros((len(probabilities), len(categories)), dtype=probabilities.dtype)
    for column, name in enumerate(names):  # in this order, so that the sums have the bits of those in SQL
        target = merged[:, columns[name]]
        merge = np.add if kind == "single" else np.maximum
        merge(target, probabilities[:, column], out=target)
    return merged


def decide_present(model: Model, probabilities: Probabilities) -> PresentDecisions:
    """Return what a model decides for articles with these probabilities, in the categories of today."""
    names = model.present_categories
    categories = tuple(dict.fromkeys(names))
    merged = merge_probabilities(probabilities, names, model.kind)
    if model.kind == "single":
        decided = decide(model, merged)
        return PresentDecisions(categories, merged, decided.labels, decided.confidence)
    decided = decide(model, probabilities)
    labels = merge_probabilities(decided.labels, names, model.kind)
    return PresentDecisions(categories, merged, labels, decided.confidence)


def present_thresholds(model: Model) -> tuple[float, ...] | None:
    """Return the threshold of each category of today; of merged categories the lowest counts. None: it has none."""
    if model.thresholds is None:
        return None
    return tuple(lowest_thresholds(model.present_categories, model.thresholds).values())


def lowest_thresholds(names: Sequence[str], thresholds: Sequence[float]) -> dict[str, float]:
    """Return the threshold by category name; of categories with the same name, the lowest counts."""
    lowest: dict[str, float] = {}
    for name, threshold in zip(names, thresholds, strict=True):
        lowest[name] = min(threshold, lowest.get(name, threshold))
    return lowest


def names_of(labels: LabelMatrix, categories: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the names of each article's labels."""
    return [tuple(categories[column] for column in np.flatnonzero(row)) for row in labels]
