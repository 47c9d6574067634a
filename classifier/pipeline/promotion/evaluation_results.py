"""The predictions of models on the test articles: stored with each evaluation, and read again for comparisons.

Two models' predictions are comparable if the article, its text and its annotation are the same. If two evaluations
differ in a single article, they are not compared at all, because the articles that differ are no random sample. For
instance, an article on which annotators disagree leaves the test split.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from classifier.articles import AnnotatedArticle, LabelMatrix, Model, Probabilities
from classifier.evaluation.gate_rules import Comparison
from classifier.evaluation.label_set_rules import LabelSetComparison
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions, common_categories, to_matrix
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles, number_clusters
from classifier.exceptions import NotComparableError, NotEvaluatedError, TrainingDataError
from classifier.model.decisions import decide_present
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.store import category_rows, evaluations
from classifier.training import spooled_articles


@dataclass(frozen=True, slots=True)
class EvaluationResults:
    """One evaluation: the articles, and the predictions of the model and the baseline."""

    model: str
    evaluation: Row[*tuple[Any, ...]]
    test_articles: TestArticles | LabelSetArticles
    predictions: Predictions | LabelSetPredictions
    baseline: Strings | LabelMatrix
    text_hashes: tuple[bytes, ...]

    @property
    def gflops(self) -> float | None:
        """Mean GFLOP for an article; None for an evaluation of an older version, which did not count them."""
        gflops: float | None = self.evaluation.metrics.get("gflops_per_article")
        return gflops

    @property
    def articles(self) -> dict[int, bytes]:
        """The articles' ids with the hashes of their texts."""
        return dict(zip(self.test_articles.ids.tolist(), self.text_hashes, strict=True))


def to_test_articles(test: Sequence[AnnotatedArticle], facts: Sequence[Row[*tuple[Any, ...]]]) -> TestArticles:
    """Return the columns of test articles and their rows of `evaluations.articles_by_id`, both by id."""
    ids = np.array([article_id for article_id, _, _ in spooled_articles.facts(test)], dtype=np.int64)
    return TestArticles(
        ids=ids,
        truth=np.array(spooled_articles.categories_of(test)),
        clusters=number_clusters(ids, [row.cluster_id for row in facts]),
        sources=np.array([row.source for row in facts]),
        words=np.array([len(article.text.split()) for article in test], dtype=np.int64),
        months=np.array([row.month or "" for row in facts]),
    )


def to_label_set_articles(
    test: Sequence[AnnotatedArticle], facts: Sequence[Row[*tuple[Any, ...]]], categories: tuple[str, ...]
) -> LabelSetArticles:
    """Return what `to_test_articles` returns for a multi-label task; `categories` must contain every annotated one."""
    ids = np.array([article_id for article_id, _, _ in spooled_articles.facts(test)], dtype=np.int64)
    return LabelSetArticles(
        ids=ids,
        categories=categories,
        truth=to_matrix(spooled_articles.label_sets_of(test), categories),
        clusters=number_clusters(ids, [row.cluster_id for row in facts]),
        sources=np.array([row.source for row in facts]),
        words=np.array([len(article.text.split()) for article in test], dtype=np.int64),
        months=np.array([row.month or "" for row in facts]),
    )


def save_results(
    connection: Connection,
    evaluation_id: int,
    test: Sequence[AnnotatedArticle],
    facts: Sequence[Row[*tuple[Any, ...]]],
    baseline: Sequence[Sequence[str]],
    probabilities: Probabilities,
    gflops: Sequence[float | None],
) -> None:
    """Store the predictions on every article with the evaluation, in its transaction."""
    columns: dict[str, Sequence[Any]] = {
        "ids": [article_id for article_id, _, _ in spooled_articles.facts(test)],
        "hashes": [text_hash for _, text_hash, _ in spooled_articles.facts(test)],
        "words": [len(article.text.split()) for article in test],
        "clusters": [row.cluster_id for row in facts],
        "categories": [json.dumps(names) for names in spooled_articles.label_sets_of(test)],
        "baselines": [json.dumps(names) for names in baseline],
        "gflops": gflops,
    }
    evaluations.add_predictions(connection, evaluation_id, columns, probabilities)


