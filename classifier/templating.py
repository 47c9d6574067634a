"""The environment of the HTML templates of evaluation pages and of Airflow's UI, which escapes every value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from classifier.charts import percent


def create_environment(folder: Path) -> Environment:
    """Return an environment with the templates of a folder and the filters of this module."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "score": score, "interval": interval, "percent": percent}
    return environment


def count(value: float | None) -> str:
    """Return a whole number with a separator between thousands; "-" for None."""
    return "-" if value is None else f"{value:,.0f}"


def score(value: float | None) -> str:
    """Return a share with four digits, as the command line prints it; "-" for None."""
    return "-" if value is None else f"{value:.4f}"


def interval(ends: Sequence[float]) -> str:
    """Return an interval of shares with four digits."""
    return f"{ends[0]:.4f} to {ends[1]:.4f}"
