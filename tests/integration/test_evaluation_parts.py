"""An evaluation's answers are written in parts, and read again as they were."""

from __future__ import annotations

import numpy as np

from classifier.store import evaluations
from tests.integration.made_up import add_articles, add_model


def test_probabilities_of_many_categories_are_written_some_articles_at_a_time(connection, monkeypatch):
    monkeypatch.setattr(evaluations, "_NUMBERS_AT_ONCE", 9)
    ids = add_articles(connection, [(f"{n}", f"text {n}", "test") for n in range(10)])
    model = add_model(connection, "m", macro_f1=0.5)
    (evaluation,) = connection.exec_driver_sql("SELECT id FROM evaluations WHERE model_id = %s", (model,)).scalars()
    probabilities = np.random.default_rng(0).random((10, 4)).astype(np.float32)
    columns = {
        "ids": ids,
        "hashes": [bytes([n]) for n in range(10)],
        "words": list(range(10)),
        "clusters": [None] * 10,
        "categories": ["a"] * 10,
        "baselines": ["b"] * 10,
    }
    statements = []
    run = type(connection).execute
    monkeypatch.setattr(type(connection), "execute", lambda *given: statements.append(given[2]) or run(*given))
    evaluations.add_predictions(connection, evaluation, columns, probabilities)
    assert [len(values["probabilities"]) for values in statements] == [8] * 5
    monkeypatch.undo()
    rows = evaluations.articles(connection, evaluation)
    assert [row.article_id for row in rows] == ids
    np.testing.assert_array_equal(np.array([row.probabilities for row in rows], dtype=np.float32), probabilities)
