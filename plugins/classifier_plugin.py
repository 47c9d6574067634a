"""Add the classifier's pages to Airflow's UI, and a tab to each run of its DAGs.

Every process of Airflow imports this file, but only the API server serves the pages. So the application is imported at
the first request.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/classifier"


@cache
def application() -> Any:
    """Return the application that serves the pages."""
    from classifier_ui.app import create

    return create()


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """Serve an ASGI request."""
    await application()(scope, receive, send)


BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + PREFIX


class ClassifierPlugin(AirflowPlugin):
    """The pages and their entries in Airflow's UI."""

    name = "classifier"
    fastapi_apps = [{"app": serve, "url_prefix": PREFIX, "name": "classifier"}]  # noqa: RUF012 - Airflow reads it
    external_views = [  # noqa: RUF012
        # without the slash at the end, Airflow's own page would be served
        {
            "name": "Classifier",
            "href": f"{BASE}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "classifier",
        },
        {
            "name": "Classifier",
            "href": f"{BASE}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "classifier-run",
        },
    ]
