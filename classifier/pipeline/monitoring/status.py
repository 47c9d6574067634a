"""Say where everything stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from classifier.pipeline.review import review_queue
from classifier.pipeline.review.review_queue import ReviewStatus
from classifier.pipeline.use_case import use_case
from classifier.store import drift_runs, ingest_runs, labelling_queue, reads, training_runs
from classifier.workspace import Workspace

COUNTED = 100_000
"""Articles that are counted one by one; of more of them, as many are counted in blocks drawn at random."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model with its last figures on the test split, where it has been evaluated.

    `engine` is how the labelling engine compared with float32 when the model was registered. Its confidence is at
    `temperature`, and below `threshold` it abstains.
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


@dataclass(frozen=True, slots=True)
class RunStatus:
    """An ingest: `new` rows were inserted, `duplicates` ones were duplicates that a later row superseded."""

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
    """What waits for a label. New and changed articles go before the backfill of a new champion.

    `unseen` is about how many articles the backfill has not looked at yet, of which some need no label.
    `rate` is the articles a second of the last quarter of an hour, None where nothing was labelled.
    """

    new: int
    backfill: int
    unseen: int
    rate: float | None

    @property
    def new_seconds(self) -> float | None:
        """The time left until no new article waits."""
        return self.new / self.rate if self.rate else None

    @property
    def seconds(self) -> float | None:
        """The time left until nothing waits."""
        return (self.new + self.backfill + self.unseen) / self.rate if self.rate else None


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
class WatchStatus:
    """When the champion was watched last, and the checks that gave alarm."""

    ran_at: datetime
    alarms: list[str]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of everything that waits, is done, or went wrong.

    `splits` has, a split, its articles and how many of them are annotated; `labels` counts articles by
    where their label comes from: annotation, prediction or none. `counted` is the share of the articles
    that these two were counted in; below 1 they are estimates.
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
    watched: WatchStatus | None = None
    review: ReviewStatus | None = None

    @property
    def waiting(self) -> int:
        """The articles in the queue."""
        return self.backlog.new + self.backlog.backfill


@use_case
def read_status(workspace: Workspace, *, exact: bool = False) -> Status:
    """Count. Of more than `COUNTED` articles a share is counted, unless `exact`."""
    with workspace.database.connect() as connection:
        champions = [model for model in _models(reads.models_with_scores(connection)) if model.status == "champion"]
        share = 1.0 if exact else reads.share_to_count(connection, COUNTED)
        articles = reads.articles_by_label(connection, share=share)
        watched = drift_runs.last(connection)
        return Status(
            splits=_by_split(articles),
            labels=_by_origin(articles),
            counted=share,
            backlog=_backlog(connection),
            rejected_rows=reads.rejected_rows(connection),
            dead_letters=reads.dead_letter_count(connection),
            champion=champions[0] if champions else None,
            runs=_runs(reads.last_runs(connection)),
            trainings=_trainings(training_runs.under_way(connection)),
            watched=WatchStatus(watched.ran_at, watched.alarms) if watched else None,
            review=review_queue.load_status(connection),
        )


@use_case
def read_live_status(workspace: Workspace) -> tuple[Backlog, list[TrainingStatus]]:
    """Say what waits for a label and which trainings run: what changes from one moment to the next."""
    with workspace.database.connect() as connection:
        return _backlog(connection), _trainings(training_runs.under_way(connection))


def _backlog(connection: Connection) -> Backlog:
    waiting = labelling_queue.waiting(connection)
    return Backlog(
        new=waiting[labelling_queue.NEW],
        backfill=waiting[labelling_queue.BACKFILL],
        unseen=labelling_queue.ahead(connection),
        rate=labelling_queue.rate(connection),
    )


def _by_split(articles: Mapping[tuple[str, str], int]) -> dict[str, tuple[int, int]]:
    sizes = {split: sum(count for key, count in articles.items() if key[0] == split) for split, _ in articles}
    return {split: (size, articles.get((split, "annotation"), 0)) for split, size in sizes.items()}


def _by_origin(articles: Mapping[tuple[str, str], int]) -> dict[str, int]:
    origins = {origin for _, origin in articles}
    return {origin: sum(count for key, count in articles.items() if key[1] == origin) for origin in origins}


@use_case
def last_runs(workspace: Workspace, source: str, *, limit: int = 1) -> list[RunStatus]:
    """List a source's last ingests, newest first."""
    with workspace.database.connect() as connection:
        return _runs(reads.last_runs(connection, source=ingest_runs.run_name(source), limit=limit))


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
    shown = {one.name for one in fields(ModelStatus)} - {"test_articles"}
    return [ModelStatus(test_articles=row.articles, **{name: getattr(row, name) for name in shown}) for row in rows]