def newest_results(connection: Connection, model: Model) -> EvaluationResults:
    """Read a model's last evaluation on the test split, in the categories of today.

    Raises:
        NotEvaluatedError: there is none, or an older version did not store the predictions.
    """
    evaluation = evaluations.newest(connection, model.id)
    rows = evaluations.evaluated_articles(connection, evaluation.id) if evaluation is not None else []
    if evaluation is None or not rows:
        raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate {model.name}")
    ids = np.array([row.article_id for row in rows], dtype=np.int64)
    columns: dict[str, Any] = {
        "ids": ids,
        "clusters": number_clusters(ids, [row.cluster_id for row in rows]),
        "sources": np.array([row.source for row in rows]),
        "words": np.array([row.words for row in rows], dtype=np.int64),
        "months": np.array([row.month for row in rows]),
    }
    decided = decide_present(model, evaluations.probabilities(connection, evaluation.id, len(model.categories)))
    present = category_rows.taxonomy(connection).present_set
    truth = [present(row.annotated_categories) for row in rows]
    guesses = [present(row.baseline_categories) for row in rows]
    hashes = tuple(bytes(row.text_hash) for row in rows)
    if model.kind == "single":
        articles = TestArticles(truth=np.array([names[0] for names in truth]), **columns)
        baseline = np.array([names[0] for names in guesses])
        predictions = Predictions(decided.categories, decided.probabilities)
        return EvaluationResults(model.name, evaluation, articles, predictions, baseline, hashes)
    names = common_categories(decided.categories, *truth, *guesses)
    return EvaluationResults(
        model.name,
        evaluation,
        LabelSetArticles(categories=names, truth=to_matrix(truth, names), **columns),
        LabelSetPredictions(decided.categories, decided.probabilities, decided.labels),
        to_matrix(guesses, names),
        hashes,
    )


def compare_models(
    candidate: EvaluationResults, champion: EvaluationResults | None, exposure: TrainingExposure
) -> Comparison | LabelSetComparison:
    """Return two evaluations of the same articles as a comparison, without the articles that a model was trained on.

    Raises:
        NotComparableError: their articles, texts or annotations differ.
        TrainingDataError: no article is left.
    """
    if champion is not None:
        _check_same(candidate, champion)
    rows = np.array([id_ not in exposure.articles for id_ in candidate.test_articles.ids.tolist()], dtype=bool)
    if not rows.any():
        raise TrainingDataError(
            f"{candidate.model}: a model was trained on each of the {len(rows)} test articles or a near-duplicate; "
            "annotate other articles of the test split"
        )
    kind: Any = Comparison if isinstance(candidate.test_articles, TestArticles) else LabelSetComparison
    compared: Comparison | LabelSetComparison = kind(
        candidate.test_articles.of(rows),
        candidate.predictions.of(rows),
        champion.predictions.of(rows) if champion else None,
        candidate.baseline[rows],
        candidate.gflops,
        champion.gflops if champion else None,
        int((~rows).sum()),
        exposure.unknown,
    )
    return compared


def same_articles(first: EvaluationResults, second: EvaluationResults) -> bool:
    """Return whether two evaluations are of the same articles, with the same texts and annotations."""
    return (
        first.text_hashes == second.text_hashes
        and np.array_equal(first.test_articles.ids, second.test_articles.ids)
        and _same_truth(first.test_articles, second.test_articles)
    )


def _same_truth(first: TestArticles | LabelSetArticles, second: TestArticles | LabelSetArticles) -> bool:
    if isinstance(first, LabelSetArticles) and isinstance(second, LabelSetArticles):
        names = common_categories(first.categories, second.categories)
        return np.array_equal(first.over(names).truth, second.over(names).truth)
    return np.array_equal(first.truth, second.truth)


def _check_same(candidate: EvaluationResults, champion: EvaluationResults) -> None:
    if not same_articles(candidate, champion):
        raise NotComparableError(
            f"{candidate.model} and {champion.model}: the test articles or their annotations changed between the two "
            "evaluations; run the command again when no annotations arrive"
        )
