"""The plots, as inline SVG in the page's own colours. A chart's numbers are shares between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from classifier.evaluation.page.markup import Markup, tag

MAX_DOTS = 20
"""Points of a line that are marked; more of them would hide it."""

MIN_SHOWN = 0.01
"""What an axis of shares spans at least."""

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 420.0, 300.0, 64.0, 24.0, 44.0, 12.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval, in a row of a dot plot; `series` chooses the colour."""

    value: float
    low: float
    high: float
    series: str


@dataclass(frozen=True, slots=True)
class Axes:
    """A square of data, drawn into the chart's plane."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point's place in the drawing."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    def frame(
        self, x_title: str, y_title: str, *, x_form: Callable[[float], str], y_form: Callable[[float], str]
    ) -> Iterable[Markup]:
        """Yield grid lines, their values and the titles."""
        for step in range(6):
            x, y = (low + step / 5 * (high - low) for low, high in (self.x, self.y))
            (left, level), (right, _) = self.at(self.x[0], y), self.at(self.x[1], y)
            yield tag("line", x1=left, x2=right, y1=level, y2=level, class_="grid")
            yield tag("text", y_form(y), x=left - 6, y=level + 4, text_anchor="end")
            yield tag("text", x_form(x), x=self.at(x, 0)[0], y=HEIGHT - BOTTOM + 16, text_anchor="middle")
        yield tag("text", x_title, x=(LEFT + WIDTH) / 2, y=HEIGHT - 8, text_anchor="middle", class_="title")
        middle = HEIGHT / 2 - BOTTOM / 2
        yield tag(
            "text", y_title, x=12, y=middle, text_anchor="middle", class_="title", transform=f"rotate(-90 12 {middle})"
        )


def reliability(series: dict[str, Sequence[dict[str, float]]], *, title: str) -> Markup:
    """Draw accuracy against confidence, the bins of a series each: on the diagonal, a model is right as it says."""
    axes = Axes((0, 1), (0, 1))
    (x1, y1), (x2, y2) = axes.at(0, 0), axes.at(1, 1)
    diagonal = tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="diagonal")
    dots = [_bin(one, name, axes, bins) for name, bins in series.items() for one in bins]
    return _svg(title, [*_shares(axes, "confidence"), diagonal, *dots])


def _bin(one: dict[str, float], series: str, axes: Axes, bins: Sequence[dict[str, float]]) -> Markup:
    says = (
        f"{one['articles']:,} articles of confidence {percent(one['low'])} to {percent(one['high'])}: "
        f"{percent(one['accuracy'])} right"
    )
    x, y = axes.at(one["confidence"], one["accuracy"])
    radius = 3 + 7 * (one["articles"] / max(other["articles"] for other in bins)) ** 0.5
    return tag("circle", tag("title", says), cx=x, cy=y, r=radius, class_=series)


def coverage(series: dict[str, Sequence[dict[str, float]]], *, title: str) -> Markup:
    """Draw the accuracy of the most confident share of the articles, a line each series."""
    lowest = min((point["accuracy"] for points in series.values() for point in points), default=0.0)
    axes = Axes((0, 1), (min(0.99, int(lowest * 20) / 20), 1))
    lines = []
    for name, points in series.items():
        places = [axes.at(point["coverage"], point["accuracy"]) for point in points]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        lines.append(tag("path", tag("title", name), d=path, class_=f"line {name}"))
    return _svg(title, [*_shares(axes, "share of articles, the most confident first"), *lines])


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    shares: bool = False,
    x_form: Callable[[float], str] = "{:,.4g}".format,
    x_end: float | None = None,
    limit: float | None = None,
    called: Mapping[str, str] | None = None,
) -> Markup:
    """Draw values that follow each other, a line each series, whose name chooses the colour; both axes from 0.

    Shares are drawn up to 100 %, and from where the lowest needs it. A `limit` is a dashed line. What series are
    `called` is said where one points at them.
    """
    points = [point for one in series.values() for point in one]
    right = x_end or round_up(max((x for x, _ in points), default=1))
    values = [y for _, y in points] + ([] if limit is None else [limit])
    lost = max(1 - min(values, default=1), MIN_SHOWN)
    bottom, top = (1 - round_up(lost), 1.0) if shares else (0.0, round_up(max(values, default=1)))
    axes = Axes((0, right), (bottom, top))
    form: Callable[[float], str] = percent if shares else "{:.3g}".format
    drawn = []
    if limit is not None:
        (left, level), (end, _) = axes.at(0, limit), axes.at(right, limit)
        drawn.append(
            tag("line", tag("title", f"limit {form(limit)}"), x1=left, x2=end, y1=level, y2=level, class_="diagonal")
        )
    for name, found in series.items():
        said = (called or {}).get(name, name)
        places = [axes.at(x, y) for x, y in found]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        drawn.append(tag("path", tag("title", said), d=path, class_=f"line {name}"))
        dots = places if len(places) <= MAX_DOTS else []
        drawn += [
            tag("circle", tag("title", f"{said}: {form(y)}"), cx=x, cy=level, r=3.5, class_=name)
            for (x, level), (_, y) in zip(dots, found, strict=False)
        ]
    return _svg(title, [*axes.frame(x_title, y_title, x_form=x_form, y_form=form), *drawn])


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], *, title: str) -> Markup:
    """Draw values with their intervals, a row each name, one below the other in a row that has several."""
    lowest = min((dot.low for _, found in rows for dot in found), default=0.0)
    low = max(0.0, min(0.9, int(lowest * 10) / 10))
    left, right, row = 190.0, WIDTH + 200, 30.0
    height = row * len(rows) + 40

    def at(share: float) -> float:
        return left + (max(share, low) - low) / (1 - low) * (right - left - RIGHT)

    drawn: list[Markup] = []
    for step in range(6):
        share = low + step / 5 * (1 - low)
        drawn.append(tag("line", x1=at(share), x2=at(share), y1=6.0, y2=height - 26, class_="grid"))
        drawn.append(tag("text", percent(share), x=at(share), y=height - 8, text_anchor="middle"))
    for number, (name, found) in enumerate(rows):
        y = 20 + number * row
        drawn.append(tag("text", _short(name), tag("title", name), x=left - 10, y=y + 4, text_anchor="end"))
        for place, dot in enumerate(found):
            level = y + (place - (len(found) - 1) / 2) * 9
            says = f"{dot.series}: {percent(dot.value)} ({percent(dot.low)} to {percent(dot.high)})"
            bar = tag("line", x1=at(dot.low), x2=at(dot.high), y1=level, y2=level, class_=f"bar {dot.series}")
            drawn += [bar, tag("circle", tag("title", says), cx=at(dot.value), cy=level, r=4.0, class_=dot.series)]
    return _svg(title, drawn, width=right, height=height)


def percent(share: float) -> str:
    """Write a share with as many digits as it needs."""
    return f"{100 * share:.1f}".rstrip("0").rstrip(".") + " %"


def _shares(axes: Axes, x_title: str) -> Iterable[Markup]:
    return axes.frame(x_title, "right", x_form=percent, y_form=percent)


def round_up(value: float) -> float:
    """Return the next end of an axis whose five parts are round numbers."""
    part = max(value, 1e-9) / 5
    size = 10.0 ** math.floor(math.log10(part))
    return 5 * size * next(one for one in (1, 2, 2.5, 5, 10) if one * size >= part * 0.999_999)


def _short(name: str, length: int = 26) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _svg(title: str, children: Iterable[Markup], *, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    return tag("svg", children, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", aria_label=title)
