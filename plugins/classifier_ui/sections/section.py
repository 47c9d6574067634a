"""The type of a section."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: `read` runs in a thread, and the template gets its result as `data`.

    It shows results of `dag` to users who may read that DAG. Its data may be `fresh_s` old before they are read again;
    while the page is open, a `live` section is fetched that often.
    """

    name: str
    title: str
    read: Callable[[Workspace], Any]
    dag: str
    fresh_s: float
    live: bool = False
