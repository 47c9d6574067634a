"""All that is to be said of one model on the test articles, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from classifier.evaluation import bootstrap, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.slices import slices
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles
from classifier.model import temperature_scaling

RESAMPLES = 2_000
"""For intervals that are read, not decided by."""

MISTAKES = 25
COVERAGES = tuple(n / 20 for n in range(1, 21))


def build_results(
    sample: TestArticles,
    answers: Predictions,
    baseline: Strings,
    *,
    temperature: float = temperature_scaling.UNCALIBRATED,
    threshold: float | None = None,
    target_precision: float | None = None,
) -> dict[str, Any]:
    """Return intervals, calibration, accuracy against coverage, slices and the most confident mistakes.

    The answers are at the temperature, and what they were without it is said beside; below the threshold, which was
    chosen for a target precision, the model abstains. Every interval holds 95 % of the resamples by cluster of
    near-duplicates.
    """
    sums = bootstrap.sums(reliability.contributions(sample.truth, answers), sample.clusters, resamples=RESAMPLES)
    return {
        "intervals": {
            **_scores(sample, answers.predicted),
            "ece": bootstrap.interval(reliability.error(sums)),
            "brier": bootstrap.interval(reliability.mean_brier(sums)),
        },
        "baseline_intervals": _scores(sample, baseline),
        "clusters": len(np.unique(sample.clusters)),
        "calibration": {
            **_calibration(sample, answers),
            "temperature": temperature,
            "before": _calibration(sample, _as_it_was(answers, temperature)),
        },
        "coverage": _coverage(sample, answers),
        "abstention": None if threshold is None else _abstention(sample, answers, threshold, target_precision),
        "slices": _slices(sample, answers.predicted, baseline),
        "mistakes": _mistakes(sample, answers),
    }


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that say how far its model's confidence is to be trusted, those that it has."""
    found = report.get("calibration", {})
    names = {"temperature": found.get("temperature"), "ece": found.get("ece"), "brier": found.get("brier")}
    figures = {**names, "ece_before": found.get("before", {}).get("ece"), **(report.get("abstention") or {})}
    return {name: value for name, value in figures.items() if value is not None}


def _as_it_was(answers: Predictions, temperature: float) -> Predictions:
    """Return the answers without the temperature."""
    raw = temperature_scaling.apply_temperature(answers.probabilities.astype(np.float32, copy=False), 1 / temperature)
    return Predictions(answers.categories, raw)


def _calibration(sample: TestArticles, answers: Predictions) -> dict[str, Any]:
    totals = reliability.contributions(sample.truth, answers).sum(axis=0)
    return {
        "ece": float(reliability.error(totals)),
        "brier": float(reliability.mean_brier(totals)),
        "bins": [asdict(one) for one in reliability.bins(sample, answers)],
    }


def _abstention(sample: TestArticles, answers: Predictions, threshold: float, wanted: float | None) -> dict[str, Any]:
    """Return how many of the articles it does not abstain from, and how precise it is on them."""
    said = answers.confidence.astype(np.float32) >= np.float32(threshold)  # as the database compares them
    right = answers.predicted[said] == sample.truth[said]
    return {
        "threshold": threshold,
        "target_precision": wanted,
        "coverage": float(said.mean()),
        "precision": float(right.mean()) if len(right) else None,
        "precision_interval": _share(right, sample.clusters[said]) if len(right) else None,
    }


def _scores(sample: TestArticles, predicted: Strings) -> dict[str, tuple[float, float]]:
    """Return the intervals of accuracy and macro-F1."""
    names, codes = np.unique(np.concatenate([sample.truth, predicted]), return_inverse=True)
    truth, guess = np.split(codes.astype(np.int64), 2)
    contributions = bootstrap.outcomes(truth, [guess], len(names))
    accuracy, macro_f1 = [], []
    for sums in bootstrap.blocks(contributions, sample.clusters, resamples=RESAMPLES):
        there, guessed, hits = np.split(sums, 3, axis=1)
        accuracy.append(hits.sum(axis=1) / there.sum(axis=1))
        macro_f1.append(bootstrap.macro_f1(there, guessed, hits))
    figures = {"accuracy": accuracy, "macro_f1": macro_f1}
    return {name: bootstrap.interval(np.concatenate(parts)) for name, parts in figures.items()}


def _coverage(sample: TestArticles, answers: Predictions) -> list[dict[str, float]]:
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


def _slices(sample: TestArticles, predicted: Strings, baseline: Strings) -> list[dict[str, Any]]:
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
    sums = bootstrap.sums(columns, clusters, resamples=RESAMPLES)
    return bootstrap.interval(sums[:, 0] / sums[:, 1])


def _mistakes(sample: TestArticles, answers: Predictions) -> list[dict[str, Any]]:
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
