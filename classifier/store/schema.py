"""The version of the database's tables: upgrade and check it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from classifier.exceptions import DatabaseNotMigratedError
from classifier.store import urls

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK_NOT_AVAILABLE = "55P03"


def upgrade(connection: Connection) -> str:
    """Run the missing migrations, and return the resulting version of the tables.

    Raises:
        DatabaseNotMigratedError: another session holds a lock on the tables, or they are newer than this code.
    """
    _refuse_newer(MigrationContext.configure(connection).get_current_revision())
    connection.rollback()  # Alembic would leave an open transaction to the caller, and not commit it
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
            raise DatabaseNotMigratedError(
                "another session holds a lock on the tables; nothing was changed; run again: classifier db upgrade"
            ) from error
        raise
    return head()


def head() -> str:
    """Return the version that this code requires."""
    revision = scripts().get_current_head()
    assert revision is not None
    return revision


def check(connection: Connection) -> None:
    """Raise `DatabaseNotMigratedError` unless the tables have the version that this code requires."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current != head():
        _refuse_newer(current)
        state = f"version {current}" if current else "no tables of the classifier"
        address = urls.redacted(connection.engine.url)
        raise DatabaseNotMigratedError(
            f"{address}: the database has {state}; it must have {head()}; run: classifier db upgrade"
        )


def scripts() -> ScriptDirectory:
    """Return the migrations, whose modules define tables and views."""
    return ScriptDirectory.from_config(_config())


def _refuse_newer(current: str | None) -> None:
    versions = {script.revision for script in scripts().walk_revisions()}
    if current is not None and current not in versions:
        raise DatabaseNotMigratedError(
            f"the database has version {current}, which is newer than this code; update the code"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
