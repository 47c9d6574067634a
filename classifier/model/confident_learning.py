"""Which annotations are probably wrong: confident learning (Northcutt, Jiang and Chuang, 2021).

The probabilities must come from a model that has not seen the article's own annotation. The threshold of a category is
the mean probability that its annotated articles have for it. An article counts for the most probable category whose
threshold it reaches. The table of annotated and counted categories is the confident joint. Scaled to the number of
annotations of each category, it estimates how many annotations are wrong.

Which ones these are is decided by the odds between the most probable other category and the annotated one. On articles
whose annotations were changed on purpose, this order was better than the difference of the two probabilities, and as
good as the probability of the annotated category alone, which does not say what else the article could be.

In a multi-label task, each decision is assessed: whether an article has a category or not. The two sides of a category
are its two classes, with a threshold each. A decision counts as wrong if its other side is more probable and reaches
its threshold. The count is not scaled: few articles of a rare category reach a threshold, so on Reuters-21578 the
scaled one was twice as high as the number of wrong annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, LabelMatrix, Probabilities
from classifier.model.targets import Targets

LogOdds = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SMALLEST = 1e-12  # replaces 0, which has no logarithm


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """How doubtful annotations are.

    Attributes:
        scores: The logarithm of the odds against each article's annotation, shape (articles,): 0 if another one is as
            probable. It is minus infinity if the annotation cannot be assessed.
        suggested: What is more probable than the annotation, in the form of the annotations: the most probable other
            category; of a multi-label task, a label set that differs in the doubtful decisions.
        estimated: The estimated number of articles whose annotation is wrong.
    """

    scores: LogOdds
    suggested: Any
    estimated: int

    def order(self) -> NDArray[np.int64]:
        """Return the articles that can be assessed, the most doubtful first."""
        order = np.argsort(-self.scores, kind="stable")
        return order[: int(np.isfinite(self.scores).sum())]


def find_doubts(probabilities: Probabilities, annotated: Targets, learned: LabelMatrix) -> Doubts:
    """Return how doubtful the annotations of these articles are.

    `annotated` are the annotated categories' columns; in a multi-label task, whether an article has each category.
    `learned` is (articles, categories), as `probabilities` are: whether the model of an article's probabilities had
    articles with the category, and without it, to learn from. Otherwise, an annotation cannot be assessed.
    """
    if not annotated.size:
        return Doubts(np.full(len(annotated), -np.inf), annotated, 0)
    find: Any = _doubt_decisions if annotated.ndim == 2 else _doubt_categories
    doubts: Doubts = find(probabilities.astype(np.float64), annotated, learned)
    return doubts


def _doubt_categories(probabilities: NDArray[np.float64], annotated: CategoryIndices, learned: LabelMatrix) -> Doubts:
    rows = np.arange(len(annotated))
    assessed = learned[rows, annotated] & (learned.sum(axis=1) > 1)
    own, others = probabilities[rows, annotated], np.where(learned, probabilities, -1)
    reached = np.where(others >= _thresholds(own, annotated, assessed, others.shape[1]), others, -1)
    counted = assessed & (reached.max(axis=1) >= 0)
    wrong = counted & (reached.argmax(axis=1) != annotated)
    sizes, of_counted, of_wrong = (
        np.bincount(annotated[mask], minlength=others.shape[1]) for mask in (assessed, counted, wrong)
    )
    others[rows, annotated] = -1
    scores = np.where(assessed, _log_odds(others.max(axis=1), own), -np.inf)
    return Doubts(scores, others.argmax(axis=1), round((sizes * of_wrong / np.maximum(of_counted, 1)).sum()))


def _doubt_decisions(probabilities: NDArray[np.float64], annotated: LabelMatrix, learned: LabelMatrix) -> Doubts:
    own = np.where(annotated, probabilities, 1 - probabilities)
    scores = np.where(learned, _log_odds(1 - own, own), -np.inf)
    differs = learned & (own < 0.5)
    wrong = differs.copy()
    for column, assessed in enumerate(learned.T):
        sides = annotated[:, column].astype(np.int64)
        wrong[:, column] &= 1 - own[:, column] >= _thresholds(own[:, column], sides, assessed, 2)[1 - sides]
    differs[np.arange(len(annotated)), scores.argmax(axis=1)] = True
    return Doubts(scores.max(axis=1), annotated ^ (differs & learned), int(wrong.any(axis=1).sum()))


def _thresholds(own: NDArray[np.float64], annotated: CategoryIndices, assessed: Mask, size: int) -> NDArray[np.float64]:
    """Return each category's mean probability in the articles annotated with it; infinity if none can be assessed."""
    counts = np.bincount(annotated[assessed], minlength=size)
    sums = np.bincount(annotated[assessed], weights=own[assessed], minlength=size)
    return np.where(counts, sums / np.maximum(counts, 1), np.inf)


def _log_odds(other: NDArray[np.float64], own: NDArray[np.float64]) -> LogOdds:
    return np.asarray(np.log(np.maximum(other, _SMALLEST)) - np.log(np.maximum(own, _SMALLEST)))
