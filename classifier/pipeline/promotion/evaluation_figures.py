"""The figures of a model and of the baseline on the test articles that count, for both kinds of task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Row

from classifier.articles import Model, Probabilities
from classifier.evaluation import baseline, comparison, label_set_results, results
from classifier.evaluation.label_set_baseline import LabelRule, predict_baseline_labels
from classifier.evaluation.label_set_metrics import LabelSetMetrics, compute_label_set_metrics, exact_matches
from classifier.evaluation.label_set_results import LabelCalibration
from classifier.evaluation.label_sets import LabelSetPredictions, common_categories, to_matrix
from classifier.evaluation.metrics import Metrics, compute_metrics
from classifier.evaluation.test_articles import Predictions
from classifier.evaluation.thresholds import Goal
from classifier.inference.labeller import Labeller
from classifier.model.decisions import decide_present, names_of, present_thresholds
from classifier.pipeline.promotion import evaluation_results
from classifier.training.spooled_articles import SpooledArticles

MAX_P = 0.05
"""Largest p-value of a significant difference from the baseline."""

LabelSets = Sequence[tuple[str, ...]]
"""The labels of each article: one of a single-label task."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The figures of a model and of the baseline on the same articles.

    `train_seconds` is None for an imported model. `confidence` has the figures of the model's confidence. `left_out`
    test articles do not count, because the model was trained on them or on near-duplicates of them. `reused` outputs
    are from an earlier attempt or evaluation. `baseline_p` is the exact p-value of McNemar's test of equal accuracy (of
    a multi-label task: of equal exact matches), None if it was not computed. `unknown_categories` are those of test
    articles that the model cannot predict, with the number of these articles.
    """

    model: str
    metrics: Metrics | LabelSetMetrics
    baseline: Metrics | LabelSetMetrics
    engine: str
    train_seconds: float | None = None
    baseline_train_seconds: float = 0.0
    confidence: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0
    reused: int = 0
    baseline_p: float | None = None
    unknown_categories: Mapping[str, int] = field(default_factory=dict)

    @property
    def score_name(self) -> str:
        """The name of the figure by which the model and the baseline are compared."""
        return "accuracy" if isinstance(self.metrics, Metrics) else "micro-F1"

    @property
    def scores(self) -> tuple[float, float]:
        """That figure of the model and of the baseline."""
        ours, theirs = (
            metrics.accuracy if isinstance(metrics, Metrics) else metrics.micro_f1
            for metrics in (self.metrics, self.baseline)
        )
        return ours, theirs

    @property
    def accuracy(self) -> float:
        """The share of articles whose labels are all correct."""
        return _accuracy(self.metrics)

    @property
    def baseline_accuracy(self) -> float:
        """The same share of the baseline."""
        return _accuracy(self.baseline)

    @property
    def beats_baseline(self) -> bool:
        """Whether the model has more accuracy, or micro-F1 in a multi-label task, than the baseline."""
        return self.scores[0] > self.scores[1]

    @property
    def verdict(self) -> str:
        """A sentence that says which is ahead and, for a single-label task, whether the difference may be chance."""
        difference = abs(self.scores[0] - self.scores[1]) * 100
        p = self.baseline_p if isinstance(self.metrics, Metrics) else None
        chance = "" if p is None or p <= MAX_P else f", which may be chance (McNemar's exact test: p = {p:.2f})"
        if self.beats_baseline:
            return f"The model is ahead of the baseline by {difference:.2f} points of {self.score_name}{chance}."
        cost = f"the baseline trains in {self.baseline_train_seconds:.1f} s"
        if not difference:
            equally = "equally accurate" if isinstance(self.metrics, Metrics) else f"equal in {self.score_name}"
            return f"The model does not beat the baseline: they are {equally}, and {cost}."
        ahead = f"ahead by {difference:.2f} points of {self.score_name}{chance}"
        return f"The model does not beat the baseline, which is {ahead}; {cost}."


def _accuracy(metrics: Metrics | LabelSetMetrics) -> float:
    return metrics.accuracy if isinstance(metrics, Metrics) else metrics.exact_matches


@dataclass(frozen=True, slots=True)
class EvaluatedArticles:
    """The test articles that count and their rows of `evaluations.articles_by_id`, with what is predicted for them."""

    test: SpooledArticles
    facts: Sequence[Row[*tuple[Any, ...]]]
    probabilities: Probabilities
    baseline: LabelSets


def predict_baseline(
    model: Model,
    labeller: Labeller,
    train: Sequence[SpooledArticles],
    test: SpooledArticles,
    target_precision: float | None,
) -> tuple[LabelSets, float]:
    """Train the baseline on what the model reads of the parts; return its labels, and the seconds of training."""
    texts, test_texts = labeller.tokenization.texts(*train), labeller.tokenization.texts(test)
    if model.kind == "single":
        categories = [category for part in train for category in part.categories]
        predicted, seconds = baseline.predict_baseline(texts, categories, test_texts)
        return [(category,) for category in predicted], seconds
    label_sets = [labels for part in train for labels in part.label_sets]
    names = common_categories(*label_sets)
    goal: Goal = "precision" if target_precision else "f1"
    rule = LabelRule(model.min_labels, goal, target_precision or None)
    labels = predict_baseline_labels(texts, label_sets, test_texts, names, rule)
    return names_of(labels.predicted, names), labels.train_seconds


def compute_figures(
    model: Model, articles: EvaluatedArticles, target_precision: float | None
) -> tuple[EvaluationReport, dict[str, Any]]:
    """Return the figures, without the engine and the seconds, and the report as plain JSON."""
    if model.kind == "single":
        return _single_label(model, articles, target_precision)
    return _multi_label(model, articles, target_precision)


def _single_label(
    model: Model, evaluated: EvaluatedArticles, target_precision: float | None
) -> tuple[EvaluationReport, dict[str, Any]]:
    truth = evaluated.test.categories
    baseline_predicted = np.array([category for (category,) in evaluated.baseline])
    decided = decide_present(model, evaluated.probabilities)
    predictions = Predictions(decided.categories, decided.probabilities)
    articles = evaluation_results.to_test_articles(evaluated.test, evaluated.facts)
    report = results.build_results(
        articles,
        predictions,
        baseline_predicted,
        temperature=model.temperature,
        threshold=model.threshold,
        target_precision=target_precision,
        parents=model.parents,
    )
    figures = EvaluationReport(
        model.name,
        compute_metrics(truth, predictions.predicted.tolist()),
        compute_metrics(truth, baseline_predicted.tolist()),
        "",
        confidence=results.confidence_figures(report),
        baseline_p=comparison.mcnemar(articles, predictions.predicted, baseline_predicted).p_two_sided,
        unknown_categories=_count_unknown(truth, decided.categories),
    )
    return figures, report


def _multi_label(
    model: Model, evaluated: EvaluatedArticles, target_precision: float | None
) -> tuple[EvaluationReport, dict[str, Any]]:
    label_sets = evaluated.test.label_sets
    decided = decide_present(model, evaluated.probabilities)
    categories = common_categories(decided.categories, *label_sets, *evaluated.baseline)
    articles = evaluation_results.to_label_set_articles(evaluated.test, evaluated.facts, categories)
    predictions = LabelSetPredictions(decided.categories, decided.probabilities, decided.labels)
    baseline_labels = to_matrix(evaluated.baseline, categories)
    calibration = LabelCalibration(model.temperature, present_thresholds(model), target_precision or None)
    report = label_set_results.build_label_set_results(articles, predictions, baseline_labels, calibration)
    predicted = predictions.over(categories).predicted
    exact = (exact_matches(articles.truth, labels) for labels in (predicted, baseline_labels))
    figures = EvaluationReport(
        model.name,
        compute_label_set_metrics(articles.truth, predicted, categories),
        compute_label_set_metrics(articles.truth, baseline_labels, categories),
        "",
        confidence=results.confidence_figures(report),
        baseline_p=comparison.mcnemar_test(*exact).p_two_sided,
        unknown_categories=_count_unknown((name for names in label_sets for name in names), decided.categories),
    )
    return figures, report


def _count_unknown(truth: Iterable[str], categories: Iterable[str]) -> dict[str, int]:
    """Return the number of articles of each category that is not among a model's, the largest first."""
    names = set(categories)
    return dict(Counter(category for category in truth if category not in names).most_common())
