"""What every use case needs: the database and the folder of the artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from classifier import embedded_postgres
from classifier.settings import Settings
from classifier.store import connections


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open database and the settings beside it."""

    database: Engine
    settings: Settings

    @property
    def models(self) -> Path:
        """The folder that artefacts are written to."""
        return self.settings.models_directory


def open_workspace(settings: Settings, *, database_url: str | None = None, at_most: int | None = None) -> Workspace:
    """Connect to `database_url`, else to the settings' one, else to the embedded Postgres.

    With `at_most` so many connections are open at once, and none is waited for longer than a statement.

    Raises:
        SettingsError: the URL cannot be used.
        DatabaseUnavailableError: the embedded Postgres does not start.
    """
    url = database_url or settings.database_url
    if url is None:
        url = embedded_postgres.start(settings.postgres_directory, "articles")["articles"]
    engine = connections.connect(url, statement_timeout_s=settings.statement_timeout_s, at_most=at_most)
    return Workspace(engine, settings)
