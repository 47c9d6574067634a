"""Measure how far annotators agree, by their independent opinions."""

from __future__ import annotations

from datetime import UTC

from classifier.evaluation.annotator_agreement import Agreement, IndependentOpinion, measure_agreement
from classifier.pipeline.use_case import use_case
from classifier.store import independent_opinions, task_rows
from classifier.workspace import Workspace


@use_case
def read_agreement(workspace: Workspace) -> Agreement:
    """Return the agreement of people on the articles of the task that at least two of them annotated.

    Each person's first annotation of the present text counts, and only before a conflict on the article was resolved:
    a person who sees another one's annotation is no longer independent.
    """
    with workspace.database.connect() as connection:
        kind = task_rows.current(connection).kind
        rows = independent_opinions.independent_opinions(connection)
    opinions = [
        IndependentOpinion(
            row.article_id, row.annotator, tuple(row.categories), f"{row.annotated_at.astimezone(UTC):%Y-%m}"
        )
        for row in rows
    ]
    return measure_agreement(opinions, kind)
