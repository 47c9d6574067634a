"""What every use case needs: the database and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from classifier import embedded_postgres
from classifier.settings import Settings
from classifier.store import connections, model_rows


@dataclass(frozen=True, slots=True)
class Workspace:
    """An engine for the database, and the settings.

    The engine's connections know the directory of the models, because the database stores only artefacts' names.
    """

    database: Engine
    settings: Settings

    def __post_init__(self) -> None:
        options = {model_rows.MODELS_OPTION: self.settings.models_directory}
        object.__setattr__(self, "database", self.database.execution_options(**options))

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
) -> Workspace:
    """Return a workspace for `database_url`, else for the URL of the settings, else for the embedded Postgres.

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
    return Workspace(engine, settings)
