"""The honest baseline: a linear classifier on TF-IDF, trained in seconds.

A transformer that does not beat it is not worth its electricity, so every evaluation stands beside
it. Word 1- and 2-grams, sublinear term frequency, at least two documents a term, LinearSVC.
"""

from __future__ import annotations

from collections.abc import Sequence

from classifier.evaluation.metrics import Metrics, measure


def evaluate(
    train_texts: Sequence[str], train_categories: Sequence[str], texts: Sequence[str], categories: Sequence[str]
) -> Metrics:
    """Train the baseline on the first two and measure it on the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    # two documents a term are not to be had in a handful of articles
    min_df = 2 if len(train_texts) >= 20 else 1
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=min_df),
        LinearSVC(random_state=0),
    )
    model.fit(train_texts, train_categories)
    return measure(categories, [str(category) for category in model.predict(texts)])
