"""List ingest runs, and take back what one of them brought.

An article that the run inserted is deleted. A category that it brought for another run's article is deleted. A text
that it changed stays, because the former text is not kept: that would double the size of a database whose sources
change often. Splits stay, so that an article that is ingested again gets the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from classifier.exceptions import UndoError
from classifier.pipeline.erasure.article_copies import no_copies
from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.store import erasures, ingest_runs, labelling_queue, near_duplicate_clusters, roles, task_rows, undo
from classifier.workspace import Workspace

MAX_LISTED = 20
"""Articles with changed texts that are listed."""

_REASONS: Mapping[str, tuple[str, str, str]] = {
    "annotations_by_people": ("people have added {} to its articles; retract these first", "annotation", "annotations"),
    "changed_by_later_runs": (
        "later runs have changed the texts of {} that it brought; undo these runs first",
        "article",
        "articles",
    ),
    "annotated_by_later_runs": (
        "later runs have brought {} for its articles; undo these runs first",
        "category",
        "categories",
    ),
}
"""Why a run cannot be undone, with the noun of the count, by the name of the count."""


@dataclass(frozen=True, slots=True)
class IngestRunSummary:
    """An ingest run with its counts; `state` is running, succeeded, failed or undone."""

    id: int
    source: str
    kind: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    files: int
    read: int
    new: int
    changed: int
    unchanged: int
    rejected: int
    duplicates: int
    erased: int
    other_split: int
    error: str | None


@dataclass(frozen=True, slots=True)
class ChangedArticle:
    """An article whose text the run changed: it keeps the run's text."""

    source: str
    external_id: str


@dataclass(frozen=True, slots=True)
class UndoneRun:
    """What was taken back or, if `done` is false, what would be: articles, categories of other articles, rejected rows.

    `enqueued` articles wait for a label again. The texts of `changed_kept` articles stay; the first are in `changed`.
    """

    run: int
    articles: int
    categories: int
    rejected_rows: int
    enqueued: int
    changed_kept: int
    changed: tuple[ChangedArticle, ...]
    done: bool = False


@use_case
def list_runs(workspace: Workspace, *, source: str | None = None, limit: int = 20) -> list[IngestRunSummary]:
    """Return the last ingest runs, newest first."""
    with workspace.database.connect() as connection:
        rows = ingest_runs.newest(connection, source=source and ingest_runs.run_name(source), limit=limit)
    return [_summarize(row) for row in rows]


def _summarize(row: Row[*tuple[Any, ...]]) -> IngestRunSummary:
    names = {field.name for field in fields(IngestRunSummary)} - {"state"}
    state = "undone" if row.undone_at else row.status
    return IngestRunSummary(state=state, **{name: getattr(row, name) for name in names})


@use_case
def undo_run(workspace: Workspace, run_id: int, *, yes: bool = False) -> UndoneRun:
    """Take back what a run brought, in one transaction; without `yes`, only return what would be taken back.

    Raises:
        UndoError: there is no such run, it has not ended, it was undone, or something newer builds on it.
        DatabaseRightsError: the role does not own the tables.
    """
    if not yes:
        with workspace.database.begin() as connection:
            _check_run(connection, run_id)
            ids = undo.articles_of(connection, run_id)
            _refuse_newer(connection, run_id, ids)
            return _describe(connection, run_id, ids)
    with no_copies(workspace), workspace.database.begin() as connection:
        roles.require_owner(connection)
        near_duplicate_clusters.wait_for_other_ingests(connection, f"undo of run {run_id}")
        _check_run(connection, run_id)
        ids = undo.articles_of(connection, run_id)
        labelling_queue.lock(connection)
        for batch in undo.batches(ids):
            erasures.leave_queue(connection, batch)
        undo.lock_articles(connection, ids)
        _refuse_newer(connection, run_id, ids)
        return _take_back(connection, run_id, ids)


def _check_run(connection: Connection, run_id: int) -> None:
    run = undo.find_run(connection, run_id)
    if run is None:
        raise UndoError(f"run {run_id}: unknown; see: classifier runs")
    if run.undone_at is not None:
        raise UndoError(f"run {run_id}: was undone already, at {run.undone_at:%Y-%m-%d %H:%M} UTC")
    if run.status == "running":
        raise UndoError(f"run {run_id}: has not ended; wait for its end, or stop it and ingest its source again")


def _refuse_newer(connection: Connection, run_id: int, ids: list[int]) -> None:
    """Raise an error if something was built on the run's articles since."""
    newer = undo.count_newer(connection, run_id, ids)
    reasons = [
        reason.format(plural(newer[name], *nouns)) for name, (reason, *nouns) in _REASONS.items() if newer.get(name)
    ]
    if reasons:
        raise UndoError(f"run {run_id}: {'; '.join(reasons)}; nothing was undone")


def _describe(connection: Connection, run_id: int, ids: list[int]) -> UndoneRun:
    changed = undo.changed_by(connection, run_id)
    return UndoneRun(
        run=run_id,
        articles=len(ids),
        categories=len(undo.annotations_of(connection, run_id)),
        rejected_rows=undo.count_rejected(connection, run_id),
        enqueued=0,
        changed_kept=len(changed),
        changed=tuple(ChangedArticle(row.source, row.external_id) for row in changed[:MAX_LISTED]),
    )


def _take_back(connection: Connection, run_id: int, ids: list[int]) -> UndoneRun:
    described = _describe(connection, run_id, ids)
    annotations = undo.annotations_of(connection, run_id)
    for batch in undo.batches(ids):
        erasures.drop_mistakes(connection, batch)
        erasures.delete_articles(connection, batch, [])
    undo.delete_annotations(connection, [row.id for row in annotations])
    undo.delete_rejected(connection, run_id)
    task_rows.delete_unused_categories(connection)
    enqueued = undo.enqueue_unannotated(connection, sorted({(row.article_id, row.task_id) for row in annotations}))
    undo.mark_undone(connection, run_id)
    values = {field.name: getattr(described, field.name) for field in fields(UndoneRun)}
    return UndoneRun(**{**values, "enqueued": enqueued, "done": True})
