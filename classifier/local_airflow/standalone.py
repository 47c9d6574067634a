"""Run `airflow standalone` on this machine: on loopback only, with Postgres as its database.

Two of its components would serve logs on every network interface. Standalone finds its components on the search path,
so a script named `airflow` stands first there and starts these two without their log servers.
"""

from __future__ import annotations

import json
import secrets
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from classifier import atomic_files, safe_paths
from classifier.exceptions import ClassifierError, UserError
from classifier.local_airflow import processes

HOST = "127.0.0.1"
USER = "admin"

_SCRIPT = """#!/bin/sh
# The log servers of these two would listen on every network interface.
case "$1" in scheduler|triggerer) set -- "$@" --skip-serve-logs ;; esac
exec {python} -m airflow "$@"
"""


class AirflowFailedError(ClassifierError):
    """Airflow, or something that it ran, failed."""


@dataclass(frozen=True, slots=True)
class AirflowConfig:
    """The folders, databases and port of a local Airflow; the paths are absolute."""

    project: Path
    home: Path
    models: Path
    encoder: Path
    articles_url: str
    airflow_url: str
    port: int

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder."""
        return self.home / "airflow"

    @property
    def passwords(self) -> Path:
        """The file with the administrator's generated password."""
        return self.airflow_home / "passwords.json"

    @property
    def address(self) -> str:
        """The address of the UI and of the REST API."""
        return f"http://{HOST}:{self.port}"


def project_root() -> Path:
    """Return the checkout: the folder that holds `dags` and `plugins`.

    Raises:
        UserError: the package was installed without them.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "dags" / "classifier_dags.py").is_file():
        raise UserError(f"{root}: no DAGs found; run the demo from a checkout of the project")
    return root


def free_port(port: int) -> int:
    """Return the port if it is free, or any free port for 0.

    Raises:
        UserError: another process listens on the port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections that a stopped server left do not count
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port}: not available ({error.strerror}); choose a free one with --port 0"
            ) from error
        return int(probe.getsockname()[1])


def password(path: Path) -> str:
    """Return the administrator's password, generated at the first call into a file that only its owner can read."""
    if path.is_file():
        return str(json.loads(path.read_text(encoding="utf-8"))[USER])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.temporary(path) as aside:
        aside.touch(mode=0o600)
        aside.chmod(0o600)
        aside.write_text(json.dumps({USER: secrets.token_urlsafe(12)}), encoding="utf-8")
        with suppress(FileExistsError):  # if two processes start at once, both use the first one's password
            path.hardlink_to(aside)
    return password(path)


def environment(base: Mapping[str, str], config: AirflowConfig) -> dict[str, str]:
    """Return `base` with the settings of this Airflow and its tasks, and without those of any other Airflow.

    Airflow gives `%` and `$` in its settings a meaning, and the system gives one to the colon. So its own folders have
    plain paths.
    """
    project, airflow_home = _plain(config.project), _plain(config.airflow_home)
    kept = {name: value for name, value in base.items() if not name.startswith(("AIRFLOW", "CLASSIFIER_"))}
    return kept | {
        "PATH": f"{airflow_home / 'bin'}:{base.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(project),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "HF_HUB_OFFLINE": "1",
        "CLASSIFIER_HOME": str(config.home),
        "CLASSIFIER_MODELS": str(config.models),
        "CLASSIFIER_ENCODER": str(config.encoder),
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW_CONN_ARTICLES": _connection(config.articles_url),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow_home / config.passwords.name),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.address}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": config.airflow_url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(config.port),
        "AIRFLOW__API__BASE_URL": config.address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        # parsing the DAGs again would slow the training down
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",  # standalone has migrated before its components start
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "24",  # a training on all cores starves the API server
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _plain(directory: Path) -> Path:
    return safe_paths.plain(directory, max_bytes=4096)


def _connection(url: str) -> str:
    """Return a URL as an Airflow connection; for a Unix socket, its host is the socket's folder."""
    parts = make_url(url)
    host = parts.query.get("host", parts.host)
    fields = {"conn_type": "postgres", "host": host, "login": parts.username, "schema": parts.database}
    return json.dumps(fields | ({"password": parts.password} if parts.password else {}))


@dataclass(frozen=True, slots=True)
class StandaloneAirflow:
    """A started Airflow."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise, with the end of the log, if Airflow has stopped."""
        if self.process.poll() is not None:
            raise AirflowFailedError(f"Airflow stopped with exit code {self.process.returncode}\n{self.last_lines()}")

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*lines[-count:], f"(the end of {self.log})"])


@contextmanager
def started(config: AirflowConfig, base: Mapping[str, str], record: Path) -> Iterator[StandaloneAirflow]:
    """Start Airflow without waiting until it is up, and stop all its processes at the end."""
    binaries = config.airflow_home / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (binaries / "airflow").write_text(_SCRIPT.format(python=shlex.quote(sys.executable)), encoding="utf-8")
    (binaries / "airflow").chmod(0o755)
    password(config.passwords)
    log = config.airflow_home / "standalone.log"
    with log.open("wb") as output, processes.undisturbed():
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            cwd=config.airflow_home,  # Airflow must not read a .env of the current folder
            env=environment(base, config),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        processes.Record.of(process.pid).write(record)
    try:
        yield StandaloneAirflow(process, log)
    finally:
        with processes.undisturbed():
            processes.stop_session(process.pid)
            process.wait()
            record.unlink(missing_ok=True)
