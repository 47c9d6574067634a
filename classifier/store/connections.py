"""Connect to the database, and translate its errors into one-line errors for users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from classifier.exceptions import (
    DatabaseEncodingError,
    DatabaseNotMigratedError,
    DatabaseRightsError,
    DatabaseUnavailableError,
    SettingsError,
    StatementTimeoutError,
)
from classifier.store import queries, urls

_UNDEFINED_TABLE, _UNDEFINED_COLUMN, _INSUFFICIENT_PRIVILEGE = "42P01", "42703", "42501"
_CANCELED, _DISK_FULL = "57014", "53100"
_TIMEOUT_OPTION = "statement_timeout_s"
_EXPECTED_URL = "use postgresql+psycopg2://USER@HOST/DATABASE"


_open_connections: WeakSet[Any] = WeakSet()


def cancel_statements() -> None:
    """Ask the server to cancel the statements of this process' connections. Any thread may call this."""
    for connection in list(_open_connections):
        with suppress(psycopg2.Error):
            connection.cancel()


class Cursor(extensions.cursor):  # type: ignore[misc]
    """A cursor whose errors quote no rows."""

    def execute(self, *args: Any) -> None:
        """Execute a statement."""
        with _without_rows():
            super().execute(*args)

    def fetchmany(self, *args: Any) -> Any:
        """Return the next rows, which a server-side cursor fetches."""
        with _without_rows():
            return super().fetchmany(*args)

    def copy_expert(self, *args: Any) -> None:
        """Execute a COPY."""
        with _without_rows():
            super().copy_expert(*args)


class DriverConnection(extensions.connection):  # type: ignore[misc]
    """A connection whose errors quote no rows, and whose statement `cancel_statements` cancels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open the connection."""
        super().__init__(*args, **kwargs)
        _open_connections.add(self)

    def commit(self) -> None:
        """Commit the transaction."""
        with _without_rows():
            super().commit()

    def rollback(self) -> None:
        """Roll the transaction back."""
        with _without_rows():
            super().rollback()


@contextmanager
def _without_rows() -> Iterator[None]:
    """Reduce an error to Postgres' first line, and raise a lost connection as an OperationalError.

    The DETAIL and CONTEXT below the first line quote rows, and so texts. When the server crashes, psycopg2 may not
    notice that the connection is lost, and raises a DatabaseError without a code.
    """
    try:
        yield
    except psycopg2.Error as error:
        if type(error) is psycopg2.DatabaseError and error.pgcode is None:
            raise psycopg2.OperationalError(*error.args) from error
        if error.diag.message_primary:
            error.args = (error.diag.message_primary,)
        raise


def disable_idle_timeout(connection: Connection) -> None:
    """Prevent the server from ending this transaction because it idles, while a source is slow or a model computes."""
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))


def connect(
    url: str, *, statement_timeout_s: float = 300, connect_timeout_s: int = 10, max_connections: int | None = None
) -> Engine:
    """Return an engine for a `postgresql+psycopg2://` URL, without opening a connection yet.

    With `max_connections`, that many connections are open at most, and waiting is limited to `statement_timeout_s`:
    for a connection, and for a server that no longer responds. Connections are UTF-8, whatever the environment says,
    and opening one raises a `DatabaseEncodingError` if the database has another encoding.

    Raises:
        SettingsError: the URL has another form.
    """
    try:
        parsed = urls.parse(url)
    except ArgumentError as error:
        raise SettingsError(f"CLASSIFIER_DATABASE_URL: {error}; {_EXPECTED_URL}") from error
    if parsed.drivername != "postgresql+psycopg2":
        raise SettingsError(f"CLASSIFIER_DATABASE_URL: driver {parsed.drivername!r}; {_EXPECTED_URL}")
    pool: dict[str, Any] = {}
    defaults: dict[str, Any] = {"application_name": "article-classifier"}
    if max_connections is not None:
        pool = {"pool_size": max_connections, "max_overflow": 0, "pool_timeout": statement_timeout_s}
        connect_timeout_s = min(connect_timeout_s, max(2, round(statement_timeout_s)))
        defaults |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 10_000}
    arguments = urls.missing_options(parsed, defaults | {"connect_timeout": connect_timeout_s})
    if max_connections is not None:
        arguments["connect_timeout"] = connect_timeout_s
    session = f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC"
    engine = create_engine(
        parsed,
        **pool,
        pool_pre_ping=True,
        execution_options={_TIMEOUT_OPTION: statement_timeout_s},
        hide_parameters=True,  # an error's message would otherwise contain the articles' text
        connect_args={
            **arguments,
            **urls.UTF8,
            "connection_factory": DriverConnection,
            "cursor_factory": Cursor,
            "options": urls.session_options(parsed, session),
        },
    )
    _require_utf8(engine)
    return engine


