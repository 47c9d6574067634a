"""Draw a training's learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from classifier import charts
from classifier.charts import Axis, Drawing, Point
from classifier.training.training_state import EpochResult


def draw_loss(losses: Sequence[Point], unit: str) -> Drawing:
    """Draw the loss by step or by epoch, which `unit` names."""
    x, y = Axis.from_zero(unit, [at for at, _ in losses]), Axis.from_zero("loss", [loss for _, loss in losses])
    return charts.lines({"loss": losses}, x, y, title="Loss of the training")


def draw_scores(macro_f1: Sequence[Point], accuracy: Sequence[Point]) -> Drawing:
    """Draw macro-F1 and accuracy on the validation split by epoch."""
    points = [*macro_f1, *accuracy]
    x = Axis.from_zero("epoch", [at for at, _ in points])
    y = Axis.of_shares("score (validation)", [score for _, score in points])
    return charts.lines({"macro-F1": macro_f1, "accuracy": accuracy}, x, y, title="Scores on the validation split")


def svg(losses: Sequence[Point], history: Sequence[EpochResult], *, title: str) -> str:
    """Return both charts as one SVG document; each point of the loss is the mean since its epoch's start."""
    macro_f1 = [(float(epoch.epoch), epoch.macro_f1) for epoch in history]
    accuracy = [(float(epoch.epoch), epoch.accuracy) for epoch in history]
    drawings = [draw_loss(losses, "step"), draw_scores(macro_f1, accuracy)]
    return charts.standalone(drawings, title=title, names=["macro-F1", "accuracy"])
