"""What models answered on the test articles: kept with each evaluation, and read again to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.evaluation.rules import Contest, Speed
from classifier.evaluation.sample import Answers, Sample, Strings, clusters
from classifier.exceptions import NotEvaluatedError
from classifier.store import evaluations, reads


@dataclass(frozen=True, slots=True)
class Answered:
    """One evaluation: the articles, the model's answers and the baseline's."""

    model: str
    evaluation: Row[*tuple[Any, ...]]
    sample: Sample
    answers: Answers
    baseline: Strings

    @property
    def speed(self) -> Speed | None:
        """How fast the engine was, where that was measured."""
        rate = self.evaluation.metrics.get("articles_per_second")
        return Speed(self.evaluation.metrics["engine"], len(self.sample), rate) if rate else None


def sample(test: Sequence[AnnotatedArticle], facts: Sequence[Row[*tuple[Any, ...]]]) -> Sample:
    """Make columns of test articles and what `evaluations.articles_by_id` says of them, both by id."""
    ids = np.array([article.id for article in test], dtype=np.int64)
    return Sample(
        ids=ids,
        truth=np.array([article.category for article in test]),
        clusters=clusters(ids, [row.cluster_id for row in facts]),
        sources=np.array([row.source for row in facts]),
        words=np.array([len(article.text.split()) for article in test], dtype=np.int64),
        months=np.array([row.month or "" for row in facts]),
    )


def keep(
    connection: Connection,
    evaluation_id: int,
    test: Sequence[AnnotatedArticle],
    facts: Sequence[Row[*tuple[Any, ...]]],
    baseline: Sequence[str],
    probabilities: Probabilities,
) -> None:
    """Store every article's answers with the evaluation, in its transaction."""
    columns: dict[str, Sequence[Any]] = {
        "ids": [article.id for article in test],
        "hashes": [article.text_hash for article in test],
        "words": [len(article.text.split()) for article in test],
        "clusters": [row.cluster_id for row in facts],
        "categories": [article.category for article in test],
        "baselines": list(baseline),
    }
    evaluations.add_predictions(connection, evaluation_id, columns, probabilities)


def newest(connection: Connection, model: Model) -> Answered:
    """Read a model's last evaluation on the test split.

    Raises:
        NotEvaluatedError: there is none, or it is of a version that did not keep the answers.
    """
    evaluation = reads.newest_evaluation(connection, model.id)
    rows = evaluations.articles(connection, evaluation.id) if evaluation is not None else []
    if evaluation is None or not rows:
        raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate --model {model.name}")
    ids = np.array([row.article_id for row in rows], dtype=np.int64)
    found = Sample(
        ids=ids,
        truth=np.array([row.category for row in rows]),
        clusters=clusters(ids, [row.cluster_id for row in rows]),
        sources=np.array([row.source for row in rows]),
        words=np.array([row.words for row in rows], dtype=np.int64),
        months=np.array([row.month for row in rows]),
    )
    probabilities = np.array([row.probabilities for row in rows], dtype=np.float64)
    baseline = np.array([row.baseline for row in rows])
    return Answered(model.name, evaluation, found, Answers(model.categories, probabilities), baseline)


def contest(candidate: Answered, champion: Answered | None) -> Contest:
    """Put two evaluations of the same data beside each other."""
    return Contest(
        candidate.sample,
        candidate.answers,
        champion.answers if champion else None,
        candidate.baseline,
        candidate.speed,
        champion.speed if champion else None,
    )
