"""SVG charts for evaluation pages, Airflow's UI and learning curves.

The XML writer escapes every text. The class of an element (`first`, `second`, `third`) chooses its colour from
`charts.css`, so that a chart follows the light or dark theme of its page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from classifier.plurals import plural

STYLE_SHEET = Path(__file__).with_name("charts.css")

COLOURS = ("first", "second", "third")

MAX_DOTS = 16
"""Points of a line that are marked; more of them would hide the line."""

MIN_SPAN = 0.01
"""Smallest range of an axis of shares."""

MAX_NAME = 26
"""Characters of a row's name; the whole name is its tooltip."""

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 420.0, 300.0, 64.0, 24.0, 44.0, 12.0
GRID_STEPS = 5

_STANDALONE_STYLE = """
svg { background: white; font-family: sans-serif; } text { font-size: 11px; fill: #1a1a1e; } .title { fill: #6a6a72; }
.grid { stroke: #dcdce2; } .line { fill: none; stroke-width: 2; }
.line.first { stroke: #1f5fbf; } .line.second { stroke: #c2571a; }
circle.first, text.first { fill: #1f5fbf; } circle.second, text.second { fill: #c2571a; }
"""

Point = tuple[float, float]
Format = Callable[[float], str]


class Drawing:
    """An SVG element of a width and height, to which shapes are added."""

    def __init__(self, width: float = WIDTH, height: float = HEIGHT, **attributes: object) -> None:
        self.width, self.height = width, height
        self.root = Element("svg", _attributes({"viewBox": f"0 0 {width:.0f} {height:.0f}", **attributes}))

    def add(self, name: str, text: str = "", *, tooltip: str = "", **attributes: object) -> None:
        """Add an element; `class_` stands for class, and other underscores for hyphens."""
        element = SubElement(self.root, name, _attributes(attributes))
        element.text = text
        if tooltip:
            SubElement(element, "title").text = tooltip

    def add_line(self, start: Point, end: Point, kind: str, *, tooltip: str = "") -> None:
        """Add a straight line."""
        self.add("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind, tooltip=tooltip)

    def add_dot(self, at: Point, kind: str, *, radius: float = 4.0, tooltip: str = "") -> None:
        """Add a filled circle."""
        self.add("circle", cx=at[0], cy=at[1], r=radius, class_=kind, tooltip=tooltip)

    def add_text(self, text: str, at: Point, anchor: str = "middle", **attributes: object) -> None:
        """Add a text whose `anchor` (start, middle or end) stands at a point."""
        self.add("text", text, x=at[0], y=at[1], text_anchor=anchor, **attributes)  # type: ignore[arg-type]

    def markup(self) -> Markup:
        """Return the SVG, which a template does not escape again."""
        return Markup(tostring(self.root, encoding="unicode"))  # noqa: S704 - the XML writer escaped every text


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, its title, and how its values are written."""

    title: str
    low: float
    high: float
    form: Format = "{:,.4g}".format

    @classmethod
    def from_zero(cls, title: str, values: Iterable[float], form: Format = "{:,.4g}".format) -> Axis:
        """Return an axis from 0 to a round number that no value exceeds."""
        return cls(title, 0.0, round_up(max(values, default=1)), form)

    @classmethod
    def of_shares(cls, title: str, values: Iterable[float] | None = None) -> Axis:
        """Return an axis up to 100 %, from a round number below all values; from 0 without values."""
        low = 0.0 if values is None else 1 - round_up(max(1 - min(values, default=1), MIN_SPAN))
        return cls(title, max(0.0, low), 1.0, percent)

    def steps(self) -> list[float]:
        """Return the values that the axis shows."""
        return [self.low + step / GRID_STEPS * (self.high - self.low) for step in range(GRID_STEPS + 1)]

    def position(self, value: float) -> float:
        """Return where a value stands: 0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Plane:
    """Two axes, and the place of each point between them in a drawing."""

    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> Point:
        """Return a point's place in the drawing."""
        across, up = self.x.position(x), self.y.position(y)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    def draw(self, title: str) -> Drawing:
        """Return a drawing with the grid lines, their values and the axes' titles."""
        drawing = Drawing(role="img", aria_label=title)
        for x, y in zip(self.x.steps(), self.y.steps(), strict=True):
            start, end = self.at(self.x.low, y), self.at(self.x.high, y)
            drawing.add_line(start, end, "grid")
            drawing.add_text(self.y.form(y), (start[0] - 6, start[1] + 4), "end")
            drawing.add_text(self.x.form(x), (self.at(x, 0)[0], HEIGHT - BOTTOM + 16))
        drawing.add_text(self.x.title, ((LEFT + WIDTH) / 2, HEIGHT - 8), class_="title")
        middle = (HEIGHT - BOTTOM) / 2
        drawing.add_text(self.y.title, (12.0, middle), class_="title", transform=f"rotate(-90 12 {middle})")
        return drawing


@dataclass(frozen=True, slots=True)
class Dot:
    """A named value with its interval, in a row of a dot plot."""

    name: str
    value: float
    low: float
    high: float
    colour: str


def lines(
    series: Mapping[str, Sequence[Point]], x: Axis, y: Axis, *, title: str, limit: float | None = None
) -> Drawing:
    """Draw a line for each series in the order of `COLOURS`, and a dashed line at the limit.

    A series without points is not drawn, but keeps its colour.
    """
    plane = Plane(x, y)
    drawing = plane.draw(title)
    if limit is not None:
        drawing.add_line(plane.at(x.low, limit), plane.at(x.high, limit), "dashed", tooltip=f"limit {y.form(limit)}")
    for colour, (name, values) in zip(COLOURS, series.items(), strict=False):
        points = [plane.at(*value) for value in values]
        if points:
            drawn = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
            drawing.add("polyline", points=drawn, class_=f"line {colour}", tooltip=name)
        if len(points) <= MAX_DOTS:
            for point, (_, value) in zip(points, values, strict=True):
                drawing.add_dot(point, colour, radius=3.5, tooltip=f"{name}: {y.form(value)}")
    return drawing


def reliability(
    series: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    title: str,
    counted: str = "article",
    axes: tuple[str, str] = ("confidence", "accuracy"),
) -> Drawing:
    """Draw accuracy against confidence: a dot for each bin, larger with more articles.

    The keys of `series` are classes. On the diagonal, accuracy equals confidence. `counted` and `axes` name what the
    bins contain and the two shares.
    """
    plane = Plane(Axis.of_shares(axes[0]), Axis.of_shares(axes[1]))
    drawing = plane.draw(title)
    drawing.add_line(plane.at(0, 0), plane.at(1, 1), "dashed")
    for kind, bins in series.items():
        most = max((bin_["articles"] for bin_ in bins), default=1)
        for bin_ in bins:
            tooltip = (
                f"{plural(int(bin_['articles']), counted)} with a {axes[0]} of {percent(bin_['low'])} to "
                f"{percent(bin_['high'])}: {percent(bin_['accuracy'])} {axes[1]}"
            )
            at = plane.at(bin_["confidence"], bin_["accuracy"])
            drawing.add_dot(at, kind, radius=3 + 7 * (bin_["articles"] / most) ** 0.5, tooltip=tooltip)
    return drawing


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], *, title: str) -> Drawing:
    """Draw shares with their intervals: a row for each name, and its dots below each other."""
    lowest = min((dot.low for _, row in rows for dot in row), default=0.0)
    axis = Axis("", max(0.0, min(0.9, int(lowest * 10) / 10)), 1.0, percent)
    left, right, row_height = 190.0, WIDTH + 200, 30.0
    drawing = Drawing(right, row_height * len(rows) + 40, role="img", aria_label=title)

    def across(share: float) -> float:
        return left + axis.position(max(share, axis.low)) * (right - left - RIGHT)

    for step in axis.steps():
        drawing.add_line((across(step), 6.0), (across(step), drawing.height - 26), "grid")
        drawing.add_text(percent(step), (across(step), drawing.height - 8))
    for number, (name, row) in enumerate(rows):
        middle = 20 + number * row_height
        drawing.add_text(_shorten(name), (left - 10, middle + 4), "end", tooltip=name)
        for index, dot in enumerate(row):
            y = middle + (index - (len(row) - 1) / 2) * 9
            tooltip = f"{dot.name}: {percent(dot.value)} ({percent(dot.low)} to {percent(dot.high)})"
            drawing.add_line((across(dot.low), y), (across(dot.high), y), f"bar {dot.colour}")
            drawing.add_dot((across(dot.value), y), dot.colour, tooltip=tooltip)
    return drawing


