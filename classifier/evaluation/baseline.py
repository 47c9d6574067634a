"""The honest baseline: a linear classifier on TF-IDF, trained in seconds.

A transformer that does not beat it is not worth its electricity, so every evaluation stands beside
it. Word 1- and 2-grams, sublinear term frequency, at least two documents a term, LinearSVC.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.evaluation.metrics import Metrics, measure

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline's figures, and how long it took to train."""

    metrics: Metrics
    train_seconds: float


def evaluate(
    train_texts: Sequence[str], train_categories: Sequence[str], texts: Sequence[str], categories: Sequence[str]
) -> Baseline:
    """Train the baseline on the first two and measure it on the others.

    Where there is nothing to learn, because no term occurs in two texts or all are of one category, it
    names the most frequent category.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    # two documents a term are not to be had in a handful of articles
    min_df = 2 if len(train_texts) >= 20 else 1
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=min_df),
        LinearSVC(random_state=0),
    )
    started = time.monotonic()
    try:
        model.fit(train_texts, train_categories)
        seconds = round(time.monotonic() - started, 3)
    except ValueError as error:  # scikit-learn has no other for an empty vocabulary or a single category
        log.warning("the baseline names the most frequent category only: %s", error)
        return Baseline(measure(categories, [Counter(train_categories).most_common(1)[0][0]] * len(texts)), 0.0)
    return Baseline(measure(categories, [str(category) for category in model.predict(texts)]), seconds)
