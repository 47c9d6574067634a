"""Retention: delete what former champions and models that were turned down left, their labels and their files.

What stays of a pruned model is its row, its evaluations and the decisions on it. The status is set first, so
nobody goes back to a model that is half gone; a prune that is cut short is finished by the next one. A model that
is being read, or of which a worker has a page open, is left for the next time.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from classifier.articles import Model
from classifier.exceptions import SettingsError
from classifier.pipeline.use_case import use_case
from classifier.store import article_rows, labelling_queue, model_locks, model_rows, prediction_rows, promotions
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

BATCH_SIZE = 50_000
"""Ids of articles whose labels are deleted in one transaction."""

EXTRA_FILES = (".evaluation.json", ".evaluation.html")
"""What evaluations and reports write beside a model's folder, after its name."""


@dataclass(frozen=True, slots=True)
class PrunedModels:
    """A model that was pruned, or would be: its labels, and whether its files are there."""

    model: str
    status: str
    labels: int
    megabytes: float


@use_case
def prune(workspace: Workspace, *, keep: int, keep_champions: int = 0, yes: bool = False) -> list[PrunedModels]:
    """Prune all but the newest `keep` former champions and models turned down; without `yes`, only say which.

    Never the champion, the `keep_champions` before it, the one that a rollback goes back to, the one replaced last,
    the one that the next training's data are compared with, or a candidate that waits for its decision.

    Raises:
        SettingsError: `keep` or `keep_champions` is negative.
    """
    for name, number in (("keep-models", keep), ("keep-champions", keep_champions)):
        if number < 0:
            raise SettingsError(f"{name} {number}: has to be at least 0")
    with workspace.database.begin() as connection:
        model_rows.lock_champion(connection)
        models = promotions.prunable(connection, keep=keep, keep_champions=keep_champions)
        if yes:
            models = [model for model in models if _set_pruned(connection, model)]
    return [
        PrunedModels(model.name, model.status, _delete(workspace, model) if yes else _count(workspace, model), size)
        for model in models
        for size in [_megabytes(model)]
    ]


def _set_pruned(connection: Connection, model: Model) -> bool:
    """Set the status, so that no one begins to use the model; return False if someone does already."""
    if not (model_locks.try_own(connection, model.id) and labelling_queue.try_lock_pages(connection, model.id)):
        log.warning("%s: in use, so it is left for the next prune", model.name)
        return False
    model_rows.set_status(connection, model.id, "pruned")
    return True


def _count(workspace: Workspace, model: Model) -> int:
    labels = 0
    for first, last in _stretches(workspace, model):
        with workspace.database.connect() as connection:
            labels += prediction_rows.count(connection, model.id, first, last)
    return labels


def _delete(workspace: Workspace, model: Model) -> int:
    """Delete a model's labels and files; return how many labels. Two at once may delete one model."""
    labels = 0
    for first, last in _stretches(workspace, model):
        with workspace.database.begin() as connection:
            labels += prediction_rows.delete(connection, model.id, first, last)
    directory = Path(model.artefact)
    # classifier.json goes first: without it, what is left is no model to anybody
    (directory / "classifier.json").unlink(missing_ok=True)
    while directory.exists():
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            continue
    for ending in EXTRA_FILES:
        directory.with_name(f"{directory.name}{ending}").unlink(missing_ok=True)
    with workspace.database.begin() as connection:
        model_rows.set_pruned(connection, model.id)
    return labels


def _stretches(workspace: Workspace, model: Model) -> Iterator[tuple[int, int]]:
    """Yield the first and the last article id of each part of the labels that a model may have given."""
    with workspace.database.connect() as connection:
        if not model_rows.was_champion(connection, model.id):
            return
        end = article_rows.last_id(connection)
    for first in range(1, end + 1, BATCH_SIZE):
        yield first, first + BATCH_SIZE - 1


def _megabytes(model: Model) -> float:
    directory = Path(model.artefact)
    if not directory.is_dir():
        return 0.0
    try:
        return round(sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6, 1)
    except FileNotFoundError:  # another prune deletes the model at this moment
        return 0.0
