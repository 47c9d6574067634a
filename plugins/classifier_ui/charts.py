"""The charts that only this page has, in the colours and with the axes of the evaluation's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from classifier.evaluation.page import charts
from classifier.evaluation.page.markup import Markup, tag
from classifier.pipeline.learning import Curves

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720.0, 190.0, 48.0, 24.0, 10.0


def loss(curves: Curves) -> Markup:
    """Draw the loss by step."""
    title = "Loss of the training"
    return charts.lines({"candidate": curves.loss}, title=title, x_title=curves.unit, y_title="loss")


def scores(curves: Curves) -> Markup:
    """Draw accuracy and macro-F1 on the validation split by epoch."""
    series = {"candidate": curves.macro_f1, "champion": curves.accuracy}  # the names choose the colours
    title = "Scores on the validation split"
    return charts.lines(series, title=title, x_title="epoch", y_title="score", shares=True)


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
