"""The rules of the gate for a multi-label task: those of `gate_rules.py`, on label sets.

An article is correct if all of its labels are and none is missing: an exact match. The margin of accuracy is that of
exact matches here, and the margin and the floor of macro-F1 are those of the metric that decides (`Margins.metric`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix
from classifier.evaluation import category_coverage, comparison, gate_rules, label_set_reliability, reliability
from classifier.evaluation.bootstrap import Floats
from classifier.evaluation.comparison import ComparedScores, Difference
from classifier.evaluation.gate_rules import BASELINE, CANDIDATE, CHAMPION, RuleResult
from classifier.evaluation.label_set_metrics import exact_matches
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions, align, common_categories
from classifier.evaluation.margins import Margins

GUESS = 2
"""The position of a guess among the predictions that are resampled with a first model."""


@dataclass(frozen=True, slots=True)
class LabelSetComparison:
    """The predictions of a candidate, the champion and the baseline on the same articles of a multi-label task.

    The fields are those of `Comparison`. `baseline` has the columns of `test_articles.truth`.
    """

    test_articles: LabelSetArticles
    candidate: LabelSetPredictions
    champion: LabelSetPredictions | None
    baseline: LabelMatrix
    candidate_gflops: float | None = None
    champion_gflops: float | None = None
    left_out: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Everything with the columns of every annotation and model; `of_champion` are the categories of the champion."""

    articles: LabelSetArticles
    candidate: LabelSetPredictions
    champion: LabelSetPredictions | None
    baseline: LabelMatrix
    of_champion: frozenset[str] = frozenset()

    @classmethod
    def of(cls, compared: LabelSetComparison) -> _Aligned:
        articles, champion = compared.test_articles, compared.champion
        categories = common_categories(
            articles.categories, compared.candidate.categories, champion.categories if champion else ()
        )
        return cls(
            articles.over(categories),
            compared.candidate.over(categories),
            champion.over(categories) if champion else None,
            align(compared.baseline, articles.categories, categories),
            frozenset(champion.categories if champion else ()),
        )

    def without_new_categories(self) -> _Aligned:
        """Return the columns of the categories that the champion knows; all if it knows every annotated one, or none.

        In the other columns the champion misses every label, however good it is.
        """
        assert self.champion is not None
        names = self.articles.categories
        annotated = {names[column] for column in np.flatnonzero(self.articles.truth.any(axis=0))}
        if annotated <= self.of_champion or not annotated & self.of_champion:
            return self
        columns = [column for column, name in enumerate(names) if name in self.of_champion]
        kept = tuple(names[column] for column in columns)

        def only(predictions: LabelSetPredictions) -> LabelSetPredictions:
            return LabelSetPredictions(kept, predictions.probabilities[:, columns], predictions.predicted[:, columns])

        articles = replace(self.articles, categories=kept, truth=self.articles.truth[:, columns])
        return _Aligned(
            articles, only(self.candidate), only(self.champion), self.baseline[:, columns], self.of_champion
        )

    def count_new(self) -> dict[str, tuple[int, int, int]]:
        """Return the annotated and predicted articles and the hits of annotated categories that are new."""
        truth, predicted = self.articles.truth, self.candidate.predicted
        return {
            name: (
                int(truth[:, column].sum()),
                int(predicted[:, column].sum()),
                int((truth[:, column] & predicted[:, column]).sum()),
            )
            for column, name in enumerate(self.articles.categories)
            if name not in self.of_champion and truth[:, column].any()
        }

    def correct(self, predictions: LabelSetPredictions) -> NDArray[np.bool_]:
        return exact_matches(self.articles.truth, predictions.predicted)


def check_first_model(compared: LabelSetComparison, margins: Margins) -> Iterator[RuleResult]:
    """Yield the results of every rule for a model of a task that has no champion."""
    aligned = _Aligned.of(compared)
    articles, predicted = aligned.articles, aligned.candidate.predicted
    guess = np.zeros_like(articles.truth)
    most_frequent = int(articles.truth.sum(axis=0).argmax())
    guess[:, most_frequent] = True
    scores = comparison.compare_label_sets(articles, [predicted, aligned.baseline, guess], resamples=margins.resamples)
    yield gate_rules.check_floor(
        _resampled(scores, margins)[CANDIDATE], len(articles), margins, metric=margins.metric_name
    )
    yield _check_above_guessing(scores.micro_f1(CANDIDATE, GUESS), articles.categories[most_frequent], margins)
    yield _check_baseline(scores, margins)
    yield from _check_data(compared)


