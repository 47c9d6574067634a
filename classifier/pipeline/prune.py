"""Retention: delete what former champions and models that were turned down left, their labels and their files.

What stays of a pruned model is its row, its evaluations and the decisions on it. The status is set first, so
nobody goes back to a model that is half gone; a prune that is cut short is finished by the next one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from classifier.articles import Model
from classifier.exceptions import SettingsError
from classifier.pipeline.use_case import use_case
from classifier.store import labelling_queue, promotions, writes
from classifier.workspace import Workspace

STRETCH = 50_000
"""Ids of articles whose labels are deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A model that was pruned, or would be: its labels, and whether its files are there."""

    model: str
    status: str
    labels: int
    megabytes: float


@use_case
def run(workspace: Workspace, *, keep: int, yes: bool = False) -> list[Pruned]:
    """Prune all but the newest `keep` former champions and models turned down; without `yes`, only say which.

    Never the champion, the one that a rollback goes back to, the one replaced last, or a candidate that waits
    for its decision.

    Raises:
        SettingsError: `keep` is negative.
    """
    if keep < 0:
        raise SettingsError(f"keep-models {keep}: has to be at least 0")
    with workspace.database.begin() as connection:
        writes.lock_champion(connection)
        models = promotions.prunable(connection, keep=keep)
        found = [
            Pruned(model.name, model.status, promotions.count_predictions(connection, model.id), _megabytes(model))
            for model in models
        ]
        if yes:
            for model in models:
                writes.set_status(connection, model.id, "pruned")
    if yes:
        for model in models:
            _prune(workspace, model)
    return found


def _prune(workspace: Workspace, model: Model) -> None:
    with workspace.database.begin() as connection:
        labelling_queue.wait_for_pages(connection, model.id)  # a page that is open would leave labels behind
        last = promotions.last_article(connection)
    for first in range(1, last + 1, STRETCH):
        with workspace.database.begin() as connection:
            promotions.delete_predictions(connection, model.id, first, first + STRETCH - 1)
    directory = Path(model.artefact)
    if directory.exists():
        # classifier.json goes first: without it, what is left is no model to anybody
        (directory / "classifier.json").unlink(missing_ok=True)
        shutil.rmtree(directory)
    with workspace.database.begin() as connection:
        promotions.set_pruned(connection, model.id)


def _megabytes(model: Model) -> float:
    directory = Path(model.artefact)
    if not directory.is_dir():
        return 0.0
    return round(sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6, 1)
