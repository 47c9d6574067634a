"""Models with stored predictions on synthetic test articles, for the gate, without a network."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from classifier.articles import Model
from classifier.model import artefact
from classifier.pipeline.promotion import evaluation_results
from classifier.store import annotated_articles, evaluations, model_rows
from classifier.training import data_snapshot
from tests.support.synthetic import add_articles, annotate
from tests.support.tiny_models import make_artefact

CATEGORIES = ("a", "b")


def add_test_articles(workspace, count: int) -> None:
    """Add annotated articles to the test split, alternately of the categories a and b."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"t{n}", f"test article {n}", "test") for n in range(count)])
        for number, id_ in enumerate(ids):
            annotate(connection, id_, CATEGORIES[number % 2])


def add_evaluated(workspace, name: str, *, wrong: Iterable[int] = (), confidence: float = 0.95) -> Model:
    """Register a model that predicts all test articles correctly except `wrong`, as does the baseline."""
    directory = workspace.models / "shared"
    files = artefact.read_artefact(directory) if directory.exists() else make_artefact(directory, CATEGORIES)
    with workspace.database.begin() as connection:
        model_id = model_rows.register(
            connection,
            name=name,
            artefact=str(directory),
            manifest_sha256=files.manifest_sha256,
            categories=CATEGORIES,
            training={},
        )
        test = annotated_articles.load_split(connection, "test")
        truth = np.array([CATEGORIES.index(article.category) for article in test])
        predicted = truth.copy()
        predicted[list(wrong)] = 1 - predicted[list(wrong)]
        probabilities = np.full((len(test), 2), 1 - confidence, dtype=np.float32)
        probabilities[np.arange(len(test)), predicted] = confidence
        score = float((predicted == truth).mean())
        values = {"articles": len(test), "accuracy": score, "macro_f1": score, "metrics": {"engine": "synthetic"}}
        key = evaluations.add(connection, model_id, "test", {**values, "data_sha256": data_snapshot.sha256(test)})
        facts = evaluations.articles_by_id(connection, [article.id for article in test])
        baseline = [(CATEGORIES[index],) for index in predicted]
        evaluation_results.save_results(connection, key, test, facts, baseline, probabilities, [None] * len(test))
        model = model_rows.by_name(connection, name)
    assert model is not None
    return model
