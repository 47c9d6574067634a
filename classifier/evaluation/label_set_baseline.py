"""The baseline of a multi-label task: one linear classifier a category on TF-IDF, with thresholds like a model's.

The thresholds are chosen on scores of train articles by classifiers that have not seen them (cross-fitting): each third
of the articles is predicted by classifiers of the other two. Near-duplicates may stand in two thirds, so the thresholds
are slightly too high; the test articles measure what they are worth.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Probabilities
from classifier.evaluation import label_sets, thresholds
from classifier.evaluation.thresholds import Goal
from classifier.model import linear, multi_label
from classifier.model.linear import TextSource

log = logging.getLogger(__name__)

FOLDS = 3
"""Parts of the train articles, each of which is predicted by a classifier of the others."""

MIN_ARTICLES = 50
"""Train articles from which on thresholds are chosen; with fewer, a score of 0 is each category's threshold."""


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How probabilities become labels: the purpose of the thresholds, and the least number of labels of an article."""

    min_labels: int = 0
    goal: Goal = "f1"
    target_precision: float | None = None

    def choose(self, probabilities: Probabilities, truth: LabelMatrix) -> NDArray[np.float32]:
        """Return the threshold of each category."""
        chosen = thresholds.choose_thresholds(
            probabilities, truth, goal=self.goal, target_precision=self.target_precision, min_labels=self.min_labels
        )
        return np.array(chosen.values, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class BaselineLabels:
    """The baseline's labels, shape (texts, categories), and the seconds that training and choosing thresholds took."""

    predicted: LabelMatrix
    train_seconds: float


def predict_baseline_labels(
    train_texts: TextSource,
    train_labels: Sequence[Collection[str]],
    texts: TextSource,
    categories: tuple[str, ...],
    rule: LabelRule,
) -> BaselineLabels:
    """Train the baseline, and return its labels for `texts`; `categories` must contain every label.

    If it cannot learn, because no term occurs in two texts, it always predicts the most frequent label set.
    """
    started = time.monotonic()
    truth = label_sets.to_matrix(train_labels, categories)
    if not categories:
        return BaselineLabels(np.zeros((len(texts), 0), dtype=np.bool_), 0.0)
    try:
        model = linear.fit_linear_multi(train_texts, train_labels, categories)
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        log.warning("the baseline always predicts the most frequent label set: %s", error)
        rows, counts = np.unique(truth, axis=0, return_counts=True)
        return BaselineLabels(np.repeat(rows[[counts.argmax()]], len(texts), axis=0), 0.0)
    limits = _choose_thresholds(train_texts, train_labels, truth, categories, rule)
    seconds = round(time.monotonic() - started, 3)
    probabilities = model.probabilities(texts)
    return BaselineLabels(multi_label.assign_labels(probabilities, limits, min_labels=rule.min_labels), seconds)


def _choose_thresholds(
    texts: TextSource,
    labels: Sequence[Collection[str]],
    truth: LabelMatrix,
    categories: tuple[str, ...],
    rule: LabelRule,
) -> NDArray[np.float32]:
    boundaries = np.full(len(categories), multi_label.DEFAULT_THRESHOLD, dtype=np.float32)
    if len(texts) < MIN_ARTICLES:
        return boundaries
    probabilities = np.empty(truth.shape, dtype=np.float32)
    folds = np.arange(len(texts)) % FOLDS
    for fold in range(FOLDS):
        seen, unseen = (_Chosen(texts, rows) for rows in (folds != fold, folds == fold))
        of_seen = [labels[row] for row in np.flatnonzero(folds != fold).tolist()]
        try:
            classifier = linear.fit_linear_multi(seen, of_seen, categories)
        except ValueError as error:  # as above, in two thirds of the texts
            log.warning("the baseline's thresholds are its own boundaries: %s", error)
            return boundaries
        probabilities[folds == fold] = classifier.probabilities(unseen)
    return rule.choose(probabilities, truth)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some of the texts, which are read again by each iteration."""

    texts: TextSource
    rows: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.rows.sum())

    def __iter__(self) -> Iterator[str]:
        return (text for text, chosen in zip(self.texts, self.rows, strict=True) if chosen)
