"""The environment of the HTML templates of evaluation pages and of Airflow's UI, which escapes every value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

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
    environment.filters |= {
        "count": count,
        "score": score,
        "interval": interval,
        "percent": percent,
        "web_link": web_link,
    }
    return environment


def web_link(address: str | None) -> str | None:
    """Return an address that a page may link to; None for others, since a javascript: address would run as a script."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme in {"http", "https"} and parts.netloc else None


def count(value: float | None) -> str:
    """Return a whole number with a separator between thousands; "-" for None."""
    return "-" if value is None else f"{value:,.0f}"


def score(value: float | None) -> str:
    """Return a share with four digits, as the command line prints it; "-" for None."""
    return "-" if value is None else f"{value:.4f}"


def interval(ends: Sequence[float]) -> str:
    """Return an interval of shares with four digits."""
    return f"{ends[0]:.4f} to {ends[1]:.4f}"
