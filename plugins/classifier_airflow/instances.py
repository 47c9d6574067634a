"""The instances of the classifier in one Airflow. Each has its own database, folders, DAGs, assets, pool and pages.

The instance without a name has the names that the documents use. The names of another instance begin with its own: the
DAG `news_ingest_articles`, the pool `news_gpu`, the connection `news_articles`.

A task finds its instance by the DAG that it runs in, and a page by its address. So nothing between them passes it on.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier import settings
from classifier.exceptions import SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from classifier.settings import Settings

INGEST, RETRAIN, LABEL = "ingest_articles", "retrain_classifier", "label_articles"
REVIEW, DRIFT = "review_articles", "watch_classifier"

DAGS = (INGEST, RETRAIN, LABEL, REVIEW, DRIFT)
"""The DAGs of each instance, by the names that they have without an instance's name."""

UNNAMED = "default"
"""What CLASSIFIER_INSTANCES calls the instance without a name."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance; `connection` is the Airflow connection of its database, if it is not the one of the settings.

    Raises:
        SettingsError: the name is not made of lower-case letters, digits and single underscores.
    """

    name: str = ""
    connection: str | None = None

    def __post_init__(self) -> None:
        if self.name and (not _NAME.fullmatch(self.name) or self.name == UNNAMED):
            raise SettingsError(
                f"instance {self.name!r}: a name must be of lower-case letters, digits and single underscores, "
                f"and not {UNNAMED!r}; choose one such as 'news'"
            )

    def prefixed(self, name: str) -> str:
        """Return what a DAG, an asset, a pool or a connection is called in this instance."""
        return f"{self.name}_{name}" if self.name else name

    def dag_of(self, dag_id: str) -> str | None:
        """Return the name in `DAGS` of a DAG of this instance; None for any other DAG."""
        return next((name for name in DAGS if self.prefixed(name) == dag_id), None)

    @property
    def settings(self) -> Settings:
        """The settings: those of every instance, and the instance's own."""
        return settings.load(self.name)

    @property
    def connection_id(self) -> str:
        """The Airflow connection of the articles' database."""
        return self.connection or self.settings.connection or self.prefixed("articles")

    @property
    def articles(self) -> Asset:
        """The asset that is updated if new or changed articles are in the database."""
        from classifier_airflow import assets

        return assets.articles(self.name)

    @property
    def champion(self) -> Asset:
        """The asset that is updated if a model has been promoted."""
        from classifier_airflow import assets

        return assets.champion(self.name)


_of_request: ContextVar[Instance | None] = ContextVar("instance", default=None)
_of_dags: dict[str, Instance] = {}
"""The instances whose DAGs this process has created: a process that runs a task creates the task's DAG before."""


def add(instance: Instance) -> None:
    """Register an instance whose DAGs are created."""
    _of_dags.update({instance.prefixed(name): instance for name in DAGS})


def use(instance: Instance) -> None:
    """Make an instance the current one of the present request."""
    _of_request.set(instance)


def current() -> Instance:
    """Return the instance of the present request or of the running task; else the one without a name."""
    from airflow.sdk import get_current_context

    if instance := _of_request.get():
        return instance
    try:
        dag_id = get_current_context()["dag"].dag_id
    except (RuntimeError, KeyError):  # no task is running
        return Instance()
    return _of_dags.get(dag_id, Instance())


def served() -> tuple[Instance, ...]:
    """Return the instances that have pages: those of the setting CLASSIFIER_INSTANCES.

    Raises:
        SettingsError: a name is invalid.
    """
    names = [name.strip() for name in settings.load().instances.split(",")]
    return tuple(Instance("" if name == UNNAMED else name) for name in dict.fromkeys(names) if name) or (Instance(),)
