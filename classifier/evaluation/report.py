"""All that is to be said of one model on the test articles, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from classifier.evaluation import calibration, resampling
from classifier.evaluation.resampling import Floats
from classifier.evaluation.sample import Answers, Sample, Strings
from classifier.evaluation.slices import slices

RESAMPLES = 2_000
"""For intervals that are read, not decided by."""

MISTAKES = 25
COVERAGES = tuple(n / 20 for n in range(1, 21))


def build(sample: Sample, answers: Answers, baseline: Strings) -> dict[str, Any]:
    """Return intervals, calibration, accuracy against coverage, slices and the most confident mistakes.

    Every interval holds 95 % of the resamples by cluster of near-duplicates.
    """
    sums = resampling.sums(calibration.contributions(sample.truth, answers), sample.clusters, resamples=RESAMPLES)
    totals = calibration.contributions(sample.truth, answers).sum(axis=0)
    return {
        "intervals": {
            **_scores(sample, answers.predicted),
            "ece": resampling.interval(calibration.error(sums)),
            "brier": resampling.interval(calibration.mean_brier(sums)),
        },
        "baseline_intervals": _scores(sample, baseline),
        "clusters": len(np.unique(sample.clusters)),
        "calibration": {
            "ece": float(calibration.error(totals)),
            "brier": float(calibration.mean_brier(totals)),
            "bins": [asdict(one) for one in calibration.bins(sample, answers)],
        },
        "coverage": _coverage(sample, answers),
        "slices": _slices(sample, answers.predicted, baseline),
        "mistakes": _mistakes(sample, answers),
    }


def _scores(sample: Sample, predicted: Strings) -> dict[str, tuple[float, float]]:
    """Return the intervals of accuracy and macro-F1."""
    names, codes = np.unique(np.concatenate([sample.truth, predicted]), return_inverse=True)
    truth, guess = np.split(codes.astype(np.int64), 2)
    contributions = np.hstack([resampling.one_hot(truth, len(names)), resampling.counts(truth, guess, len(names))])
    sums = resampling.sums(contributions, sample.clusters, resamples=RESAMPLES)
    there, guessed, hits = np.split(sums, 3, axis=1)
    return {
        "accuracy": resampling.interval(hits.sum(axis=1) / there.sum(axis=1)),
        "macro_f1": resampling.interval(resampling.macro_f1(there, guessed, hits)),
    }


def _coverage(sample: Sample, answers: Answers) -> list[dict[str, float]]:
    """Return the accuracy of the most confident share of the articles, a share each."""
    confidence = answers.confidence
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((answers.predicted == sample.truth)[order])
    found = []
    for share in COVERAGES:
        count = max(1, round(share * len(sample)))
        accuracy = float(right[count - 1] / count)
        found.append({"coverage": share, "accuracy": accuracy, "confidence": float(confidence[order[count - 1]])})
    return found


def _slices(sample: Sample, predicted: Strings, baseline: Strings) -> list[dict[str, Any]]:
    right, theirs = (predicted == sample.truth), (baseline == sample.truth)
    return [
        {
            "dimension": one.dimension,
            "name": one.name,
            "articles": int(one.rows.sum()),
            "accuracy": float(right[one.rows].mean()),
            "interval": _share(right[one.rows], sample.clusters[one.rows]),
            "baseline": float(theirs[one.rows].mean()),
        }
        for one in slices(sample)
    ]


def _share(right: Any, clusters: Any) -> tuple[float, float]:
    columns: Floats = np.column_stack([right, np.ones(len(right))]).astype(np.float64)
    sums = resampling.sums(columns, clusters, resamples=RESAMPLES)
    return resampling.interval(sums[:, 0] / sums[:, 1])


def _mistakes(sample: Sample, answers: Answers) -> list[dict[str, Any]]:
    """Return the most confident mistakes by the articles' ids: never the text."""
    predicted, confidence = answers.predicted, answers.confidence
    wrong = np.flatnonzero(predicted != sample.truth)
    return [
        {
            "article": int(sample.ids[row]),
            "annotated": str(sample.truth[row]),
            "predicted": str(predicted[row]),
            "confidence": float(confidence[row]),
        }
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    ]
