"""List the articles that a model could not label, and queue them again after a fix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from classifier import registry
from classifier.pipeline.use_case import use_case
from classifier.store import dead_letter_rows
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An article that a model could not label, without its text."""

    article_id: int
    source: str
    external_id: str
    model: str
    reason: str
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class RetriedDeadLetters:
    """The numbers of dead letters that were deleted, and of articles that were enqueued.

    Articles that the champion or a human has labelled since are not enqueued.
    """

    dead_letters: int
    enqueued: int


@use_case
def list_dead_letters(
    workspace: Workspace, *, source: str | None = None, model: str | None = None, limit: int | None = None
) -> list[DeadLetter]:
    """Return the dead letters of articles' present texts, newest first.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.connect() as connection:
        name = registry.find(connection, model).name if model else None
        rows = dead_letter_rows.newest(connection, source=source, model=name, limit=limit)
    return [DeadLetter(*row) for row in rows]


@use_case
def retry_dead_letters(
    workspace: Workspace, *, source: str | None = None, model: str | None = None
) -> RetriedDeadLetters:
    """Put the articles of dead letters back into the queue, in one transaction.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.begin() as connection:
        name = registry.find(connection, model).name if model else None
        return RetriedDeadLetters(*dead_letter_rows.retry(connection, source=source, model=name))
