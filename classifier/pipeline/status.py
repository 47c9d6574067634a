"""Say where everything stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from classifier.pipeline.use_case import use_case
from classifier.store import reads, trainings
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model with its last figures on the test split, where it has been evaluated."""

    name: str
    status: str
    created_at: datetime
    promoted_at: datetime | None
    accuracy: float | None
    macro_f1: float | None
    test_articles: int | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """An ingest: `new` rows were inserted, `repeated` ones were duplicates that a later row superseded."""

    source: str
    kind: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    files: int
    read: int
    new: int
    changed: int
    unchanged: int
    rejected: int
    repeated: int
    error: str | None


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """A training that has not ended. `silent_s`, the seconds since it was last heard of, tell whether it lives."""

    key: str
    attempts: int
    started_at: datetime
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    macro_f1: float | None
    seconds: float
    seconds_left: float | None
    silent_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of everything that waits, is done, or went wrong.

    `splits` has, a split, its articles and how many of them are annotated; `labels` counts articles by
    where their label comes from: annotation, prediction or none.
    """

    splits: dict[str, tuple[int, int]]
    labels: dict[str, int]
    waiting: int
    rejected_rows: int
    dead_letters: int
    champion: ModelStatus | None
    runs: list[RunStatus]
    trainings: list[TrainingStatus] = field(default_factory=list)


@use_case
def run(workspace: Workspace) -> Status:
    """Count."""
    with workspace.database.connect() as connection:
        champions = [model for model in _models(reads.models_with_scores(connection)) if model.status == "champion"]
        return Status(
            splits=reads.articles_by_split(connection),
            labels=reads.labels_by_origin(connection),
            waiting=reads.queue_length(connection),
            rejected_rows=reads.rejected_rows(connection),
            dead_letters=reads.dead_letters(connection),
            champion=champions[0] if champions else None,
            runs=_runs(reads.last_runs(connection)),
            trainings=_trainings(trainings.under_way(connection)),
        )


@use_case
def last_runs(workspace: Workspace, source: str, *, limit: int = 1) -> list[RunStatus]:
    """List a source's last ingests, newest first."""
    with workspace.database.connect() as connection:
        return _runs(reads.last_runs(connection, source=source, limit=limit))


@use_case
def models(workspace: Workspace) -> list[ModelStatus]:
    """List every model, newest first."""
    with workspace.database.connect() as connection:
        return _models(reads.models_with_scores(connection))


def _runs(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[RunStatus]:
    return [RunStatus(**{one.name: getattr(row, one.name) for one in fields(RunStatus)}) for row in rows]


def _trainings(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[TrainingStatus]:
    shown = {one.name for one in fields(TrainingStatus)} - {"key", "silent_s"}
    return [
        TrainingStatus(
            key=row.training_key[:12],
            silent_s=round(float(row.silent_s), 1),
            **{name: getattr(row, name) for name in shown},
        )
        for row in rows
    ]


def _models(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[ModelStatus]:
    return [
        ModelStatus(row.name, row.status, row.created_at, row.promoted_at, row.accuracy, row.macro_f1, row.articles)
        for row in rows
    ]
