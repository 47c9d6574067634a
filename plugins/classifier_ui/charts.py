"""The charts that only this page has, in the colours and with the axes of the evaluation's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

from classifier.evaluation.page import charts
from classifier.evaluation.page.markup import Markup, tag
from classifier.pipeline.monitoring.drift_history import DriftRun
from classifier.pipeline.training.learning_curves import Curves

DAY_S = 86_400
PARTS = 5
"""Of an axis. A chart over time spans a multiple of so many days, so that each of its marks is another day."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720.0, 190.0, 48.0, 24.0, 10.0


def loss(curves: Curves) -> Markup:
    """Draw the loss by step."""
    title = "Loss of the training"
    return charts.lines({"candidate": curves.loss}, title=title, x_title=curves.unit, y_title="loss")


def scores(curves: Curves) -> Markup:
    """Draw accuracy and macro-F1 on the validation split by epoch."""
    series = {"candidate": curves.macro_f1, "champion": curves.accuracy}  # the names choose the colours
    title = "Scores on the validation split"
    called = {"candidate": "macro-F1", "champion": "accuracy"}
    return charts.lines(series, title=title, x_title="epoch", y_title="score", shares=True, called=called)


def accuracy(looks: Sequence[DriftRun]) -> Markup:
    """Draw the accuracy that confidence promises, and the audited one, by day."""
    called = {"candidate": "estimated accuracy", "champion": "audited accuracy"}
    return _over_time(
        looks, ("estimated_accuracy", "audited_accuracy"), called, title="Accuracy over time", shares=True
    )


def drift(looks: Sequence[DriftRun], limit: float) -> Markup:
    """Draw how far category mix, length and confidence are from the test articles, by day."""
    called = {"candidate": "category mix", "champion": "length", "baseline": "confidence"}
    names = ("category_drift", "length_drift", "confidence_drift")
    return _over_time(looks, names, called, title="Drift over time", limit=limit)


def _over_time(
    looks: Sequence[DriftRun],
    names: Sequence[str],
    called: dict[str, str],
    *,
    title: str,
    shares: bool = False,
    limit: float | None = None,
) -> Markup:
    """Draw figures of looks, of which there is one at least, up to the day of the last one."""
    newest = looks[-1].ran_at
    days = (newest - looks[0].ran_at).total_seconds() / DAY_S
    span = PARTS * max(1, math.ceil(days / PARTS))
    begin = newest - timedelta(days=span)

    def points(name: str) -> list[tuple[float, float]]:
        found = [(look.ran_at, getattr(look, name)) for look in looks]
        return [((at - begin).total_seconds() / DAY_S, value) for at, value in found if value is not None]

    return charts.lines(
        {colour: found for colour, name in zip(called, names, strict=True) if (found := points(name))},
        title=title,
        x_title="day (UTC)",
        y_title="share right" if shares else "distance",
        shares=shares,
        x_form=lambda days: f"{begin + timedelta(days=days):%d %b}",
        x_end=span,
        limit=limit,
        called=called,
    )


def days(counts: Sequence[tuple[date, int]]) -> Markup:
    """Draw a count a day as columns, with the day and the count where one points at it."""
    top = charts.round_up(max([5, *(count for _, count in counts)]))
    plane = HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT) / max(1, len(counts))
    drawn = []
    for part in range(6):
        level, value = HEIGHT - BOTTOM - part / 5 * plane, top * part / 5
        drawn.append(tag("line", x1=LEFT, x2=WIDTH, y1=level, y2=level, class_="grid"))
        drawn.append(tag("text", short(value), x=LEFT - 8, y=level + 4, text_anchor="end"))
    for number, (day, count) in enumerate(counts):
        left, height = LEFT + number * step, count / top * plane
        says = tag("title", f"{day:%a %d %b %Y}: {count:,} labels")
        drawn.append(tag("rect", says, x=left, y=TOP, width=step, height=plane, class_="touch"))
        drawn.append(
            tag("rect", x=left + 0.15 * step, y=HEIGHT - BOTTOM - height, width=0.7 * step, height=height, class_="day")
        )
        if (len(counts) - 1 - number) % 7 == 0:
            drawn.append(tag("text", f"{day:%d %b}", x=left + step, y=HEIGHT - 6, text_anchor="end"))
    return tag("svg", drawn, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label="Labels written each day")


def bar(value: float, most: float, part: float = 0.0) -> Markup:
    """Draw a value as a bar beside the largest one; `part` of it is in another colour."""
    width, inner = 100 * value / max(most, 1), 100 * part / max(most, 1)
    drawn = [
        tag("rect", x=0.0, y=0.0, width=width, height=8.0, class_="whole"),
        tag("rect", x=0.0, y=0.0, width=inner, height=8.0, class_="part"),
    ]
    return tag("svg", drawn, viewBox="0 0 100 8", preserveAspectRatio="none", class_="bars", aria_hidden="true")


def short(value: float) -> str:
    """Write a count in three or four characters: 950, 12k, 3.4M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"
