"""What models answered on the test articles: kept with each evaluation, and read again to compare.

Two models' answers are a pair where the article, its text and its annotation are the same. Two evaluations of which
one article differs are not compared at all: which articles differ is not left to chance. An article that people
disagree on, for instance, goes from the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.evaluation.gate_rules import Comparison
from classifier.evaluation.test_articles import Predictions, Strings, TestArticles, clusters
from classifier.exceptions import NotComparableError, NotEvaluatedError, TrainingDataError
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.store import evaluations, reads
from classifier.training import spooled_articles


@dataclass(frozen=True, slots=True)
class EvaluationResults:
    """One evaluation: the articles, the model's answers and the baseline's."""

    model: str
    evaluation: Row[*tuple[Any, ...]]
    sample: TestArticles
    answers: Predictions
    baseline: Strings
    text_hashes: tuple[bytes, ...]

    @property
    def gflops(self) -> float | None:
        """What is computed for an article on average; None of a version that did not count it."""
        found: float | None = self.evaluation.metrics.get("gflops_per_article")
        return found

    @property
    def articles(self) -> dict[int, bytes]:
        """The articles' ids with the hashes of their texts."""
        return dict(zip(self.sample.ids.tolist(), self.text_hashes, strict=True))


def sample(test: Sequence[AnnotatedArticle], facts: Sequence[Row[*tuple[Any, ...]]]) -> TestArticles:
    """Make columns of test articles and what `evaluations.articles_by_id` says of them, both by id."""
    ids = np.array([article_id for article_id, _, _ in spooled_articles.facts(test)], dtype=np.int64)
    return TestArticles(
        ids=ids,
        truth=np.array(spooled_articles.categories_of(test)),
        clusters=clusters(ids, [row.cluster_id for row in facts]),
        sources=np.array([row.source for row in facts]),
        words=np.array([len(article.text.split()) for article in test], dtype=np.int64),
        months=np.array([row.month or "" for row in facts]),
    )


def save_results(
    connection: Connection,
    evaluation_id: int,
    test: Sequence[AnnotatedArticle],
    facts: Sequence[Row[*tuple[Any, ...]]],
    baseline: Sequence[str],
    probabilities: Probabilities,
    gflops: Sequence[float | None],
) -> None:
    """Store every article's answers with the evaluation, in its transaction, and what was computed for each."""
    columns: dict[str, Sequence[Any]] = {
        "ids": [article_id for article_id, _, _ in spooled_articles.facts(test)],
        "hashes": [text_hash for _, text_hash, _ in spooled_articles.facts(test)],
        "words": [len(article.text.split()) for article in test],
        "clusters": [row.cluster_id for row in facts],
        "categories": list(spooled_articles.categories_of(test)),
        "baselines": list(baseline),
        "gflops": gflops,
    }
    evaluations.add_predictions(connection, evaluation_id, columns, probabilities)


def newest_results(connection: Connection, model: Model) -> EvaluationResults:
    """Read a model's last evaluation on the test split.

    Raises:
        NotEvaluatedError: there is none, or it is of a version that did not keep the answers.
    """
    evaluation = reads.newest_evaluation(connection, model.id)
    rows = evaluations.articles(connection, evaluation.id) if evaluation is not None else []
    if evaluation is None or not rows:
        raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate {model.name}")
    ids = np.array([row.article_id for row in rows], dtype=np.int64)
    found = TestArticles(
        ids=ids,
        truth=np.array([row.category for row in rows]),
        clusters=clusters(ids, [row.cluster_id for row in rows]),
        sources=np.array([row.source for row in rows]),
        words=np.array([row.words for row in rows], dtype=np.int64),
        months=np.array([row.month for row in rows]),
    )
    probabilities = evaluations.probabilities(connection, evaluation.id, len(model.categories))
    return EvaluationResults(
        model.name,
        evaluation,
        found,
        Predictions(model.categories, probabilities),
        np.array([row.baseline for row in rows]),
        tuple(bytes(row.text_hash) for row in rows),
    )


def compare_models(
    candidate: EvaluationResults, champion: EvaluationResults | None, exposure: TrainingExposure
) -> Comparison:
    """Put two evaluations of the same articles beside each other, but for those that a model was trained on.

    Raises:
        NotComparableError: they are not of the same articles, texts and annotations.
        TrainingDataError: no article is left.
    """
    if champion is not None:
        _check_same(candidate, champion)
    rows = np.array([one not in exposure.articles for one in candidate.sample.ids.tolist()], dtype=bool)
    if not rows.any():
        raise TrainingDataError(
            f"{candidate.model}: each of the {len(rows)} test articles, or a near-duplicate of it, was trained on; "
            "annotate other articles of the test split"
        )
    return Comparison(
        candidate.sample.of(rows),
        candidate.answers.of(rows),
        champion.answers.of(rows) if champion else None,
        candidate.baseline[rows],
        candidate.gflops,
        champion.gflops if champion else None,
        int((~rows).sum()),
        exposure.unknown,
    )


def same_articles(first: EvaluationResults, second: EvaluationResults) -> bool:
    """Return whether two evaluations are of the same articles, with the same texts and annotations."""
    return (
        first.text_hashes == second.text_hashes
        and np.array_equal(first.sample.ids, second.sample.ids)
        and np.array_equal(first.sample.truth, second.sample.truth)
    )


def _check_same(candidate: EvaluationResults, champion: EvaluationResults) -> None:
    if not same_articles(candidate, champion):
        raise NotComparableError(
            f"{candidate.model} and {champion.model}: the test articles or their annotations changed between the two "
            "evaluations; run it again when no annotations are coming in"
        )
