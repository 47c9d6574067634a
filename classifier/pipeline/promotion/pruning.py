"""Delete the labels and files of former champions and rejected models.

The row of a pruned model, its evaluations and its decisions are kept. The status is set first, so that no rollback can
choose a model that is partly deleted; the next prune finishes an interrupted one. A model in use, or with a batch that
a worker is labelling, is left for the next prune.
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
"""Range of article ids whose labels are deleted in one transaction."""

EXTRA_FILES = (".evaluation.json", ".evaluation.html")
"""Endings of the files that evaluations and reports write next to a model's folder."""


@dataclass(frozen=True, slots=True)
class PrunedModels:
    """A model that was or would be pruned, its number of labels and the size of its files."""

    model: str
    status: str
    labels: int
    megabytes: float


@use_case
def prune(workspace: Workspace, *, keep: int, keep_champions: int = 0, yes: bool = False) -> list[PrunedModels]:
    """Prune all former champions and rejected models except the newest `keep`; without `yes`, only return them.

    The following models are never pruned: the champion, the `keep_champions` before it, the model that a rollback would
    choose, the model replaced last, the model that the next training's data are compared with, and candidates that wait
    for a decision.

    Raises:
        SettingsError: `keep` or `keep_champions` is negative.
    """
    for name, number in (("keep-models", keep), ("keep-champions", keep_champions)):
        if number < 0:
            raise SettingsError(f"{name} {number}: must be at least 0")
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
    """Set the status, so that no process begins to use the model; return False if a process uses it already."""
    if not (model_locks.try_own(connection, model.id) and labelling_queue.try_lock_pages(connection, model.id)):
        log.warning("%s: in use; the next prune deletes it", model.name)
        return False
    model_rows.set_status(connection, model.id, "pruned")
    return True


def _count(workspace: Workspace, model: Model) -> int:
    labels = 0
    for first, last in _id_ranges(workspace, model):
        with workspace.database.connect() as connection:
            labels += prediction_rows.count(connection, model.id, first, last)
    return labels


def _delete(workspace: Workspace, model: Model) -> int:
    """Delete a model's labels and files, and return the number of labels. Two processes may do this at once."""
    labels = 0
    for first, last in _id_ranges(workspace, model):
        with workspace.database.begin() as connection:
            labels += prediction_rows.delete(connection, model.id, first, last)
    directory = Path(model.artefact)
    # classifier.json is deleted first, because files without a classifier.json are not a model
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


def _id_ranges(workspace: Workspace, model: Model) -> Iterator[tuple[int, int]]:
    """Yield the first and the last article id of each range in which the model may have labelled articles."""
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
