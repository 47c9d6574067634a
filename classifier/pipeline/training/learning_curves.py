"""Say how a training went, or goes: its curves, from what was recorded of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from classifier import registry
from classifier.pipeline.use_case import use_case
from classifier.store import model_rows, training_runs
from classifier.workspace import Workspace

Points = tuple[tuple[float, float], ...]

FIGURES = ("loss", "accuracy", "macro_f1")

MOST = 400
"""Points of the loss that are kept for drawing: more than a screen shows."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A training's loss, the mean since the epoch's start, and its scores on the validation split by epoch.

    The loss is by `unit`. All are empty where nothing was recorded, as of a model that was trained elsewhere.
    """

    unit: Literal["step", "epoch"] = "step"
    loss: Points = ()
    accuracy: Points = ()
    macro_f1: Points = ()


@use_case
def of_model(workspace: Workspace, name: str) -> Curves:
    """Return a model's curves: as they were recorded, else what its training kept of each epoch.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        run = training_runs.last_of_model(connection, model.id)
        if run is not None:
            return _recorded(training_runs.points(connection, run.id))
        history = model_rows.training(connection, model.id).get("training", {}).get("history", [])
    by_epoch = [{name: (float(one["epoch"]), one[name]) for name in FIGURES} for one in history]
    return Curves("epoch", *(tuple(one[name] for one in by_epoch) for name in FIGURES))


@use_case
def of_running_training(workspace: Workspace) -> Curves:
    """Return the curves of the training that was begun last and has not ended."""
    with workspace.database.connect() as connection:
        runs = training_runs.running(connection)
        return _recorded(training_runs.points(connection, runs[0].id)) if runs else Curves()


def _recorded(points: training_runs.MetricRows) -> Curves:
    every = max(1, -(-len(points) // MOST))
    return Curves(
        loss=tuple((float(one.step), one.loss) for one in points[::every]),
        accuracy=tuple((float(one.epoch), one.accuracy) for one in points if one.accuracy is not None),
        macro_f1=tuple((float(one.epoch), one.macro_f1) for one in points if one.macro_f1 is not None),
    )
