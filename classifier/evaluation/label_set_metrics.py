"""Precision, recall, F1, exact matches and confused labels of a multi-label task's predictions.

Figures with a zero denominator are 0, as in scikit-learn with `zero_division=0`. A macro average is the mean over the
categories that occur in the truth, as for a single-label task: a category without an annotation has no F1 to measure,
and its wrong labels lower micro-F1 and exact matches.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.metrics import CategoryScore

MAX_CONFUSED = 500
"""Largest number of pairs of confused labels that are stored; a thousand categories have a million pairs."""


@dataclass(frozen=True, slots=True)
class LabelSetMetrics:
    """Averages over all labels (micro) and over the categories that occur (macro), and each category's own scores.

    Attributes:
        exact_matches: The share of articles whose labels are all correct: scikit-learn's subset accuracy.
        hamming_loss: The share of wrong label decisions among all articles and categories.
        labels_per_article: The mean number of annotated labels.
        predicted_per_article: The mean number of predicted labels.
        confused: How many articles miss a label and have a wrong one: (missed, predicted, articles). Labels are indices
            into `categories`; None stands for no label. Pairs of two labels come first, each kind by frequency.
        confused_pairs: The number of different pairs of two labels. `MAX_CONFUSED` of them are kept, and as many with
            None.
        confused_alone: The number of different labels that were missed, or wrong, alone.
    """

    articles: int
    exact_matches: float
    hamming_loss: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    labels_per_article: float
    predicted_per_article: float
    categories: tuple[str, ...]
    by_category: dict[str, CategoryScore]
    confused: tuple[tuple[int | None, int | None, int], ...]
    confused_pairs: int
    confused_alone: int

    def as_json(self) -> dict[str, Any]:
        """Return plain lists, dictionaries and numbers; `kind` tells them from those of a single-label task."""
        return {"kind": "multi", **asdict(self)}


def compute_label_set_metrics(
    truth: LabelMatrix, predicted: LabelMatrix, categories: tuple[str, ...]
) -> LabelSetMetrics:
    """Return the figures of predicted labels; both matrices have the shape (articles, categories)."""
    support, guesses, hits = (matrix.sum(axis=0).astype(np.float64) for matrix in (truth, predicted, truth & predicted))
    precision, recall, f1 = _scores(support, guesses, hits)
    micro = _scores(support.sum(), guesses.sum(), hits.sum())
    occurs = support > 0
    macro = [float(scores[occurs].mean()) if occurs.any() else 0.0 for scores in (precision, recall, f1)]
    confused = list_confused_labels(truth, predicted)
    pairs, alone = ([pair for pair in confused if (None in pair) == unpaired] for unpaired in (False, True))
    return LabelSetMetrics(
        articles=len(truth),
        exact_matches=float(exact_matches(truth, predicted).mean()) if len(truth) else 0.0,
        hamming_loss=float((truth != predicted).mean()) if truth.size else 0.0,
        micro_precision=float(micro[0]),
        micro_recall=float(micro[1]),
        micro_f1=float(micro[2]),
        macro_precision=macro[0],
        macro_recall=macro[1],
        macro_f1=macro[2],
        labels_per_article=float(support.sum() / max(1, len(truth))),
        predicted_per_article=float(guesses.sum() / max(1, len(truth))),
        categories=categories,
        by_category={
            name: CategoryScore(round(float(p), 5), round(float(r), 5), round(float(f), 5), int(n))
            for name, p, r, f, n in zip(categories, precision, recall, f1, support, strict=True)
        },
        confused=(*pairs[:MAX_CONFUSED], *alone[:MAX_CONFUSED]),
        confused_pairs=len(pairs),
        confused_alone=len(alone),
    )


def exact_matches(truth: LabelMatrix, predicted: LabelMatrix) -> NDArray[np.bool_]:
    """Return whether all labels of each article are correct, and none is missing."""
    matches: NDArray[np.bool_] = (truth == predicted).all(axis=1)
    return matches


def list_confused_labels(truth: LabelMatrix, predicted: LabelMatrix) -> list[tuple[int | None, int | None, int]]:
    """Return each pair of a missed and a wrongly predicted label with its number of articles, most frequent first.

    An article that misses two labels and has one wrong label counts for two pairs. If it has no wrong label, each of
    its missed labels is paired with None, and the reverse.
    """
    from scipy.sparse import csr_array

    missed, wrong = truth & ~predicted, predicted & ~truth
    nothing = len(truth.T)  # the column that stands for no label
    missed = np.column_stack([missed, wrong.any(axis=1) & ~missed.any(axis=1)])
    wrong = np.column_stack([wrong, missed[:, :nothing].any(axis=1) & ~wrong.any(axis=1)])
    counts = (csr_array(missed.astype(np.int64)).T @ csr_array(wrong.astype(np.int64))).tocoo()
    pairs = sorted(
        zip(counts.row.tolist(), counts.col.tolist(), counts.data.tolist(), strict=True),
        key=lambda pair: (-pair[2], pair[:2]),
    )
    return [(None if a == nothing else a, None if b == nothing else b, count) for a, b, count in pairs]


def _scores(support: Any, guesses: Any, hits: Any) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1; 0 if the denominator is 0."""

    def ratio(numerator: Any, denominator: Any) -> Floats:
        result: Floats = np.zeros(np.shape(numerator))
        np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
        return result

    return ratio(hits, guesses), ratio(hits, support), ratio(2 * hits, support + guesses)
