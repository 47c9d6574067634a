"""Choose the probability from which each category of a multi-label model is a label, on validation articles alone.

One threshold for all categories favours the frequent ones, because a model that saw a category in few articles is
rarely sure of it. A threshold a category that maximises its F1 on validation articles (SCut: Yang, "A Study of
Thresholding Strategies for Text Categorization", 2001) overfits if the category has few articles there. Yang and Lewis
et al. (RCV1, 2004) replace such thresholds by rule if the F1 is too low (SCutFBR). Here each category's curve of F1
over thresholds is averaged with that of macro-F1, which counts as much as `PSEUDO_ARTICLES` articles of the category.
So a category without an article gets the threshold that is best for all categories together, and a frequent category
its own. For a target precision, the curve is that of precision, smoothed in the same way, and the threshold is the
lowest that reaches the target.

Thresholds are tested on a grid of equal steps of the logit. If several are best, the one in the middle is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Probabilities
from classifier.model import multi_label
from classifier.model.sigmoid import sigmoid
from classifier.plurals import plural

Goal = Literal["f1", "precision"]

PSEUDO_ARTICLES = 5.0
"""Articles of a category that the curve of all categories counts for."""

GRID: NDArray[np.float32] = sigmoid(np.arange(-7.0, 9.0, 0.05)).astype(np.float32)
"""The thresholds that are tested, from 0.0009 to 0.9999."""

_CELLS = 1_000_000
"""Probabilities that are read at once; this bounds memory."""

Counts = NDArray[np.int64]
Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CategoryThresholds:
    """The threshold of each category, and how good the labels of the validation articles are with them.

    Attributes:
        values: The thresholds, in the order of the model's categories.
        goal: What they were chosen for: the highest F1, or a precision.
        target_precision: The precision that they were chosen for; None for the goal "f1".
        min_labels: The least number of labels of an article, 0 or 1.
        common: The threshold of a category without validation articles.
        articles: The number of validation articles.
        micro_f1: F1 of all decisions together, one an article and category.
        macro_f1: Mean F1 of the categories that the articles have.
        precision: The share of correct labels among the assigned ones; 1 if there are none.
        exact_matches: The share of articles with exactly their annotated categories.
        out_of_reach: The number of categories that reach the target precision at no threshold; they have the highest.
    """

    values: tuple[float, ...]
    goal: Goal
    target_precision: float | None
    min_labels: int
    common: float
    articles: int
    micro_f1: float
    macro_f1: float
    precision: float
    exact_matches: float
    out_of_reach: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "values": list(self.values)}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> CategoryThresholds:
        """Return the thresholds that `as_json` wrote."""
        return cls(**{**stored, "values": tuple(stored["values"])})

    def __str__(self) -> str:
        """Return a line for users."""
        purpose = "F1" if self.goal == "f1" else f"a precision of {self.target_precision:g}"
        missed = f"; no threshold reaches it for {plural(self.out_of_reach, 'category', 'categories')}"
        return (
            f"thresholds from {min(self.values):.3f} to {max(self.values):.3f} for {purpose}: micro-F1 "
            f"{self.micro_f1:.4f}, macro-F1 {self.macro_f1:.4f}, precision {self.precision:.4f}, exact matches "
            f"{self.exact_matches:.4f} on {self.articles:,} validation articles{missed if self.out_of_reach else ''}"
        )


def choose_thresholds(
    probabilities: Probabilities,
    truth: LabelMatrix,
    *,
    goal: Goal = "f1",
    target_precision: float | None = None,
    min_labels: int = 0,
) -> CategoryThresholds:
    """Return the threshold of each category that is best for the goal on these articles; there must be at least one.

    `probabilities` and `truth` are (articles, categories). The goal "precision" needs a `target_precision`.

    Raises:
        ValueError: the goal is "precision", and no `target_precision` is given.
    """
    curves, out_of_reach = _Curves.of(probabilities, truth), 0
    if goal == "f1":
        rows, common = _best(curves.smoothed_f1()), _best(curves.macro_f1()[None])[0]
    elif target_precision is None:
        raise ValueError("the goal 'precision' needs a target_precision")
    else:
        reached = curves.smoothed_precision() >= target_precision
        rows, out_of_reach = _lowest(reached), int((~reached.any(axis=1)).sum())
        common = _lowest((curves.micro_precision() >= target_precision)[None])[0]
    values = tuple(round(float(value), 6) for value in GRID[rows])
    labels = multi_label.assign_labels(probabilities, values, min_labels=min_labels)
    return CategoryThresholds(
        values=values,
        goal=goal,
        target_precision=target_precision if goal == "precision" else None,
        min_labels=min_labels,
        common=round(float(GRID[common]), 6),
        articles=len(truth),
        **_scores(truth, labels),
        out_of_reach=out_of_reach,
    )


@dataclass(frozen=True, slots=True)
class _Curves:
    """Counts of articles at each threshold of the grid.

    `predicted` are those that get a category and `hits` those that also have it, both (categories, thresholds);
    `support` are those that have it, (categories,).
    """

    predicted: Counts
    hits: Counts
    support: Counts

    @classmethod
    def of(cls, probabilities: Probabilities, truth: LabelMatrix) -> _Curves:
        """Return the counts of these articles."""
        categories = truth.shape[1]
        shape = categories, len(GRID) + 1
        predicted, hits = np.zeros(shape[0] * shape[1], np.int64), np.zeros(shape[0] * shape[1], np.int64)
        for rows in _slices(*truth.shape):
            # an article gets the category at the first `reached` thresholds
            reached = np.searchsorted(GRID, probabilities[rows], side="right")
            cells = reached + np.arange(categories) * shape[1]
            predicted += np.bincount(cells.ravel(), minlength=len(predicted))
            hits += np.bincount(cells[truth[rows]], minlength=len(hits))
        return cls(
            _from_above(predicted.reshape(shape)), _from_above(hits.reshape(shape)), truth.sum(axis=0, dtype=np.int64)
        )

    def f1(self) -> Curve:
        """Return the F1 of each category that an article has, (categories, thresholds); 0 for the others."""
        f1: Curve = 2 * self.hits / np.maximum(self.predicted + self.support[:, None], 1)
        return f1

    def macro_f1(self) -> Curve:
        """Return the mean F1 of the categories that an article has, (thresholds,)."""
        present = self.support > 0
        mean: Curve = self.f1()[present].mean(axis=0) if present.any() else np.zeros(len(GRID))
        return mean

    def smoothed_f1(self) -> Curve:
        """Return each category's curve averaged with that of all categories, (categories, thresholds)."""
        articles = self.support[:, None]
        smoothed: Curve = (articles * self.f1() + PSEUDO_ARTICLES * self.macro_f1()) / (articles + PSEUDO_ARTICLES)
        return smoothed

    def micro_precision(self) -> Curve:
        """Return the precision of all categories together, (thresholds,); 1 if nothing is predicted."""
        predicted, hits = self.predicted.sum(axis=0), self.hits.sum(axis=0)
        precision: Curve = np.where(predicted > 0, hits / np.maximum(predicted, 1), 1.0)
        return precision

    def smoothed_precision(self) -> Curve:
        """Return each category's precision with that of all categories for some more predictions."""
        hits = self.hits + PSEUDO_ARTICLES * self.micro_precision()
        smoothed: Curve = hits / (self.predicted + PSEUDO_ARTICLES)
        return smoothed


