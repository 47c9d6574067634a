"""Connect to users' own databases: any for which a SQLAlchemy driver is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, TextClause, create_engine, event, func, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

from classifier.exceptions import SourceError
from classifier.store import urls

OPEN_ERRORS = (ArgumentError, NoSuchModuleError, ImportError)
"""Errors that `open_engine` raises."""

_CANCELED = "57014"
_SERVERS = {"postgresql", "mysql", "mariadb"}

_ENCODINGS = {
    "psycopg2": urls.UTF8,
    "psycopg": urls.UTF8,
    **{driver: {"charset": "utf8mb4"} for driver in ("pymysql", "mysqldb", "mysqlconnector")},
}
"""Arguments of drivers that receive texts as UTF-8, whatever the environment and the URL say."""


def open_engine(
    address: str, *, statement_timeout_s: float | None = None, session: Mapping[str, str] | None = None, **options: Any
) -> Engine:
    """Return an engine whose errors show no values, without opening a connection yet.

    Texts arrive as UTF-8, whatever the encoding of the database. Opening a connection to a Postgres of the encoding
    SQL_ASCII, which does not know its encoding, raises a `SourceError`. Only Postgres enforces `statement_timeout_s`:
    the other databases have no setting that SQLAlchemy's drivers share. `session` are settings of Postgres, `options`
    those of `create_engine`.
    """
    url = _with_driver(urls.parse(address))
    backend = url.get_backend_name()
    arguments = urls.missing_options(url, {"connect_timeout": 10}) if backend in _SERVERS else {}
    arguments |= _ENCODINGS.get(url.get_driver_name(), {})
    engine = create_engine(url, hide_parameters=True, connect_args=arguments, **options)
    if backend == "postgresql":
        _refuse_unknown_encoding(engine)
    if backend == "postgresql" and statement_timeout_s is not None:
        _configure(engine, statement_timeout_s, session or {})
    if backend == "sqlite":
        event.listen(engine, "connect", _keep_bytes)
    return engine


def user_select(query: str) -> TextClause:
    """Return a user's SELECT: its colons are not parameters, and a newline ends a comment on its last line."""
    return text(query.strip().rstrip(";").replace(":", r"\:") + "\n")


def first_line(error: BaseException) -> str:
    """Return the first line of the driver's message; the lines below it quote rows."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def advice(error: BaseException) -> str:
    """Return what to do if a statement exceeded its time limit; an empty string for other errors."""
    if getattr(getattr(error, "orig", None), "pgcode", None) != _CANCELED:
        return ""
    return "; run the same command again when the database is less busy, or raise CLASSIFIER_STATEMENT_TIMEOUT_S"


def is_unreachable(error: SQLAlchemyError) -> bool:
    """Return whether the error is transient: the database does not answer now, but may do so later.

    An address with an unknown option raises a ProgrammingError, which is permanent.
    """
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or (error.statement is None and not isinstance(error, ProgrammingError))


def _with_driver(url: URL) -> URL:
    # SQLAlchemy would use psycopg 3 for postgresql://, and does not know postgres://, which Airflow and Heroku use.
    return url.set(drivername="postgresql+psycopg2") if url.drivername in {"postgres", "postgresql"} else url


def _refuse_unknown_encoding(engine: Engine) -> None:
    """Refuse a database of the encoding SQL_ASCII: its texts may be in any encoding. Postgres converts the others."""

    @event.listens_for(engine, "connect")
    def check(connection: Any, _: Any) -> None:
        status = getattr(connection, "get_parameter_status", None)  # psycopg2's, else psycopg's
        if status is None and hasattr(connection, "info"):
            status = getattr(connection.info, "parameter_status", None)
        if status is not None and status("server_encoding") == "SQL_ASCII":
            raise SourceError(
                f"{urls.redacted(engine.url)}: the database has the encoding SQL_ASCII, so its texts may be in any "
                "encoding; copy them to a database of the encoding UTF8"
            )


def _configure(engine: Engine, statement_timeout_s: float, session: Mapping[str, str]) -> None:
    """Set the session's settings, the time limit of statements, and none for transactions that idle meanwhile.

    They are set in each transaction, because behind a pooler such as PgBouncer each transaction may have another
    session. They are statements, since options of the connection would replace those of the URL, and poolers refuse
    options.
    """
    timeouts = {"statement_timeout": f"{int(statement_timeout_s * 1000)}ms", "idle_in_transaction_session_timeout": "0"}
    settings = select(*(func.set_config(name, value, True) for name, value in {**timeouts, **session}.items()))
    statement = str(settings.compile(engine, compile_kwargs={"literal_binds": True}))

    @event.listens_for(engine, "begin")
    def set_settings(connection: Connection) -> None:
        # of a server-side cursor, the server would compute nothing before the first row is fetched
        connection.exec_driver_sql(statement, execution_options={"stream_results": False})


def _keep_bytes(connection: Any, _: Any) -> None:
    """Return values that are not UTF-8 as bytes: the driver's own error would quote the text."""

    def decoded(raw: bytes) -> str | bytes:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw

    connection.text_factory = decoded
