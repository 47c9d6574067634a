"""Made-up test articles and answers for the gate and the report."""

from __future__ import annotations

import numpy as np

from classifier.evaluation.gate_rules import Comparison
from classifier.evaluation.test_articles import Predictions, TestArticles

NAMES = ("a", "b", "c", "d")


def sample(truth, *, sources=None, words=None, months=None, clusters=None):
    count = len(truth)
    return TestArticles(
        ids=np.arange(1, count + 1),
        truth=np.asarray(truth),
        clusters=np.arange(count) if clusters is None else np.asarray(clusters),
        sources=np.full(count, "s") if sources is None else np.asarray(sources),
        words=np.full(count, 100) if words is None else np.asarray(words),
        months=np.full(count, "") if months is None else np.asarray(months),
    )


def answers(predicted, *, confidence=0.9, names=NAMES):
    """Give the predicted category the confidence, and the others the rest."""
    columns = np.array([names.index(one) for one in predicted])
    probabilities = np.repeat(
        ((1 - np.broadcast_to(confidence, len(columns))) / (len(names) - 1))[:, None], len(names), 1
    )
    probabilities[np.arange(len(columns)), columns] = confidence
    return Predictions(names, probabilities)


def truth(count):
    return np.array(NAMES)[np.arange(count) % len(NAMES)]


def wrong_on(right, rows):
    """Return the categories with another one in some rows."""
    found = right.copy()
    found[rows] = [NAMES[(NAMES.index(one) + 1) % len(NAMES)] for one in right[rows]]
    return found


def contest(right, candidate, champion, **more):
    """Let two models and a baseline that is like the champion answer; either may be Answers."""
    given = {name: more.pop(name) for name in list(more) if name in {"sources", "words", "months", "clusters"}}
    predicted = candidate if champion is None else champion
    baseline = more.pop("baseline", predicted.predicted if isinstance(predicted, Predictions) else predicted)
    sides = [one if one is None or isinstance(one, Predictions) else answers(one) for one in (candidate, champion)]
    return Comparison(sample(right, **given), *sides, baseline, **more)
