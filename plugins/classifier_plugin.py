"""Put the classifier's page into Airflow's UI, and a tab on each run of its DAGs.

Every process of Airflow imports this file, and only the API server serves the page: so the page itself is
imported when it is first asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/classifier"


@cache
def page() -> Any:
    """Return the page's application."""
    from classifier_ui.app import create

    return create()


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request, in the form of ASGI."""
    await page()(scope, receive, send)


BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + PREFIX


class ClassifierPlugin(AirflowPlugin):
    """The page and its places in Airflow's UI."""

    name = "classifier"
    fastapi_apps = [{"app": serve, "url_prefix": PREFIX, "name": "classifier"}]  # noqa: RUF012 - Airflow reads it
    external_views = [  # noqa: RUF012
        # without the slash at the end, Airflow's own page would answer
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
