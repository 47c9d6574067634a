"""Turn what was read into HTML. Everything is escaped unless it is markup of our own making."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from classifier.evaluation import page
from classifier.evaluation.page import html
from classifier_ui import charts
from classifier_ui.sections import PAGES

HERE = Path(__file__).parent

RENDERERS = 2
_renderers = CapacityLimiter(RENDERERS)

TYPES = {".css": "text/css", ".js": "text/javascript"}


@cache
def static_files() -> dict[str, bytes]:
    """Return the style sheets and scripts by name: ours, and the style sheet of the evaluations."""
    report = Path(page.__file__).with_name("style.css")
    return {path.name: path.read_bytes() for path in (HERE / "static").iterdir()} | {"report.css": report.read_bytes()}


@cache
def version() -> str:
    """Return what changes with the static files, so that browsers need not ask for them again."""
    return hashlib.sha256(b"".join(static_files()[name] for name in sorted(static_files()))).hexdigest()[:12]


def render(template: str, **values: Any) -> str:
    """Return a template with its values. In a route, `in_thread` does it."""
    return _environment().get_template(template).render(**values)


async def in_thread(template: str, **values: Any) -> str:
    """Return a template with its values, without keeping the event loop of Airflow's API server from its work.

    Few threads of the page's own do it: many requests at once wait for each other, and Airflow's routes do not.
    """
    return await to_thread.run_sync(partial(render, template, **values), limiter=_renderers)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"charts": charts, "evaluation": html, "pages": PAGES, "version": version()}
    found.filters |= {one.__name__: one for one in (count, score, interval, rate, span, moment, clock, share)}
    return found


def count(value: float | None) -> str:
    """Write a whole number with its thousands apart."""
    return "-" if value is None else f"{value:,.0f}"


def score(value: float | None) -> str:
    """Write a share with four digits, as the command line does."""
    return "-" if value is None else f"{value:.4f}"


def interval(value: tuple[float, float]) -> str:
    """Write an interval."""
    return f"{value[0]:.4f} to {value[1]:.4f}"


def share(value: float | None) -> str:
    """Write a share as a percentage."""
    return "-" if value is None else f"{value:.1%}".replace("%", " %")


def rate(value: float | None) -> str:
    """Write articles a second, with a digit more where they are few."""
    return "-" if not value else f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def span(seconds: float | None) -> str:
    """Write a length of time with its two largest units."""
    if seconds is None:
        return "-"
    for size, unit, smaller, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} {seconds % size // smaller:.0f} {part}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def moment(value: datetime | None) -> str:
    """Write a time to the minute, in UTC."""
    return "-" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def clock(at: float) -> str:
    """Write a time of `time.time` to the second, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
