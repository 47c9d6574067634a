"""The baseline: a linear classifier on TF-IDF (`model/linear.py`), trained in seconds.

A transformer that does not beat it is not worth its electricity, so every evaluation reports both.
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
    """The baseline's figures, and the seconds that its training took."""

    metrics: Metrics
    train_seconds: float


def evaluate_baseline(
    train_texts: TextSource, train_categories: Sequence[str], texts: TextSource, categories: Sequence[str]
) -> Baseline:
    """Train the baseline on `train_texts`, and return its figures on `texts`."""
    predicted, seconds = predict_baseline(train_texts, train_categories, texts)
    return Baseline(compute_metrics(categories, predicted), seconds)


def predict_baseline(
    train_texts: TextSource, train_categories: Sequence[str], texts: TextSource
) -> tuple[list[str], float]:
    """Train the baseline on `train_texts`; return its predictions for `texts`, and the seconds of training.

    If it cannot learn, because no term occurs in two texts or there is a single category, it always predicts the most
    frequent category.
    """
    started = time.monotonic()
    try:
        model = linear.fit_linear(train_texts, train_categories)
        seconds = round(time.monotonic() - started, 3)
    except ValueError as error:  # scikit-learn raises this for an empty vocabulary or a single category
        log.warning("the baseline always predicts the most frequent category: %s", error)
        return [Counter(train_categories).most_common(1)[0][0]] * len(texts), 0.0
    return model.predict(texts), seconds