def check_against_champion(compared: LabelSetComparison, margins: Margins) -> Iterator[RuleResult]:
    """Yield the results of every rule for a candidate and the champion."""
    everything = _Aligned.of(compared)
    aligned = everything.without_new_categories()
    articles, candidate, champion = aligned.articles, aligned.candidate, aligned.champion
    assert champion is not None
    scores = comparison.compare_label_sets(
        articles,
        [candidate.predicted, aligned.baseline, champion.predicted],
        resamples=margins.resamples,
        min_articles=margins.min_articles,
    )
    yield gate_rules.check_f1(_difference(scores, margins), len(articles), margins, metric=margins.metric_name)
    correct = aligned.correct(candidate), aligned.correct(champion)
    yield gate_rules.check_mcnemar(
        comparison.mcnemar_test(*correct),
        len(articles),
        margins,
        rule="exact matches",
        predicate="has every label correct",
    )
    yield from gate_rules.check_parts(articles, scores, correct, margins, metric="exact matches")
    yield _check_calibration(articles, candidate, champion, margins)
    yield gate_rules.check_speed(compared.candidate_gflops, compared.champion_gflops, margins)
    if aligned is everything:
        yield _check_baseline(scores, margins)
    else:
        yield category_coverage.describe_new_categories(everything.count_new())
        predicted = [everything.candidate.predicted, everything.baseline]
        yield _check_baseline(
            comparison.compare_label_sets(everything.articles, predicted, resamples=margins.resamples), margins
        )
    yield from _check_data(compared)


def _resampled(scores: ComparedScores, margins: Margins) -> tuple[Floats, ...]:
    return scores.macro if margins.metric == "macro_f1" else scores.micro


def _difference(scores: ComparedScores, margins: Margins) -> Difference:
    difference = scores.macro_f1 if margins.metric == "macro_f1" else scores.micro_f1
    return difference(CANDIDATE, CHAMPION)


def _check_above_guessing(difference: Difference, category: str, margins: Margins) -> RuleResult:
    """Pass if micro-F1 is above that of always assigning the most frequent category, beyond chance."""
    lower = difference.lower(margins.alpha)
    reason = (
        f"micro-F1 {difference.first:.4f}; always assigning the most frequent category, {category}, has "
        f"{difference.second:.4f}"
    )
    statistics = {"share": difference.second, "at_least": lower}
    return RuleResult("guessing", "pass" if lower > 0 else "fail", reason, statistics)


def _check_baseline(scores: ComparedScores, margins: Margins) -> RuleResult:
    """Fail if macro- or micro-F1 is below the baseline's by more than the margin, beyond chance; they share alpha."""
    results = {
        metric: gate_rules.compare_with_baseline(difference, margins, margins.alpha / 2, metric=metric)
        for metric, difference in (
            ("macro-F1", scores.macro_f1(CANDIDATE, BASELINE)),
            ("micro-F1", scores.micro_f1(CANDIDATE, BASELINE)),
        )
    }
    against = [reason for fails, reason, _ in results.values() if fails]
    reasons = against or [reason for _, reason, _ in results.values()]
    statistics = {metric: statistics for metric, (_, _, statistics) in results.items()}
    return RuleResult("baseline", "fail" if against else "pass", "; ".join(reasons), statistics)


def _check_calibration(
    articles: LabelSetArticles, candidate: LabelSetPredictions, champion: LabelSetPredictions, margins: Margins
) -> RuleResult:
    """Fail if the calibration error of the assigned labels exceeds the champion's by more than the margin."""
    models = candidate, champion
    decisions = [label_set_reliability.contributions(articles.truth, model).sum(axis=0) for model in models]
    more = {
        "ece_per_decision": float(reliability.calibration_error(decisions[0])),
        "champion_ece_per_decision": float(reliability.calibration_error(decisions[1])),
        "brier": float(reliability.mean_brier(decisions[0])),
        "champion_brier": float(reliability.mean_brier(decisions[1])),
    }
    if not (candidate.predicted.any() and champion.predicted.any()):
        return RuleResult("calibration", "not judged", "calibration: a model assigned no label", more)
    assigned = [label_set_reliability.contributions(articles.truth, model, assigned=True) for model in models]
    difference = comparison.calibration_difference(assigned, articles.clusters)
    return gate_rules.check_calibration_error(difference, more, margins, subject=" of assigned labels")


def _check_data(compared: LabelSetComparison) -> Iterator[RuleResult]:
    yield gate_rules.check_training_data(compared.left_out, compared.unknown)
    articles = compared.test_articles
    counts = zip(articles.categories, articles.truth.sum(axis=0).tolist(), strict=True)
    annotated = {name: count for name, count in counts if count}
    yield category_coverage.check_known(
        annotated, compared.candidate.categories, effect="each such article misses a label"
    )
