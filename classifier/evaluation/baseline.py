"""The honest baseline: a linear classifier on TF-IDF, trained in seconds.

A transformer that does not beat it is not worth its electricity, so every evaluation stands beside
it (`model/linear.py` says what it is).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.evaluation.metrics import Metrics, compute_metrics
from classifier.model import linear
from classifier.model.linear import TextSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline's figures, and how long it took to train."""

    metrics: Metrics
    train_seconds: float


def evaluate_baseline(
    train_texts: TextSource, train_categories: Sequence[str], texts: TextSource, categories: Sequence[str]
) -> Baseline:
    """Train the baseline on the first two and measure it on the others."""
    predicted, seconds = predict(train_texts, train_categories, texts)
    return Baseline(compute_metrics(categories, predicted), seconds)


def predict(train_texts: TextSource, train_categories: Sequence[str], texts: TextSource) -> tuple[list[str], float]:
    """Train the baseline on the first two; return its categories of the third, and the seconds it trained.

    Where there is nothing to learn, because no term occurs in two texts or all are of one category, it
    names the most frequent category.
    """
    started = time.monotonic()
    try:
        model = linear.fit_linear(train_texts, train_categories)
        seconds = round(time.monotonic() - started, 3)
    except ValueError as error:  # scikit-learn has no other for an empty vocabulary or a single category
        log.warning("the baseline names the most frequent category only: %s", error)
        return [Counter(train_categories).most_common(1)[0][0]] * len(texts), 0.0
    return model.predict(texts), seconds
