"""Give people and other programs access to the database: its URL, a shell, and the embedded Postgres while served.

The embedded Postgres stops with the last command that uses it, and listens on a socket only. `serve` keeps it running.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from classifier import embedded_postgres
from classifier.exceptions import DatabaseUnavailableError, SettingsError
from classifier.pipeline.database import password_proxy, roles
from classifier.pipeline.database.password_proxy import Upstream
from classifier.settings import Settings
from classifier.store import urls
from classifier.workspace import Workspace

DEFAULT_PORT = 5433


@dataclass(frozen=True, slots=True)
class ServedUrls:
    """The URLs of the embedded Postgres while it is served.

    Attributes:
        socket: With all rights, without a password, for programs on this machine that this user runs.
        tcp: For a role that reads everything but the texts of articles; it contains the password.
    """

    socket: str
    tcp: str


def find_url(settings: Settings) -> str:
    """Return the URL of the database as other programs write it, with its password. Nothing is started.

    Raises:
        DatabaseNotMigratedError: the embedded Postgres has no data yet.
        DatabaseUnavailableError: it does not run.
    """
    if settings.database_url is not None:
        return _plain(urls.parse(settings.database_url)).render_as_string(hide_password=False)
    directory = _embedded_directory(settings)
    url = embedded_postgres.running_url(directory, "articles")
    if url is not None:
        return _plain(urls.parse(url)).render_as_string(hide_password=False)
    raise DatabaseUnavailableError(
        f"{directory}: the embedded Postgres runs only while a command uses it; run in another terminal: "
        "classifier db serve"
    )


def open_shell(settings: Settings, arguments: Sequence[str] = ()) -> int:
    """Run psql on the database and return its exit code. The embedded Postgres is started if necessary.

    Raises:
        DatabaseNotMigratedError: the embedded Postgres has no data yet.
        DatabaseUnavailableError: there is no psql.
    """
    program = embedded_postgres.psql() or shutil.which("psql")
    if program is None:
        raise DatabaseUnavailableError("psql: not found; install PostgreSQL's client programs")
    url = settings.database_url
    if url is None:
        url = embedded_postgres.start(_embedded_directory(settings), "articles")["articles"]
    parsed = _plain(urls.parse(url))
    environment = {**os.environ, "PGCLIENTENCODING": "UTF8"}
    if parsed.password is not None:
        environment["PGPASSWORD"] = str(parsed.password)  # an argument would be visible to other users
    address = parsed._replace(password=None).render_as_string(hide_password=False)
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # psql handles Ctrl-C
    try:
        return subprocess.run([program, *arguments, address], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, former)


def serve(workspace: Workspace, *, port: int = DEFAULT_PORT, on_ready: Callable[[ServedUrls], None]) -> None:
    """Keep the embedded Postgres running, reachable over TCP on this machine, until SIGINT or SIGTERM.

    `on_ready` receives the URLs once both can be used. The password is the setting `analyst_password` or, by default, a
    new one.

    Raises:
        SettingsError: the settings name another server, or the port is in use.
        DatabaseNotMigratedError: the database has no tables, or tables of another version.
    """
    refuse_other_server(workspace.settings)
    roles.create_roles(workspace)
    url, secret = workspace.database.url, workspace.settings.analyst_password
    password = secret.get_secret_value() if secret else secrets.token_urlsafe(18)
    upstream = Upstream(_socket_of(url), f"{url.database}_analyst", str(url.database))

    def tell(actual_port: int) -> None:
        tcp = URL.create("postgresql", upstream.role, password, "127.0.0.1", actual_port, upstream.database)
        on_ready(ServedUrls(*(each.render_as_string(hide_password=False) for each in (_plain(url), tcp))))

    try:
        password_proxy.run(upstream, password, port=port, on_ready=tell)
    except OSError as error:
        raise SettingsError(f"--port {port}: {error.strerror or error}; choose another port, or 0") from error


def refuse_other_server(settings: Settings) -> None:
    """Raise an error unless the embedded Postgres is used and has data.

    Raises:
        SettingsError: the settings name another server.
        DatabaseNotMigratedError: the embedded Postgres has no data yet.
    """
    if settings.database_url is not None:
        raise SettingsError("CLASSIFIER_DATABASE_URL: names a server that runs by itself; its URL: classifier db url")
    _embedded_directory(settings)


def _embedded_directory(settings: Settings) -> Path:
    embedded_postgres.require(settings.postgres_directory)
    return settings.postgres_directory


def _plain(url: URL) -> URL:
    """Return a URL without SQLAlchemy's driver, which other programs do not know, and without an empty password."""
    return url._replace(drivername="postgresql", password=url.password or None)


def _socket_of(url: URL) -> Path:
    host = url.query.get("host", url.host)
    return Path(str(host)) / f".s.PGSQL.{url.port or 5432}"
