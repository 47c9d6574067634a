"""The status of articles, models, ingests, trainings, labelling and reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from classifier.articles import TaskKind
from classifier.pipeline.monitoring import category_coverage
from classifier.pipeline.monitoring.category_coverage import UncoveredCategory
from classifier.pipeline.review import review_queue
from classifier.pipeline.review.review_queue import ReviewStatus
from classifier.pipeline.use_case import use_case
from classifier.store import (
    dead_letter_rows,
    drift_runs,
    ingest_runs,
    label_statistics,
    labelling_queue,
    model_rows,
    rejections,
    training_runs,
)
from classifier.workspace import Workspace

MAX_COUNTED = 100_000
"""Articles that are counted exactly. If there are more, counts are estimated from about this many, in random blocks."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model with the metrics of its last evaluation on the test split, or None if it was not evaluated.

    `engine` is the inference engine's agreement with float32 when the model was registered. Probabilities are scaled by
    `temperature`; below `threshold`, the model abstains. The accuracy of a multi-label model is the share of exact
    matches.
    """

    name: str
    status: str
    created_at: datetime
    promoted_at: datetime | None
    accuracy: float | None
    macro_f1: float | None
    test_articles: int | None
    engine: dict[str, Any] | None = None
    temperature: float = 1.0
    threshold: float | None = None
    kind: TaskKind = "single"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """An ingest run: `new` rows were inserted, `duplicates` were superseded by a later row of the same article."""

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
    duplicates: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The articles that wait for a label. New and changed articles are labelled before a new champion's backfill.

    `unseen` estimates how many articles the backfill has not examined yet; some of them need no label. `rate` is in
    articles per second, over the last 15 minutes; None if nothing was labelled.
    """

    new: int
    backfill: int
    unseen: int
    rate: float | None

    @property
    def new_seconds(self) -> float | None:
        """The estimated seconds until no new article waits."""
        return self.new / self.rate if self.rate else None

    @property
    def seconds(self) -> float | None:
        """The estimated seconds until no article waits."""
        return (self.new + self.backfill + self.unseen) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """An unfinished training. `silent_s` are the seconds since its last heartbeat: if they are many, it was killed."""

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
class DriftStatus:
    """When the champion's drift was checked last, and the checks that raised an alarm."""

    ran_at: datetime
    alarms: list[str]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of articles, rows and models, and what is running.

    `splits` has the number of articles and of annotated articles by split; `labels` counts articles by the origin of
    their label: annotation, prediction or none. `counted` is the share of the articles in which these two were counted;
    below 1 they are estimates. `uncovered` are the annotated categories that the champion or the next model cannot
    predict.
    """

    splits: dict[str, tuple[int, int]]
    labels: dict[str, int]
    counted: float
    backlog: Backlog
    rejected_rows: int
    dead_letters: int
    champion: ModelStatus | None
    runs: list[RunStatus]
    trainings: list[TrainingStatus] = field(default_factory=list)
    drift: DriftStatus | None = None
    review: ReviewStatus | None = None
    uncovered: tuple[UncoveredCategory, ...] = ()

    @property
    def waiting(self) -> int:
        """The number of articles in the queue."""
        return self.backlog.new + self.backlog.backfill


@use_case
def read_status(workspace: Workspace, *, exact: bool = False) -> Status:
    """Return the status. If there are more than `MAX_COUNTED` articles, their counts are estimates, unless `exact`."""
    with workspace.database.connect() as connection:
        champions = [model for model in _models(model_rows.list_with_scores(connection)) if model.status == "champion"]
        share = 1.0 if exact else label_statistics.sample_share(connection, MAX_COUNTED)
        articles = label_statistics.count_by_origin(connection, share=share)
        drift = drift_runs.last_of_champion(connection)
        return Status(
            splits=_by_split(articles),
            labels=_by_origin(articles),
            counted=share,
            backlog=_backlog(connection),
            rejected_rows=rejections.count(connection),
            dead_letters=dead_letter_rows.count(connection),
            champion=champions[0] if champions else None,
            runs=_runs(ingest_runs.newest(connection)),
            trainings=_trainings(training_runs.running(connection)),
            drift=DriftStatus(drift.ran_at, drift.alarms) if drift else None,
            review=review_queue.load_status(connection, workspace.settings),
            uncovered=category_coverage.load_uncovered(connection),
        )


@use_case
def read_live_status(workspace: Workspace) -> tuple[Backlog, list[TrainingStatus]]:
    """Return the backlog and the running trainings, which change every moment."""
    with workspace.database.connect() as connection:
        return _backlog(connection), _trainings(training_runs.running(connection))


def _backlog(connection: Connection) -> Backlog:
    waiting = labelling_queue.count_waiting(connection)
    return Backlog(
        new=waiting[labelling_queue.NEW],
        backfill=waiting[labelling_queue.BACKFILL],
        unseen=labelling_queue.remaining_backfill(connection),
        rate=labelling_queue.labelling_rate(connection),
    )


def _by_split(articles: Mapping[tuple[str, str], int]) -> dict[str, tuple[int, int]]:
    sizes = {split: sum(count for key, count in articles.items() if key[0] == split) for split, _ in articles}
    return {split: (size, articles.get((split, "annotation"), 0)) for split, size in sizes.items()}


def _by_origin(articles: Mapping[tuple[str, str], int]) -> dict[str, int]:
    origins = {origin for _, origin in articles}
    return {origin: sum(count for key, count in articles.items() if key[1] == origin) for origin in origins}


@use_case
def last_runs(workspace: Workspace, source: str, *, limit: int = 1) -> list[RunStatus]:
    """Return a source's last ingest runs, newest first."""
    with workspace.database.connect() as connection:
        return _runs(ingest_runs.newest(connection, source=ingest_runs.run_name(source), limit=limit))


@use_case
def models(workspace: Workspace) -> list[ModelStatus]:
    """Return every model, newest first."""
    with workspace.database.connect() as connection:
        return _models(model_rows.list_with_scores(connection))


def _runs(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[RunStatus]:
    return [RunStatus(**{field_.name: getattr(row, field_.name) for field_ in fields(RunStatus)}) for row in rows]


def _trainings(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[TrainingStatus]:
    names = {field_.name for field_ in fields(TrainingStatus)} - {"key", "silent_s"}
    return [
        TrainingStatus(
            key=row.training_key[:12],
            silent_s=round(float(row.silent_s), 1),
            **{name: getattr(row, name) for name in names},
        )
        for row in rows
    ]


def _models(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[ModelStatus]:
    names = {field_.name for field_ in fields(ModelStatus)} - {"test_articles"}
    return [ModelStatus(test_articles=row.articles, **{name: getattr(row, name) for name in names}) for row in rows]
