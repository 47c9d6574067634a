"""The charts of the pages, drawn from what the use cases return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from markupsafe import Markup

from classifier import charts
from classifier.charts import Axis, Point
from classifier.pipeline.monitoring.drift_history import DriftRun
from classifier.pipeline.training.learning_curves import Curves
from classifier.plurals import plural
from classifier.training import curves

DAY_S = 86_400


def loss(recorded: Curves) -> Markup:
    """Draw the loss of a training."""
    return curves.draw_loss(recorded.loss, recorded.unit).markup()


def scores(recorded: Curves) -> Markup:
    """Draw macro-F1 and accuracy on the validation split by epoch."""
    return curves.draw_scores(recorded.macro_f1, recorded.accuracy).markup()


def accuracy(checks: Sequence[DriftRun]) -> Markup:
    """Draw the accuracy that confidence predicts, and the audited accuracy, by day."""
    names = {"estimated accuracy": "estimated_accuracy", "audited accuracy": "audited_accuracy"}
    series, x = _over_time(checks, names)
    y = Axis.of_shares("accuracy", [value for points in series.values() for _, value in points])
    return charts.lines(series, x, y, title="Accuracy over time").markup()


def drift(checks: Sequence[DriftRun], limit: float) -> Markup:
    """Draw how far category mix, length and confidence are from the test articles, by day."""
    names = {"category mix": "category_drift", "length": "length_drift", "confidence": "confidence_drift"}
    series, x = _over_time(checks, names)
    y = Axis.from_zero("distance", [limit, *(value for points in series.values() for _, value in points)])
    return charts.lines(series, x, y, title="Drift over time", limit=limit).markup()


def _over_time(checks: Sequence[DriftRun], names: Mapping[str, str]) -> tuple[dict[str, list[Point]], Axis]:
    """Return the named attributes of the checks by day, and an axis that ends on the day of the last check.

    The axis spans a multiple of its steps in days, so that each grid line is another day.
    """
    newest = checks[-1].ran_at
    days = (newest - checks[0].ran_at).total_seconds() / DAY_S
    span = charts.GRID_STEPS * max(1, math.ceil(days / charts.GRID_STEPS))
    begin = newest - timedelta(days=span)

    def points(attribute: str) -> list[Point]:
        values = [(check.ran_at, getattr(check, attribute)) for check in checks]
        return [((at - begin).total_seconds() / DAY_S, value) for at, value in values if value is not None]

    series = {name: points(attribute) for name, attribute in names.items()}
    return series, Axis("day (UTC)", 0.0, span, lambda day: f"{begin + timedelta(days=day):%d %b}")


def days(counts: Sequence[tuple[date, int]]) -> Markup:
    """Draw a count for each day as columns."""
    columns = [(f"{day:%d %b}", f"{day:%a %d %b %Y}: {plural(count, 'label')}", count) for day, count in counts]
    return charts.columns(columns, title="Labels written each day").markup()


def bar(value: float, largest: float, part: float = 0.0) -> Markup:
    """Draw a value as a bar, relative to the largest one; `part` of it has another colour."""
    return charts.bar(value, largest, part).markup()
