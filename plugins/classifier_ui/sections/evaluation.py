"""The mistakes of a model and its learning curves: of the champion, of any model, and of a running training."""

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
from classifier_ui.sections.champion import ModelHeadline, headline_of
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with its curves and its evaluation; `model` is None while it is being trained."""

    model: ModelDetails | None
    headline: ModelHeadline | None
    curves: Curves
    report: StoredReport | None


def read(workspace: Workspace) -> ModelView | None:
    """Return the champion; None if there is none yet."""
    try:
        return read_model(workspace, "champion")
    except NoChampionError:
        return None


def read_model(workspace: Workspace, name: str) -> ModelView:
    """Return a model.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    model = model_details.describe_model(workspace, name)
    report = html_report.read_report(workspace, model.name)
    return ModelView(model, headline_of(model), learning_curves.of_model(workspace, model.name), report)


def read_running_training(workspace: Workspace) -> ModelView:
    """Return the curves of the training that has not ended."""
    return ModelView(None, None, learning_curves.of_running_training(workspace), None)


SECTION = Section("evaluation", "Mistakes and learning curves", read, permissions.RETRAIN, fresh_s=30)
