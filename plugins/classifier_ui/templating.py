"""Render the pages from their templates, which escape every value."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from classifier_airflow import instances
from jinja2 import Environment

from classifier import templating
from classifier.charts import STYLE_SHEET
from classifier.evaluation.page import html
from classifier.plurals import plural
from classifier_ui import charts, shown_task
from classifier_ui.sections import PAGES

HERE = Path(__file__).parent

RENDERERS = 2
_renderers = CapacityLimiter(RENDERERS)

TYPES = {".css": "text/css", ".js": "text/javascript"}

SHARED = {"charts.css": STYLE_SHEET, "evaluation.css": html.STYLE_SHEETS[-1]}
"""The library's style sheets that the pages use too."""


@cache
def static_files() -> dict[str, bytes]:
    """Return the style sheets and scripts by name."""
    own = {path.name: path.read_bytes() for path in (HERE / "static").iterdir()}
    return own | {name: path.read_bytes() for name, path in SHARED.items()}


@cache
def version() -> str:
    """Return a hash of the static files, so that browsers can cache each version forever."""
    return hashlib.sha256(b"".join(static_files()[name] for name in sorted(static_files()))).hexdigest()[:12]


def render(template: str, **values: Any) -> str:
    """Return a template filled with values. A route must call `render_in_thread`.

    `root` is the pages' path. The links below it stay with the task that the request shows.
    """
    page = _environment().get_template(template).render(**values)
    return shown_task.add_to_links(page, str(values.get("root", "")))


async def render_in_thread(template: str, **values: Any) -> str:
    """Return a template filled with values, without blocking the event loop of Airflow's API server.

    The pages have few threads of their own. So many requests at once wait for each other, and Airflow's own routes
    do not wait.
    """
    return await to_thread.run_sync(partial(render, template, **values), limiter=_renderers)


@cache
def _environment() -> Environment:
    environment = templating.create_environment(HERE / "templates")
    environment.globals |= {"charts": charts, "evaluation": html, "pages": PAGES, "version": version()}
    environment.globals |= {"shown_task": shown_task.current, "task_query": shown_task.query_of}
    environment.globals |= {"named": lambda name: instances.current().prefixed(name)}
    environment.filters |= {
        "rate": rate,
        "span": span,
        "moment": moment,
        "clock": clock,
        "share": share,
        "plural": plural,
        "signed": signed,
    }
    return environment


def share(value: float | None) -> str:
    """Return a share as a percentage with one digit; "-" for None."""
    return "-" if value is None else f"{value:.1%}".replace("%", " %")


def signed(value: float) -> str:
    """Return a figure with its sign and two digits."""
    return f"{value:+.2f}".replace("-", "\u2212")


def rate(value: float | None) -> str:
    """Return articles a second, with more digits if they are few; "-" for 0 and None."""
    return "-" if not value else f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def span(seconds: float | None) -> str:
    """Return a duration in its two largest units; "-" for None."""
    if seconds is None:
        return "-"
    for size, unit, smaller, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} {seconds % size // smaller:.0f} {small_unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def moment(value: datetime | None) -> str:
    """Return a time to the minute, in UTC; "-" for None."""
    return "-" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def clock(at: float) -> str:
    """Return a time of `time.time` to the second, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
