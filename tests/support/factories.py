"""Synthetic test articles and predictions for the gate and the evaluation page."""

from __future__ import annotations

import numpy as np

from classifier.evaluation.gate_rules import Comparison
from classifier.evaluation.label_set_rules import LabelSetComparison
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions
from classifier.evaluation.test_articles import Predictions, TestArticles

NAMES = ("a", "b", "c", "d")


def make_articles(truth, *, sources=None, words=None, months=None, clusters=None):
    count = len(truth)
    return TestArticles(
        ids=np.arange(1, count + 1),
        truth=np.asarray(truth),
        clusters=np.arange(count) if clusters is None else np.asarray(clusters),
        sources=np.full(count, "s") if sources is None else np.asarray(sources),
        words=np.full(count, 100) if words is None else np.asarray(words),
        months=np.full(count, "") if months is None else np.asarray(months),
    )


def make_predictions(predicted, *, confidence=0.9, names=NAMES):
    """Return predictions with a confidence in the predicted category, and the rest shared by the others."""
    columns = np.array([names.index(name) for name in predicted])
    probabilities = np.repeat(
        ((1 - np.broadcast_to(confidence, len(columns))) / (len(names) - 1))[:, None], len(names), 1
    )
    probabilities[np.arange(len(columns)), columns] = confidence
    return Predictions(names, probabilities)


def make_truth(count):
    return np.array(NAMES)[np.arange(count) % len(NAMES)]


def wrong_on(truth, rows):
    """Return the categories with a wrong one in some rows."""
    predicted = truth.copy()
    predicted[rows] = [NAMES[(NAMES.index(name) + 1) % len(NAMES)] for name in truth[rows]]
    return predicted


def make_comparison(truth, candidate, champion, **more):
    """Compare two models and a baseline that predicts like the champion.

    A model is given by its predicted categories or by its `Predictions`.
    """
    columns = {name: more.pop(name) for name in list(more) if name in {"sources", "words", "months", "clusters"}}
    other = candidate if champion is None else champion
    baseline = more.pop("baseline", other.predicted if isinstance(other, Predictions) else other)
    models = [
        model if model is None or isinstance(model, Predictions) else make_predictions(model)
        for model in (candidate, champion)
    ]
    return Comparison(make_articles(truth, **columns), *models, baseline, **more)


def make_label_sets(count, *, seed=0):
    """Return a truth of label sets over `NAMES`; some articles have no label, and some have several."""
    return np.random.default_rng(seed).random((count, len(NAMES))) < (0.5, 0.3, 0.2, 0.1)


def flip(labels, cells):
    """Return the label sets with other decisions in some cells: (row, column) pairs, or arrays of both."""
    changed = labels.copy()
    changed[cells] = ~changed[cells]
    return changed


def make_label_set_articles(truth, *, categories=NAMES, **columns):
    of_strings = make_articles(np.full(len(truth), ""), **columns)
    return LabelSetArticles(
        ids=of_strings.ids,
        categories=categories,
        truth=truth,
        clusters=of_strings.clusters,
        sources=of_strings.sources,
        words=of_strings.words,
        months=of_strings.months,
    )


def make_label_set_predictions(predicted, *, confidence=0.9, categories=NAMES):
    """Return predictions whose labels have a probability of `confidence`, and the other categories the rest."""
    return LabelSetPredictions(categories, np.where(predicted, confidence, 1 - confidence), predicted)


def make_label_set_comparison(truth, candidate, champion, **more):
    """Compare two models and a baseline that predicts like the champion; models are label sets or predictions."""
    columns = {name: more.pop(name) for name in list(more) if name in {"sources", "words", "months", "clusters"}}
    models = [
        model if model is None or isinstance(model, LabelSetPredictions) else make_label_set_predictions(model)
        for model in (candidate, champion)
    ]
    baseline = more.pop("baseline", (models[1] or models[0]).predicted)
    return LabelSetComparison(make_label_set_articles(truth, **columns), *models, baseline, **more)
