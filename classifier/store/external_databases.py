"""Open databases that are somebody else's: any that SQLAlchemy has a driver for here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, TextClause, create_engine, event, func, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

from classifier.store import urls

OPEN_ERRORS = (ArgumentError, NoSuchModuleError, ImportError)
"""What `engine` raises."""

_CANCELED = "57014"
_SERVERS = {"postgresql", "mysql", "mariadb"}


def open_engine(address: str, *, statement_timeout_s: float | None = None, **options: Any) -> Engine:
    """Return an engine whose errors show no values. Nothing is opened yet; `options` are create_engine's.

    `statement_timeout_s` is kept by Postgres; the other databases have no setting that SQLAlchemy's
    drivers share.
    """
    url = _with_driver(urls.parse(address))
    backend = url.get_backend_name()
    arguments = urls.missing_options(url, {"connect_timeout": 10}) if backend in _SERVERS else {}
    found = create_engine(url, hide_parameters=True, connect_args=arguments, **options)
    if backend == "postgresql" and statement_timeout_s is not None:
        _limit(found, statement_timeout_s)
    if backend == "sqlite":
        event.listen(found, "connect", _keep_bytes)
    return found


def user_select(query: str) -> TextClause:
    """Return a user's SELECT as it stands: its colons are no parameters of ours, its last comment ends."""
    return text(query.strip().rstrip(";").replace(":", r"\:") + "\n")


def first_line(error: BaseException) -> str:
    """Return the first line of what the driver said; those below it quote rows."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def advice(error: BaseException) -> str:
    """Return what helps where the server cancelled a statement at its limit; nothing for other errors."""
    if getattr(getattr(error, "orig", None), "pgcode", None) != _CANCELED:
        return ""
    return "; run the same command again when the database is less busy, or raise CLASSIFIER_STATEMENT_TIMEOUT_S"


def is_unreachable(error: SQLAlchemyError) -> bool:
    """Say whether the database does not answer, and may do so later, rather than refuses what it is asked.

    An address with an option that does not exist is a ProgrammingError: no later attempt will do better.
    """
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or (error.statement is None and not isinstance(error, ProgrammingError))


def _with_driver(url: URL) -> URL:
    # a bare postgresql:// is psycopg 3 to SQLAlchemy, and Airflow and Heroku write postgres://
    return url.set(drivername="postgresql+psycopg2") if url.drivername in {"postgres", "postgresql"} else url


def _limit(found: Engine, statement_timeout_s: float) -> None:
    """Limit statements, and let a transaction idle while the model is at work.

    By statements: a connection's option would take the place of the URL's own ones.
    """
    values = {"statement_timeout": f"{int(statement_timeout_s * 1000)}ms", "idle_in_transaction_session_timeout": "0"}
    wanted = select(*(func.set_config(name, value, False) for name, value in values.items()))
    statement = str(wanted.compile(found, compile_kwargs={"literal_binds": True}))

    @event.listens_for(found, "connect")
    def set_limits(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()


def _keep_bytes(connection: Any, _: Any) -> None:
    """Return what is not UTF-8 as bytes: the driver's own error would quote the text."""

    def decoded(raw: bytes) -> str | bytes:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw

    connection.text_factory = decoded
