"""Where a model errs, and how it learnt; of the champion, of any model, and of the one that is being trained."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.exceptions import NoChampionError
from classifier.pipeline.promotion import html_report, model_details
from classifier.pipeline.promotion.html_report import StoredReport
from classifier.pipeline.promotion.model_details import ModelDetails
from classifier.pipeline.training import learning_curves
from classifier.pipeline.training.learning_curves import Curves
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.champion import Champion, of
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class Shown:
    """A model with its curves and its evaluation; `model` is None for the training that is under way."""

    model: ModelDetails | None
    headline: Champion | None
    curves: Curves
    stored: StoredReport | None


def read(workspace: Workspace) -> Shown | None:
    """Return the champion's, None while there is no champion."""
    try:
        return of_model(workspace, "champion")
    except NoChampionError:
        return None


def of_model(workspace: Workspace, name: str) -> Shown:
    """Return a model's.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    model = model_details.describe_model(workspace, name)
    stored = html_report.read_report(workspace, model.name)
    return Shown(model, of(model), learning_curves.of_model(workspace, model.name), stored)


def under_way(workspace: Workspace) -> Shown:
    """Return the curves of the training that has not ended."""
    return Shown(None, None, learning_curves.of_running_training(workspace), None)


SECTION = Section("evaluation", "How it errs and how it learnt", read, permissions.RETRAIN, fresh_s=30)
