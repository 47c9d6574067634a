"""What every use case needs: the database and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from classifier import embedded_postgres
from classifier.articles import Task
from classifier.settings import Settings
from classifier.store import connections, model_rows, task_rows
from classifier.store.task_rows import TaskChoice


@dataclass(frozen=True, slots=True)
class Workspace:
    """An engine for the database, the settings, and the task.

    The engine's connections know the task, and the directory of the models, because the database stores only artefacts'
    names. The task is looked up when it is first needed; a workspace without a named task has the only one there is.
    """

    database: Engine
    settings: Settings
    choice: TaskChoice = field(default_factory=TaskChoice)

    def __post_init__(self) -> None:
        options = {model_rows.MODELS_OPTION: self.settings.models_directory, task_rows.TASK_OPTION: self.choice}
        object.__setattr__(self, "database", self.database.execution_options(**options))

    @property
    def task(self) -> Task:
        """The task.

        Raises:
            TaskError: there is no such task, or there are several and none was named.
        """
        with self.database.connect() as connection:
            return task_rows.current(connection)

    def with_task(self, task: str | int | None) -> Workspace:
        """Return a workspace on the same database for the task of a name or an id; None is the only one there is."""
        return Workspace(self.database, self.settings, TaskChoice(task))

    @property
    def models(self) -> Path:
        """The directory that artefacts are written to."""
        return self.settings.models_directory


def open_workspace(
    settings: Settings,
    *,
    database_url: str | None = None,
    max_connections: int | None = None,
    create: bool = False,
    task: str | int | None = None,
) -> Workspace:
    """Return a workspace for `database_url`, else for the URL of the settings, else for the embedded Postgres.

    `task` is the name or the id of its task; by default, it has the only task that there is.

    With `max_connections`, that many connections are open at most, and waiting for one is limited to the time limit of
    a statement. Only with `create`, the embedded Postgres is created if it does not exist.

    Raises:
        SettingsError: the URL cannot be used.
        DatabaseNotMigratedError: there is no embedded Postgres yet, and `create` is not set.
        DatabaseUnavailableError: the embedded Postgres does not start.
    """
    url = database_url or settings.database_url
    if url is None:
        url = embedded_postgres.start(settings.postgres_directory, "articles", create=create)["articles"]
    engine = connections.connect(url, statement_timeout_s=settings.statement_timeout_s, max_connections=max_connections)
    return Workspace(engine, settings, TaskChoice(task))