def columns(values: Sequence[tuple[str, str, float]], *, title: str) -> Drawing:
    """Draw a column for each (label, tooltip, count); labels at every seventh column, the last one included."""
    left, bottom, top = 48.0, 24.0, 10.0
    drawing = Drawing(720.0, 190.0, role="img", aria_label=title)
    axis = Axis.from_zero("", [5, *(count for _, _, count in values)], abbreviate)
    plane_height, step = drawing.height - bottom - top, (drawing.width - left) / max(1, len(values))
    for value in axis.steps():
        level = drawing.height - bottom - axis.position(value) * plane_height
        drawing.add_line((left, level), (drawing.width, level), "grid")
        drawing.add_text(axis.form(value), (left - 8, level + 4), "end")
    for number, (label, tooltip, count) in enumerate(values):
        x, height = left + number * step, axis.position(count) * plane_height
        drawing.add("rect", x=x, y=top, width=step, height=plane_height, class_="touch", tooltip=tooltip)
        y = drawing.height - bottom - height
        drawing.add("rect", x=x + 0.15 * step, y=y, width=0.7 * step, height=height, class_="day")
        if (len(values) - 1 - number) % 7 == 0:
            drawing.add_text(label, (x + step, drawing.height - 6), "end")
    return drawing


def bar(value: float, largest: float, part: float = 0.0) -> Drawing:
    """Draw a value as a bar, relative to the largest one; `part` of it has another colour."""
    drawing = Drawing(100, 8, preserveAspectRatio="none", class_="bars", aria_hidden="true")
    for number, kind in ((value, "whole"), (part, "part")):
        drawing.add("rect", x=0.0, y=0.0, width=100 * number / max(largest, 1), height=8.0, class_=kind)
    return drawing


