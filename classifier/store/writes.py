"""Functions that change the database. They take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, cast, func, insert, null, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.articles import Model, Probabilities, QueuedArticle
from classifier.store import copy, labelling_queue, locks, staging, tables
from classifier.store.queries import query

_STAGED_COLUMNS = (
    "source",
    "external_id",
    "text",
    "text_hash",
    "fingerprint",
    "category",
    "own_split",
    "published_at",
)
"""In the order of the statement copy_articles."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What the staged articles changed: `articles` distinct ones came, `new` and `changed` of them."""

    articles: int
    new: int
    changed: int
    annotations: int
    enqueued: int


def stage_articles(connection: Connection) -> None:
    """Create the temporary tables that one ingest fills; they go with its transaction.

    The server does not end the transaction because it idles while a source is slow: how long a source may be silent
    is limited by its own time-out.
    """
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))
    connection.execute(query("stage_articles"))


def copy_articles(connection: Connection, rows: pd.DataFrame) -> None:
    """COPY validated rows, with their `own_split`, into the staging table."""
    copy.copy(connection, "copy_articles", copy.frame_csv(rows, _STAGED_COLUMNS))


def merge_articles(connection: Connection) -> Merged:
    """Upsert what is staged, with annotations and the queue; its texts have their splits already.

    Where a text becomes another one, annotations stay in force only if `small_changes.add` noted the change before.
    """
    staged = sum(step["last"] - step["first"] + 1 for step in staging.steps(connection, "staged_articles"))
    superseded = staging.execute_in_steps(connection, "staged_articles", query("mark_superseded"))
    changed = staging.execute_in_steps(connection, "staged_articles", query("merge_staged_articles"))
    annotations = staging.execute_in_steps(connection, "staged_articles", query("annotate_staged_articles"))
    labelling_queue.lock(connection)
    staging.execute_in_steps(connection, "staged_articles", query("dequeue_annotated"))
    enqueued = staging.execute_in_steps(connection, "staged_changes", query("enqueue_staged_articles"))
    steps = staging.steps(connection, "staged_changes")
    new: int = sum(connection.execute(query("count_new"), step).scalar_one() for step in steps)
    return Merged(staged - superseded, new, changed - new, annotations, enqueued)


def write_predictions(
    connection: Connection, model: Model, articles: Sequence[QueuedArticle], probabilities: Probabilities
) -> None:
    """COPY a page's predictions, in place of the model's former ones; `probabilities` has a row an article."""
    ids = np.fromiter((article.id for article in articles), np.int64, count=len(articles))
    revisions = np.fromiter((article.revision for article in articles), np.int32, count=len(articles))
    connection.execute(query("delete_previous"), {"model_id": model.id, "ids": ids.tolist()})
    data = copy.predictions_binary(model.id, model.categories, ids, revisions, probabilities)
    copy.copy(connection, "copy_predictions", data)


def add_dead_letter(connection: Connection, model_id: int, article: QueuedArticle, reason: str) -> None:
    """Put an article that the model cannot label among the dead letters, with the reason."""
    values = {"article_id": article.id, "model_id": model_id, "revision": article.revision, "reason": reason}
    connection.execute(
        upsert(tables.dead_letters)
        .values(values)
        .on_conflict_do_update(
            index_elements=["article_id", "model_id"],
            set_={"revision": article.revision, "reason": reason, "failed_at": func.now()},
        )
    )


def register_model(
    connection: Connection,
    *,
    name: str,
    artefact: str,
    manifest_sha256: str,
    categories: Sequence[str],
    training: Mapping[str, Any],
    temperature: float = 1.0,
    threshold: float | None = None,
    confidence: Mapping[str, Any] | None = None,
) -> int:
    """Insert a candidate and return its id; `confidence` is what the two before it were chosen on."""
    values = {
        "name": name,
        "artefact": artefact,
        "manifest_sha256": manifest_sha256,
        "categories": list(categories),
        "training": dict(training),
        "temperature": temperature,
        "threshold": threshold,
        "confidence": null() if confidence is None else dict(confidence),
    }
    return int(connection.execute(insert(tables.models).values(values).returning(tables.models.c.id)).scalar_one())


def add_evaluation(connection: Connection, model_id: int, split: str, values: Mapping[str, Any]) -> int:
    """Insert an evaluation's figures and return its id."""
    statement = insert(tables.evaluations).values(model_id=model_id, split=split, **values)
    return int(connection.execute(statement.returning(tables.evaluations.c.id)).scalar_one())


def lock_champion(connection: Connection) -> None:
    """Let one transaction at a time decide who is champion; readers and labellers go on."""
    connection.execute(select(func.pg_advisory_xact_lock(locks.CHAMPION)))


def make_champion(connection: Connection, model_id: int) -> None:
    """Retire the present champion, if any, and put the model in its place."""
    models = tables.models
    connection.execute(update(models).where(models.c.status == "champion").values(status="retired"))
    connection.execute(
        update(models).where(models.c.id == model_id).values(status="champion", promoted_at=func.now(), backfilled_to=0)
    )


def set_threshold(connection: Connection, model_id: int, threshold: float, chosen: Mapping[str, Any]) -> None:
    """Let a model abstain below a confidence; `chosen` is what the threshold was chosen on."""
    models = tables.models
    # JSONB concatenation: the temperature's part stays
    confidence = func.coalesce(models.c.confidence, cast({}, JSONB)).concat(cast({"threshold": dict(chosen)}, JSONB))
    connection.execute(update(models).where(models.c.id == model_id).values(threshold=threshold, confidence=confidence))


def set_status(connection: Connection, model_id: int, status: str) -> None:
    """Give a model its status."""
    connection.execute(update(tables.models).where(tables.models.c.id == model_id).values(status=status))


def record_promotion(
    connection: Connection,
    model_id: int,
    *,
    previous_id: int | None,
    verdict: str,
    reason: str,
    decided_by: str,
    statistics: Mapping[str, Any] | None = None,
) -> None:
    """Keep who decided what about a model, when and why; `statistics` are what the gate found."""
    values = {
        "model_id": model_id,
        "previous_id": previous_id,
        "verdict": verdict,
        "reason": reason,
        "decided_by": decided_by,
        "statistics": null() if statistics is None else dict(statistics),
    }
    connection.execute(insert(tables.promotions).values(values))
