"""Return the learning curves of a training from its recorded metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from classifier import registry
from classifier.pipeline.use_case import use_case
from classifier.store import model_rows, training_runs
from classifier.workspace import Workspace

Points = tuple[tuple[float, float], ...]

METRICS = ("loss", "accuracy", "macro_f1")

MAX_POINTS = 400
"""Maximum points of the loss: more than a screen can show."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A training's loss by `unit`, and its metrics on the validation split by epoch.

    The loss is the mean since the start of the epoch. All curves are empty if nothing was recorded, as for an imported
    model.
    """

    unit: Literal["step", "epoch"] = "step"
    loss: Points = ()
    accuracy: Points = ()
    macro_f1: Points = ()


@use_case
def of_model(workspace: Workspace, name: str) -> Curves:
    """Return a model's curves as they were recorded or, if they were not, from the epochs in its training's details.

    Raises:
        ModelNotFoundError: there is no model with that name.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        run = training_runs.last_of_model(connection, model.id)
        if run is not None:
            return _recorded(training_runs.points(connection, run.id))
        history = model_rows.training(connection, model.id).get("training", {}).get("history", [])
    by_epoch = [{name: (float(epoch["epoch"]), epoch[name]) for name in METRICS} for epoch in history]
    return Curves("epoch", *(tuple(points[name] for points in by_epoch) for name in METRICS))


@use_case
def of_running_training(workspace: Workspace) -> Curves:
    """Return the curves of the running training that started last; empty curves if no training is running."""
    with workspace.database.connect() as connection:
        runs = training_runs.running(connection)
        return _recorded(training_runs.points(connection, runs[0].id)) if runs else Curves()


def _recorded(points: training_runs.MetricRows) -> Curves:
    stride = max(1, -(-len(points) // MAX_POINTS))
    return Curves(
        loss=tuple((float(point.step), point.loss) for point in points[::stride]),
        accuracy=tuple((float(point.epoch), point.accuracy) for point in points if point.accuracy is not None),
        macro_f1=tuple((float(point.epoch), point.macro_f1) for point in points if point.macro_f1 is not None),
    )
