"""Fill the review queue with the most useful articles, and measure the champion on randomly drawn ones."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model, Split
from classifier.evaluation.metrics import share_interval
from classifier.evaluation.test_articles import number_clusters
from classifier.model import decisions
from classifier.pipeline.review import overlap
from classifier.pipeline.use_case import use_case
from classifier.review import selection
from classifier.review.selection import Reason, ReviewPool
from classifier.settings import Settings
from classifier.store import annotation_checks, label_statistics, model_rows, reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

DEFAULT_NUMBER, DEFAULT_AUDIT = 100, 20
"""Articles that the queue holds: those chosen by the model, and those drawn at random."""

MAX_CANDIDATES = 20_000
"""Predicted articles that are read. Of a larger database, about this many are read, in randomly drawn blocks."""


_NOT_CHOSEN = selection.CHECK_REASONS | {"audit"}
"""Reasons that do not count towards the articles that the champion chooses."""


@dataclass(frozen=True, slots=True)
class FilledQueue:
    """The articles that were added to the queue, by reason, and the number that wait now."""

    model: str
    candidates: int
    added: dict[str, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A model's accuracy, estimated from randomly drawn labels.

    Of the `drawn` labels, `reviewed` have an annotation without a conflict, and `correct` of these agree with it.
    `accuracy` is None if none was reviewed. The interval is Wilson's 95 % interval. Of a multi-label model, an article
    is correct if all of its labels are, and `micro_f1` is that of all labels; of a single-label model it is None.
    """

    model: str
    drawn: int
    reviewed: int
    correct: int
    accuracy: float | None
    interval: tuple[float, float]
    micro_f1: float | None = None


@dataclass(frozen=True, slots=True)
class CheckedAnnotations:
    """Of `queued` annotations of a split, people have checked `checked`, and `corrected` of these were wrong.

    The reason is `doubtful`, or `control` for those drawn at random. Queues of former champions are counted, too.
    """

    split: Split
    reason: str
    queued: int
    checked: int
    corrected: int


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """The articles that wait, by reason and in total, the conflicts, and the champion's audit.

    `second_opinions` are articles that a person has annotated and that wait for further people.
    """

    waiting: dict[str, int]
    conflicts: int
    audit: AuditResult | None
    articles: int = 0
    second_opinions: int = 0
    checks: tuple[CheckedAnnotations, ...] = ()


@use_case
def fill_queue(workspace: Workspace, *, number: int = DEFAULT_NUMBER, audit: int = DEFAULT_AUDIT) -> FilledQueue:
    """Fill the queue up to `number` articles chosen by the champion and `audit` randomly drawn ones.

    Articles whose text became another one after people annotated it come first, then those whose category was split;
    both count towards `number`. The champion chooses from the train split only. The other articles may be of any split,
    because no model favours them. The questions of former champions are dropped.

    Raises:
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.begin() as connection:
        reviews.lock(connection)
        champion = registry.champion(connection)
        waiting = reviews.waiting_reviews(connection, champion.id)
        audits = sum("audit" in row.reasons for row in waiting)
        chosen = sum(not _NOT_CHOSEN.issuperset(row.reasons) for row in waiting)
        again = _ask_again(connection, champion, number - chosen)
        rows = reviews.candidate_pool(
            connection, champion.id, share=label_statistics.sample_share(connection, MAX_CANDIDATES)
        )
        number -= chosen + sum(again.values())
        picked = [*_draw(len(rows), audit - audits), *_choose(connection, champion, rows, number)]
        added = again | _enqueue(connection, champion, rows, picked)
        count = len(reviews.waiting_reviews(connection, champion.id))
    log.info("review queue filled: %d of %d candidates chosen, %d wait", len(picked), len(rows), count)
    return FilledQueue(champion.name, len(rows), added, count)


@use_case
def audit_model(workspace: Workspace, name: str | None = None, *, since: datetime | None = None) -> AuditResult:
    """Return a model's accuracy (by default, the champion's) on the labels that were drawn since a time.

    Raises:
        ModelNotFoundError: there is no such model.
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name) if name else registry.champion(connection)
        return _load_audit(connection, model, since)


@use_case
def read_status(workspace: Workspace) -> ReviewStatus:
    """Return what waits for review, and the outcome of the audit."""
    with workspace.database.connect() as connection:
        return load_status(connection, workspace.settings)


def load_status(connection: Connection, settings: Settings) -> ReviewStatus:
    """Return what `read_status` returns. An article that waits for two reasons counts for each."""
    champion = model_rows.champion(connection)
    rows = reviews.waiting_reviews(connection, champion.id) if champion else []
    waiting = Counter(reason for row in rows for reason in row.reasons)
    audit = _load_audit(connection, champion, None) if champion else None
    second = len(overlap.load_second_opinions(connection, settings)) if champion else 0
    checks = tuple(CheckedAnnotations(*row) for row in annotation_checks.checked_annotations(connection))
    by_reason, conflicts = dict(sorted(waiting.items())), reviews.count_conflicts(connection)
    return ReviewStatus(by_reason, conflicts, audit, len(rows), second, checks)