def _from_above(counts: Counts) -> Counts:
    """Return, for each threshold, the number of articles that reach it; `counts` reach that many of them."""
    cumulated: Counts = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return cumulated


def _slices(articles: int, categories: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(1, categories))
    return (slice(start, start + step) for start in range(0, articles, step))


def _best(curves: Curve) -> Counts:
    """Return the position of each curve's highest value; if it is a plateau, of the plateau's middle."""
    first = curves.argmax(axis=1)
    highest = np.take_along_axis(curves, first[:, None], axis=1)
    beyond = (curves < highest) & (np.arange(curves.shape[1]) > first[:, None])
    end = np.where(beyond.any(axis=1), beyond.argmax(axis=1), curves.shape[1]) - 1
    return np.asarray((first + end) // 2)


def _lowest(reached: NDArray[np.bool_]) -> Counts:
    """Return the first position of each row that is true; the last one if none is."""
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1] - 1))


def _scores(truth: LabelMatrix, labels: LabelMatrix) -> dict[str, float]:
    """Return the figures of `CategoryThresholds` for articles with these labels."""
    hits, predicted, support = (matrix.sum(axis=0) for matrix in (truth & labels, labels, truth))
    present = support > 0
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    figures = {
        "micro_f1": 2 * hits.sum() / max(1, predicted.sum() + support.sum()),
        "macro_f1": f1[present].mean() if present.any() else 0.0,
        "precision": hits.sum() / predicted.sum() if predicted.any() else 1.0,
        "exact_matches": (truth == labels).all(axis=1).mean(),
    }
    return {name: round(float(value), 6) for name, value in figures.items()}
