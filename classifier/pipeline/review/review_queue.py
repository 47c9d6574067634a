"""Ask humans about the articles that teach most, and measure the champion on some drawn at random."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model
from classifier.evaluation.metrics import share_interval
from classifier.evaluation.test_articles import clusters
from classifier.pipeline.use_case import use_case
from classifier.review import selection
from classifier.review.selection import Reason, ReviewPool
from classifier.store import reads, reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

DEFAULT_NUMBER, DEFAULT_AUDIT = 100, 20
"""Articles that are to wait: chosen by the model, and drawn at random."""

MAX_CANDIDATES = 20_000
"""Articles of which the predictions are read; of a larger database about so many, in blocks drawn at random."""


@dataclass(frozen=True, slots=True)
class FilledQueue:
    """What was added to the queue by reason, and how many articles wait now."""

    model: str
    looked_at: int
    added: dict[str, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """How right a model's labels are, from those drawn at random.

    `seen` of the `drawn` ones have been annotated without a conflict, and the model had `correct` of them right.
    `accuracy` is None where none was seen; the interval is Wilson's, of 95 %.
    """

    model: str
    drawn: int
    seen: int
    correct: int
    accuracy: float | None
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Where the review stands: articles that wait by reason and altogether, conflicts, and the champion's audit."""

    waiting: dict[str, int]
    conflicts: int
    audit: AuditResult | None
    articles: int = 0


@use_case
def fill_queue(workspace: Workspace, *, number: int = DEFAULT_NUMBER, audit: int = DEFAULT_AUDIT) -> FilledQueue:
    """Fill the queue up to `number` articles that the champion chooses and `audit` ones drawn at random.

    Of the `number` first come those that people have annotated and whose text has become another one. The model
    chooses from the train split only; what is drawn at random or was rewritten may be of any, since no model favours
    it. What former champions asked for is asked no more.

    Raises:
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.begin() as connection:
        reviews.lock(connection)
        champion = registry.champion(connection)
        waiting = reviews.waiting(connection, champion.id)
        audits = sum("audit" in row.reasons for row in waiting)
        chosen = sum(row.reasons != ["audit"] for row in waiting)
        rewritten = _ask_again(connection, champion, number - chosen)
        rows = reviews.pool(connection, champion.id, share=reads.share_to_count(connection, MAX_CANDIDATES))
        number -= chosen + sum(rewritten.values())
        picked = [*_drawn(len(rows), audit - audits), *_chosen(connection, champion, rows, number)]
        added = rewritten | _enqueue(connection, champion, rows, picked)
        left = len(reviews.waiting(connection, champion.id))
    log.info("review queue filled: %d of %d looked at, %d wait", len(picked), len(rows), left)
    return FilledQueue(champion.name, len(rows), added, left)


@use_case
def audit_model(workspace: Workspace, name: str | None = None, *, since: datetime | None = None) -> AuditResult:
    """Say how many of a model's labels (the champion's by default), drawn since a time, turned out to be right.

    Raises:
        ModelNotFoundError: there is no such model.
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name) if name else registry.champion(connection)
        return _audited(connection, model, since)


@use_case
def read_status(workspace: Workspace) -> ReviewStatus:
    """Say what waits for review, and what came of it."""
    with workspace.database.connect() as connection:
        return load_status(connection)


def load_status(connection: Connection) -> ReviewStatus:
    """Read where the review stands. An article that waits for two reasons counts for each."""
    champion = reads.champion(connection)
    rows = reviews.waiting(connection, champion.id) if champion else []
    waiting = Counter(reason for row in rows for reason in row.reasons)
    audit = _audited(connection, champion, None) if champion else None
    return ReviewStatus(dict(sorted(waiting.items())), reviews.conflicts(connection), audit, len(rows))


def _audited(connection: Connection, model: Model, since: datetime | None) -> AuditResult:
    rows = reviews.audited(connection, model.id, since)
    seen = sum(row.annotated is not None for row in rows)
    correct = sum(row.annotated == row.category for row in rows)
    return AuditResult(
        model.name, len(rows), seen, correct, correct / seen if seen else None, share_interval(correct, seen)
    )


def _ask_again(connection: Connection, model: Model, number: int) -> dict[str, int]:
    """Ask about articles whose text is another one than people have annotated, and return how many are new."""
    rows = reviews.rewritten(connection, model.id, max(number, 0))
    picked: list[_Picked] = [(index, "rewritten") for index in range(len(rows))]
    return _enqueue(connection, model, rows, picked)


_Picked = tuple[int, Reason]
"""A row of the pool, and why it was taken."""


def _drawn(size: int, number: int) -> list[_Picked]:
    """Draw rows, annotated ones among them: what was chosen by the model and annotated since must not be missing."""
    if number <= 0:
        return []
    rows = np.random.default_rng().choice(size, size=min(number, size), replace=False)
    return [(int(row), "audit") for row in rows]


def _chosen(connection: Connection, model: Model, rows: reviews.Rows, number: int) -> list[_Picked]:
    choosable = [index for index, row in enumerate(rows) if row.choosable]
    if number <= 0 or not choosable:
        return []
    pool = _pool(model, [rows[index] for index in choosable])
    annotated: Mapping[str, int] = reads.training(connection, model.id).get("data", {}).get("by_category", {})
    short = [choosable[row] for row in selection.shortlist(pool, number, annotated)]
    texts = reviews.texts(connection, model.id, [rows[index].id for index in short])
    left = [index for index in short if rows[index].id in texts]
    if not left:
        return []
    pool = _pool(model, [rows[index] for index in left])
    found = selection.choose_articles(pool, [texts[rows[index].id] for index in left], number, annotated)
    return [(left[one.row], one.reason) for one in found]


def _pool(model: Model, rows: reviews.Rows) -> ReviewPool:
    ids = np.array([row.id for row in rows], dtype=np.int64)
    probabilities = np.array([row.probabilities for row in rows], dtype=np.float32)
    return ReviewPool(model.categories, probabilities, clusters(ids, [row.cluster_id for row in rows]))


def _enqueue(connection: Connection, model: Model, rows: reviews.Rows, picked: Sequence[_Picked]) -> dict[str, int]:
    """Write down what was picked, and return how many are new by reason."""
    found: dict[str, int] = {}
    for reason in sorted({reason for _, reason in picked}):
        taken = [rows[index] for index, why in picked if why == reason]
        columns = {
            "ids": [row.id for row in taken],
            "revisions": [row.revision for row in taken],
            "reasons": [reason] * len(taken),
            "categories": [row.category for row in taken],
            "confidences": [row.confidence for row in taken],
        }
        found[reason] = reviews.enqueue(connection, model.id, columns)
    return found
