"""Multi-label tasks without a network: a task with a champion, and predictions written without a worker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifier.articles import Model, QueuedArticle
from classifier.model.decisions import decide
from classifier.pipeline.database import tasks
from classifier.store import model_rows, prediction_rows
from classifier.workspace import Workspace

CATEGORIES = ("gold", "grain", "ship")


def add_task(workspace: Workspace, name: str = "topics", **options: object) -> Workspace:
    """Add a multi-label task, and return a workspace for it."""
    tasks.add(workspace, name, kind="multi", **options)
    return workspace.with_task(name)


def add_champion(
    workspace: Workspace,
    ids: Sequence[int],
    probabilities: Sequence[Sequence[float]] | None = None,
    *,
    name: str = "t1",
    categories: Sequence[str] = CATEGORIES,
    **options: object,
) -> Model:
    """Register a champion of the workspace's task, with predictions of the articles; by default, random ones.

    The options are those of `model_rows.register`, such as `thresholds`.
    """
    with workspace.database.begin() as connection:
        values = {"artefact": "/none", "manifest_sha256": "0", "training": {}}
        model_id = model_rows.register(connection, name=name, categories=categories, **values | options)
        model_rows.make_champion(connection, model_id)
        model = model_rows.by_id(connection, model_id)
        assert model is not None
        if probabilities is None:
            probabilities = np.random.default_rng(0).random((len(ids), len(categories)))
        rows = np.asarray(probabilities, np.float32).reshape(len(ids), len(categories))
        decided = decide(model, rows)
        articles = [QueuedArticle(article_id, 1, "") for article_id in ids]
        prediction_rows.write(connection, model.id, articles, rows, decided.labels, decided.confidence)
    return model
