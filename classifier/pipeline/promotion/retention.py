"""What the nightly run deletes: old models, as the setting says, and what trainings that were killed left."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.model import artefact
from classifier.pipeline.promotion import pruning
from classifier.pipeline.use_case import use_case
from classifier.workspace import Workspace

KEPT_CHAMPIONS = 3
"""Former champions that stay besides: so often can one roll back, however many models were turned down since."""

HALF_WRITTEN_DAYS = 7
"""After which a folder that no training finished is deleted; a training's saved state is kept as long."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was deleted: models with their labels and files, and folders of models that were never finished."""

    models: int
    labels: int
    megabytes: float
    half_written: int


@use_case
def apply_retention(workspace: Workspace) -> RetentionReport | None:
    """Prune as the setting `keep_models` says; return None if it keeps every model.

    Downloaded encoders, searches and saved states are not touched: a training sweeps old states itself.
    """
    keep = workspace.settings.keep_models
    if keep < 0:
        return None
    half_written = artefact.delete_unfinished(workspace.models, days=HALF_WRITTEN_DAYS)
    pruned = pruning.prune(workspace, keep=keep, keep_champions=KEPT_CHAMPIONS, yes=True)
    megabytes = round(sum(one.megabytes for one in pruned), 1)
    return RetentionReport(len(pruned), sum(one.labels for one in pruned), megabytes, len(half_written))
