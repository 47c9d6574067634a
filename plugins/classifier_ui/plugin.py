"""Add the classifier's pages to Airflow's UI, and a tab to each run of its DAGs.

Every process of Airflow imports this module, but only the API server serves the pages. So an application is imported at
its first request.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from classifier_airflow import instances
from classifier_airflow.instances import Instance

from classifier.exceptions import SettingsError

log = logging.getLogger(__name__)

PREFIX = "/classifier"

BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
"""The path under which a proxy shows Airflow; empty if it shows Airflow at the top."""


class Pages:
    """The ASGI application of an instance's pages."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @property
    def path(self) -> str:
        """The path of the pages, below Airflow's."""
        return f"{PREFIX}-{self.instance.name}" if self.instance.name else PREFIX

    @cached_property
    def application(self) -> Any:
        """The application that serves the pages."""
        from classifier_ui.app import create

        return create()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve an ASGI request.

        The path must begin with that of Airflow, which a proxy may have removed: routes below a mount are not found
        otherwise.
        """
        instances.use(self.instance)
        before = scope.get("root_path", "").removesuffix(self.path)
        if before and not scope["path"].startswith(f"{before}/"):
            scope = {**scope, "path": before + scope["path"]}
        await self.application(scope, receive, send)


def _served() -> tuple[Instance, ...]:
    """Return the instances that have pages; only the one without a name if the setting is wrong.

    An error here would remove the plugin from every process of Airflow.
    """
    try:
        return instances.served()
    except SettingsError as error:
        log.error("only the pages of the instance without a name are shown: %s", error)  # noqa: TRY400 - a traceback adds nothing
        return (Instance(),)


ALL_PAGES = tuple(Pages(instance) for instance in _served())


def pages_of(dag_id: str) -> Pages | None:
    """Return the pages of the instance that has a DAG; None if it is the current instance, or none has it."""
    if instances.current().dag_of(dag_id):
        return None
    return next((pages for pages in ALL_PAGES if pages.instance.dag_of(dag_id)), None)


def _menu_entry(pages: Pages) -> dict[str, str]:
    name = pages.instance.name
    return {
        "name": f"Classifier: {name}" if name else "Classifier",
        "href": f"{BASE}{pages.path}/",  # without the slash at the end, Airflow's own page would be served
        "destination": "nav",
        "category": "browse",
        "url_route": pages.path.removeprefix("/"),
    }


class ClassifierPlugin(AirflowPlugin):
    """The pages of each instance, and their entries in Airflow's UI."""

    name = "classifier"
    fastapi_apps = [  # noqa: RUF012 - Airflow reads it
        {"app": pages, "url_prefix": pages.path, "name": pages.path.removeprefix("/")} for pages in ALL_PAGES
    ]
    external_views = [  # noqa: RUF012
        *map(_menu_entry, ALL_PAGES),
        {
            "name": "Classifier",
            # if the run is one of another instance, the page redirects to that one's
            "href": f"{BASE}{ALL_PAGES[0].path}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "classifier-run",
        },
    ]