def _load_audit(connection: Connection, model: Model, since: datetime | None) -> AuditResult:
    rows = reviews.audited_predictions(connection, model.id, since)
    pairs = [({*row.annotated}, {*row.predicted_categories}) for row in rows if row.annotated is not None]
    reviewed, correct = len(pairs), sum(annotated == predicted for annotated, predicted in pairs)
    return AuditResult(
        model.name,
        len(rows),
        reviewed,
        correct,
        correct / reviewed if reviewed else None,
        share_interval(correct, reviewed),
        _micro_f1(pairs) if model.kind == "multi" else None,
    )


def _micro_f1(pairs: Sequence[tuple[set[str], set[str]]]) -> float | None:
    """Return the F1 of all labels of these articles, or None if they have none."""
    common = sum(len(annotated & predicted) for annotated, predicted in pairs)
    labels = sum(len(annotated) + len(predicted) for annotated, predicted in pairs)
    return 2 * common / labels if labels else None


def _ask_again(connection: Connection, model: Model, number: int) -> dict[str, int]:
    """Enqueue articles whose annotation no longer holds, up to a number; return how many are new, by reason."""
    added: dict[str, int] = {}
    find: tuple[tuple[Reason, Callable[..., reviews.ReviewRows]], ...] = (
        ("rewritten", reviews.rewritten_articles),
        ("split", reviews.articles_before_split),
    )
    for reason, rows_of in find:
        rows = rows_of(connection, model.id, max(number - sum(added.values()), 0))
        added |= _enqueue(connection, model, rows, [(index, reason) for index in range(len(rows))])
    return added


_PickedRow = tuple[int, Reason]
"""The index of a row, and why it was picked."""


def _draw(size: int, number: int) -> list[_PickedRow]:
    """Draw rows at random, annotated ones too: without those that the model chose, the sample would be biased."""
    if number <= 0:
        return []
    rows = np.random.default_rng().choice(size, size=min(number, size), replace=False)
    return [(int(row), "audit") for row in rows]


def _choose(connection: Connection, model: Model, rows: reviews.ReviewRows, number: int) -> list[_PickedRow]:
    """Return the rows that the champion chooses, with their reasons."""
    choosable = [index for index, row in enumerate(rows) if row.choosable]
    if number <= 0 or not choosable:
        return []
    pool = _make_pool(model, [rows[index] for index in choosable])
    data = model_rows.training(connection, model.id).get("data", {})
    annotated = _count_annotated(model, data.get("by_category", {}))
    shortlist = [choosable[row] for row in selection.shortlist(pool, number, annotated)]
    texts = reviews.candidate_texts(connection, model.id, [rows[index].id for index in shortlist])
    candidates = [index for index in shortlist if rows[index].id in texts]
    if not candidates:
        return []
    pool = _make_pool(model, [rows[index] for index in candidates])
    choices = selection.choose_articles(pool, [texts[rows[index].id] for index in candidates], number, annotated)
    return [(candidates[choice.row], choice.reason) for choice in choices]


def _make_pool(model: Model, rows: reviews.ReviewRows) -> ReviewPool:
    ids = np.array([row.id for row in rows], dtype=np.int64)
    probabilities = np.array([row.probabilities for row in rows], dtype=np.float32)
    clusters = number_clusters(ids, [row.cluster_id for row in rows])
    names = model.present_categories
    merged = decisions.merge_probabilities(probabilities, names, model.kind)
    thresholds = decisions.present_thresholds(model) if model.thresholds else decisions.thresholds_of(model)
    return ReviewPool(tuple(dict.fromkeys(names)), merged, clusters, thresholds)


def _count_annotated(model: Model, by_category: Mapping[str, int]) -> Counter[str]:
    """Return the number of annotated articles of each category of today; a training recorded them by former names."""
    present = dict(zip(model.categories, model.present_categories, strict=True))
    counts = Counter[str]()
    for name, number in by_category.items():
        counts[present.get(name, name)] += number
    return counts


def _enqueue(
    connection: Connection, model: Model, rows: reviews.ReviewRows, picked: Sequence[_PickedRow]
) -> dict[str, int]:
    """Insert the picked rows into the queue, and return how many are new, by reason."""
    added: dict[str, int] = {}
    for reason in sorted({reason for _, reason in picked}):
        chosen = [rows[index] for index, why in picked if why == reason]
        columns = {
            "ids": [row.id for row in chosen],
            "revisions": [row.revision for row in chosen],
            "reasons": [reason] * len(chosen),
            "positions": [row.category_indices for row in chosen],
            "confidences": [row.confidence for row in chosen],
        }
        added[reason] = reviews.enqueue(connection, model.id, columns)
    return added
