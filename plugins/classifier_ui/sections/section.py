"""What a section is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: `read` runs in a thread and returns what the template gets as `data`.

    It shows results of `dag`, to users who may see that DAG. It may be `fresh_s` old before it is read again; a `live`
    one is fetched that often while the page is open.
    """

    name: str
    title: str
    read: Callable[[Workspace], Any]
    dag: str
    fresh_s: float
    live: bool = False
