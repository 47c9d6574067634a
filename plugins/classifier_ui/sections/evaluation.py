"""Where a model errs, and how it learnt; of the champion, of any model, and of the one that is being trained."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.exceptions import NoChampionError
from classifier.pipeline import learning, models, report
from classifier.pipeline.learning import Curves
from classifier.pipeline.models import Described
from classifier.pipeline.report import Stored
from classifier.workspace import Workspace
from classifier_ui import access
from classifier_ui.sections.champion import Champion, of
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class Shown:
    """A model with its curves and its evaluation; `model` is None for the training that is under way."""

    model: Described | None
    headline: Champion | None
    curves: Curves
    stored: Stored | None


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
    model = models.show(workspace, name)
    stored = report.stored(workspace, model.name)
    return Shown(model, of(model), learning.of_model(workspace, model.name), stored)


def under_way(workspace: Workspace) -> Shown:
    """Return the curves of the training that has not ended."""
    return Shown(None, None, learning.under_way(workspace), None)


SECTION = Section("evaluation", "How it errs and how it learnt", read, access.RETRAIN, fresh_s=30)