def standalone(drawings: Sequence[Drawing], *, title: str, names: Iterable[str]) -> str:
    """Return an SVG document that needs no style sheet: drawings next to each other, and a legend with colours."""
    top = 40.0
    size = f"0 0 {sum(drawing.width for drawing in drawings):.0f} {top + max(d.height for d in drawings):.0f}"
    document = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": size})
    SubElement(document, "style").text = _STANDALONE_STYLE
    SubElement(document, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    SubElement(document, "text", _attributes({"x": LEFT, "y": 20, "style": "font-size: 14px"})).text = title
    lefts = [0.0]
    for drawing in drawings:
        drawing.root.attrib |= _attributes({"x": lefts[-1], "y": top, "width": drawing.width, "height": drawing.height})
        document.append(drawing.root)
        lefts.append(lefts[-1] + drawing.width)
    for number, (colour, name) in enumerate(zip(COLOURS, names, strict=False)):
        at = {"x": lefts[-2] + LEFT + 90 * number, "y": top - 4, "class": colour}
        SubElement(document, "text", _attributes(at)).text = name
    return tostring(document, encoding="unicode") + "\n"


def percent(share: float) -> str:
    """Return a share as a percentage with one digit, or none if it is 0."""
    return f"{100 * share:.1f}".rstrip("0").rstrip(".") + " %"


def abbreviate(value: float) -> str:
    """Return a count in three or four characters: 950, 12k, 3.4M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def round_up(value: float) -> float:
    """Return the smallest end of an axis from 0 whose five steps are round numbers."""
    step = max(value, 1e-9) / GRID_STEPS
    size = 10.0 ** math.floor(math.log10(step))
    return GRID_STEPS * size * next(number for number in (1, 2, 2.5, 5, 10) if number * size >= step * 0.999_999)


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _attributes(values: Mapping[str, object]) -> dict[str, str]:
    return {
        name.rstrip("_").replace("_", "-"): f"{value:.2f}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }
