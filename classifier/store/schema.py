"""Bring the database's tables to the version of this code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from classifier.exceptions import DatabaseNotMigratedError

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> str:
    """Run every migration that is missing, and return the version that the tables have then."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return head()


def head() -> str:
    """Return the version that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def check(connection: Connection) -> None:
    """Raise `DatabaseNotMigratedError` unless the tables have the version that this code needs."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current != head():
        state = f"version {current}" if current else "no tables of ours"
        raise DatabaseNotMigratedError(f"the database has {state}, {head()} is needed; run: classifier db upgrade")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
