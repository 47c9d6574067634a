"""Open the database, and say in one line what is wrong when it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from classifier.exceptions import (
    DatabaseNotMigratedError,
    DatabaseRightsError,
    DatabaseUnavailableError,
    SettingsError,
    StatementTimeoutError,
)
from classifier.store import queries, urls

_UNDEFINED_TABLE, _UNDEFINED_COLUMN, _INSUFFICIENT_PRIVILEGE = "42P01", "42703", "42501"
_CANCELED = "57014"
_LIMIT = "statement_timeout_s"
_WANTED = "use postgresql+psycopg2://USER@HOST/DATABASE"


class Cursor(extensions.cursor):  # type: ignore[misc]
    """A cursor that raises `_plain` errors."""

    def execute(self, *args: Any) -> None:
        """Run a statement."""
        with _plain():
            super().execute(*args)

    def fetchmany(self, *args: Any) -> Any:
        """Return some rows, which a cursor on the server's side asks for."""
        with _plain():
            return super().fetchmany(*args)

    def copy_expert(self, *args: Any) -> None:
        """Run a COPY."""
        with _plain():
            super().copy_expert(*args)


class DriverConnection(extensions.connection):  # type: ignore[misc]
    """A connection that raises `_plain` errors."""

    def commit(self) -> None:
        """Keep what the transaction did."""
        with _plain():
            super().commit()

    def rollback(self) -> None:
        """Undo what the transaction did."""
        with _plain():
            super().rollback()


@contextmanager
def _plain() -> Iterator[None]:
    """Keep of an error Postgres' first line alone, and call a lost connection an OperationalError.

    The DETAIL and CONTEXT below the first line quote rows, and so texts. When the server crashes, it is chance
    whether psycopg2 notices that the connection is gone; where it does not, it raises a bare DatabaseError.
    """
    try:
        yield
    except psycopg2.Error as error:
        if type(error) is psycopg2.DatabaseError and error.pgcode is None:
            raise psycopg2.OperationalError(*error.args) from error
        if error.diag.message_primary:
            error.args = (error.diag.message_primary,)
        raise


def connect(
    url: str, *, statement_timeout_s: float = 300, connect_timeout_s: int = 10, at_most: int | None = None
) -> Engine:
    """Return an engine on a `postgresql+psycopg2://` URL. Nothing is opened yet.

    With `at_most` so many connections are open at once, and nobody waits longer than a statement may take: not for
    a connection, and not for a server that has gone without a word.

    Raises:
        SettingsError: the URL is of another kind.
    """
    try:
        parsed = urls.parse(url)
    except ArgumentError as error:
        raise SettingsError(f"CLASSIFIER_DATABASE_URL: {error}; {_WANTED}") from error
    if parsed.drivername != "postgresql+psycopg2":
        raise SettingsError(f"CLASSIFIER_DATABASE_URL: driver {parsed.drivername!r}; {_WANTED}")
    bounds: dict[str, Any] = {}
    defaults: dict[str, Any] = {"application_name": "article-classifier"}
    if at_most is not None:
        bounds = {"pool_size": at_most, "max_overflow": 0, "pool_timeout": statement_timeout_s}
        connect_timeout_s = min(connect_timeout_s, max(2, round(statement_timeout_s)))
        defaults |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 10_000}
    arguments = urls.not_given(parsed, defaults | {"connect_timeout": connect_timeout_s})
    if at_most is not None:
        arguments["connect_timeout"] = connect_timeout_s
    ours = f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC"
    return create_engine(
        parsed,
        **bounds,
        pool_pre_ping=True,
        execution_options={_LIMIT: statement_timeout_s},
        hide_parameters=True,  # an error's text would otherwise carry the articles' text
        connect_args={
            **arguments,
            "connection_factory": DriverConnection,
            "cursor_factory": Cursor,
            "options": urls.session_options(parsed, ours),
        },
    )


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn a database that is down, slow or not migrated into the user's error, with the address in it."""
    address = urls.shown(engine.url)
    try:
        yield
    except ProgrammingError as error:
        if "invalid dsn" in str(error.orig):
            raise SettingsError(f"CLASSIFIER_DATABASE_URL: {' '.join(str(error.orig).split())}") from error
        code = getattr(error.orig, "pgcode", None)
        if code == _INSUFFICIENT_PRIVILEGE:
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseRightsError(
                f"{address}: {reason}; use a role that may: docs/explanation/security.md"
            ) from error
        if code in {_UNDEFINED_TABLE, _UNDEFINED_COLUMN}:
            raise DatabaseNotMigratedError(
                f"{address}: the tables are not there yet; run: classifier db upgrade"
            ) from error
        raise
    except OperationalError as error:
        if error.orig is not None and getattr(error.orig, "pgcode", None) is None:
            reason = " ".join(str(error.orig).split())
            what = "lets nobody in" if "FATAL:" in reason else "does not answer"
            raise DatabaseUnavailableError(f"{address}: the database {what} ({reason})") from error
        if getattr(error.orig, "pgcode", None) == _CANCELED:
            raise StatementTimeoutError(f"{address}: {_canceled(engine, error)}") from error
        raise


def _canceled(engine: Engine, error: OperationalError) -> str:
    """Return which statement the server cancelled, why, and what to do."""
    name = queries.describe(error.statement or "COPY")
    if "user request" in str(error.orig):
        return f"an administrator cancelled the statement {name}; run the same command again"
    limit = engine.get_execution_options().get(_LIMIT, 0)
    return (
        f"the statement {name} took longer than its limit of {limit:g} s; run the same command again when the database "
        "is less busy, or raise CLASSIFIER_STATEMENT_TIMEOUT_S (of the page in Airflow: CLASSIFIER_PAGE_TIMEOUT_S)"
    )