def _require_utf8(engine: Engine) -> None:
    """Refuse a database of another encoding at the first connection: it cannot store every text, or stores any bytes.

    The server reports its encoding when a connection is opened, so this sends no statement.
    """

    @event.listens_for(engine, "connect")
    def check(connection: Any, _: Any) -> None:
        encoding = connection.get_parameter_status("server_encoding")
        if encoding not in {None, "UTF8"}:
            raise DatabaseEncodingError(
                f"{urls.redacted(engine.url)}: the database has the encoding {encoding}, but must have UTF8; "
                "create another: CREATE DATABASE articles ENCODING 'UTF8' TEMPLATE template0"
            )


@contextmanager
def translate_errors(engine: Engine) -> Iterator[None]:
    """Raise an error with the database's address if the database is down, slow or not migrated.

    Raises:
        DatabaseUnavailableError: the database does not answer, refuses the connection, or its disk is full.
        DatabaseNotMigratedError: a table or column is missing.
        DatabaseRightsError: the role lacks a right.
        StatementTimeoutError: a statement exceeded its time limit or was cancelled.
        SettingsError: the URL has an unknown option.
    """
    address = urls.redacted(engine.url)
    try:
        yield
    except ProgrammingError as error:
        if "invalid dsn" in str(error.orig):
            raise SettingsError(f"CLASSIFIER_DATABASE_URL: {' '.join(str(error.orig).split())}") from error
        code = getattr(error.orig, "pgcode", None)
        if code == _INSUFFICIENT_PRIVILEGE:
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseRightsError(
                f"{address}: {reason}; use a role with this right: docs/explanation/security.md"
            ) from error
        if code in {_UNDEFINED_TABLE, _UNDEFINED_COLUMN}:
            raise DatabaseNotMigratedError(
                f"{address}: tables or columns are missing; run: classifier db upgrade"
            ) from error
        raise
    except OperationalError as error:
        if error.orig is not None and getattr(error.orig, "pgcode", None) is None:
            reason = " ".join(str(error.orig).split())
            problem = "refuses the connection" if "FATAL:" in reason else "does not answer"
            raise DatabaseUnavailableError(f"{address}: the database {problem} ({reason})") from error
        if getattr(error.orig, "pgcode", None) == _DISK_FULL:
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseUnavailableError(
                f"{address}: the database's disk is full ({reason}); make room, and run the same command again"
            ) from error
        if getattr(error.orig, "pgcode", None) == _CANCELED:
            raise StatementTimeoutError(f"{address}: {_canceled(engine, error)}") from error
        raise


def _canceled(engine: Engine, error: OperationalError) -> str:
    """Return a message: which statement the server cancelled, why, and what to do."""
    name = queries.describe(error.statement or "COPY")
    if "user request" in str(error.orig):
        return f"an administrator cancelled the statement {name}; run the same command again"
    limit = engine.get_execution_options().get(_TIMEOUT_OPTION, 0)
    return (
        f"the statement {name} took longer than its limit of {limit:g} s; run the same command again when the database "
        "is less busy, or raise CLASSIFIER_STATEMENT_TIMEOUT_S (for the page in Airflow: CLASSIFIER_PAGE_TIMEOUT_S)"
    )
