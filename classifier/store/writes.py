"""Functions that change the database. They take a connection and never commit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection, func, insert, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.articles import Prediction, QueuedArticle
from classifier.store import copying, tables
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
    """Create the temporary tables that one ingest fills; they go with its transaction."""
    connection.execute(query("stage_articles"))


def copy_articles(connection: Connection, rows: pd.DataFrame) -> None:
    """COPY validated rows, with their `own_split`, into the staging table."""
    copying.copy(connection, "copy_articles", copying.frame_csv(rows, _STAGED_COLUMNS))


def merge_articles(connection: Connection) -> Merged:
    """Upsert what is staged, with annotations and the queue; its texts have their splits already."""
    changed = connection.execute(query("merge_staged_articles")).rowcount
    annotations = connection.execute(query("annotate_staged_articles")).rowcount
    lock_queue(connection)
    connection.execute(query("dequeue_annotated"))
    enqueued = connection.execute(query("enqueue_staged_articles")).rowcount
    articles, new = connection.execute(query("count_staged")).one()
    return Merged(articles=articles, new=new, changed=changed - new, annotations=annotations, enqueued=enqueued)


def lock_queue(connection: Connection) -> None:
    """Let one transaction at a time add to the queue; labellers go on.

    An ingest and a champion's backlog touch the same rows in different orders: they would deadlock.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_QUEUE_LOCK)))


def claim_page(connection: Connection, size: int) -> list[QueuedArticle]:
    """Take up to `size` articles off the queue, for as long as this transaction lives."""
    ids = list(connection.scalars(query("claim_page"), {"size": size}))
    rows = connection.execute(query("claimed_articles"), {"ids": ids})
    return [QueuedArticle(id=row.id, revision=row.revision, text=row.text) for row in rows]


def enqueue_backlog(connection: Connection, model_id: int, *, after: int, size: int) -> int | None:
    """Enqueue what the model lacks among the next `size` articles; return the last id looked at."""
    last: int | None = connection.execute(
        query("enqueue_backlog"), {"model_id": model_id, "after": after, "size": size}
    ).scalar_one()
    return last


def set_backfilled_to(connection: Connection, model_id: int, article_id: int | None) -> None:
    """Remember how far the champion's backlog has been enqueued; None means all of it."""
    connection.execute(update(tables.models).where(tables.models.c.id == model_id).values(backfilled_to=article_id))


def write_predictions(connection: Connection, model_id: int, predictions: Iterable[Prediction]) -> None:
    """COPY a page of predictions and merge it; a model's earlier one for the same article is replaced."""
    connection.execute(query("stage_predictions"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for one in predictions:
        probabilities = "{" + ",".join(map(repr, one.probabilities)) + "}"
        writer.writerow((one.article_id, one.revision, one.category, repr(one.confidence), probabilities))
    copying.copy(connection, "copy_predictions", io.BytesIO(text.getvalue().encode()))
    connection.execute(query("merge_staged_predictions"), {"model_id": model_id})


def bury(connection: Connection, model_id: int, article: QueuedArticle, reason: str) -> None:
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
) -> int:
    """Insert a candidate and return its id."""
    values = {
        "name": name,
        "artefact": artefact,
        "manifest_sha256": manifest_sha256,
        "categories": list(categories),
        "training": dict(training),
    }
    return int(connection.execute(insert(tables.models).values(values).returning(tables.models.c.id)).scalar_one())


def add_evaluation(connection: Connection, model_id: int, split: str, values: Mapping[str, Any]) -> int:
    """Insert an evaluation's figures and return its id."""
    statement = insert(tables.evaluations).values(model_id=model_id, split=split, **values)
    return int(connection.execute(statement.returning(tables.evaluations.c.id)).scalar_one())


def lock_champion(connection: Connection) -> None:
    """Let one transaction at a time decide who is champion; readers and labellers go on."""
    connection.execute(select(func.pg_advisory_xact_lock(_CHAMPION_LOCK)))


def make_champion(connection: Connection, model_id: int) -> None:
    """Retire the present champion, if any, and put the model in its place."""
    models = tables.models
    connection.execute(update(models).where(models.c.status == "champion").values(status="retired"))
    connection.execute(
        update(models).where(models.c.id == model_id).values(status="champion", promoted_at=func.now(), backfilled_to=0)
    )


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


_CHAMPION_LOCK, _QUEUE_LOCK = 7_303_014_202_612, 7_303_014_202_613  # beside the migrations' lock
