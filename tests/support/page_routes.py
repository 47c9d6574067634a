"""The routes of the classifier's page in Airflow, and the roles that tests request them with."""

from __future__ import annotations

import re
from typing import Any

ROLES = ("anonymous", "viewer", "user", "admin")
"""Roles of Airflow's auth manager; `anonymous` has not logged in."""

PATH_VALUES = {"name": "backlog", "dag": "label_articles", "run_id": "manual__1", "model": "m1", "article": "1"}
"""A value for every parameter of the routes' paths."""

FORMS = {
    "to": "m9",
    "model": "m9",
    "reason": "because of the test",
    "article": "1",
    "revision": "1",
    "category": "a",
    "change": "retire",
    "names": "no such category",
}
"""A value for every field of the page's forms."""


def routes(app: Any) -> list[tuple[str, str, str]]:
    """Return the method of each route of the page, the route, and a path that matches it."""
    result = []
    for route in app.routes:
        (method,) = route.methods - {"HEAD"}
        path = re.sub(r"\{(\w+)(:path)?\}", lambda match: PATH_VALUES[match[1]], route.path)
        result.append((method, route.path, path))
    return result
