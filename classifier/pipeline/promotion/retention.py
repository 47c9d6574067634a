"""What the nightly run deletes: old models, as the settings say, and the folders of killed trainings."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.model import artefact
from classifier.pipeline.promotion import pruning
from classifier.pipeline.use_case import use_case
from classifier.workspace import Workspace

KEPT_CHAMPIONS = 3
"""Former champions that are always kept: so many rollbacks are possible, however many models were rejected since."""

HALF_WRITTEN_DAYS = 7
"""Days after which an unfinished model's folder is deleted; a training's saved state is kept as long."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Numbers of deleted models, of their labels and megabytes, and of folders of unfinished models."""

    models: int
    labels: int
    megabytes: float
    half_written: int


@use_case
def apply_retention(workspace: Workspace) -> RetentionReport | None:
    """Prune models as the setting `keep_models` says; return None if it keeps every model.

    Downloaded encoders, tuning studies and saved states are not touched; a training deletes old states itself.
    """
    keep = workspace.settings.keep_models
    if keep < 0:
        return None
    half_written = artefact.delete_unfinished(workspace.models, days=HALF_WRITTEN_DAYS)
    pruned = pruning.prune(workspace, keep=keep, keep_champions=KEPT_CHAMPIONS, yes=True)
    megabytes = round(sum(model.megabytes for model in pruned), 1)
    return RetentionReport(len(pruned), sum(model.labels for model in pruned), megabytes, len(half_written))
