"""Run `airflow standalone` for the demo: on loopback only, with Postgres behind it.

Two of its components would serve logs to the whole network; they are told not to, through a script named
`airflow` that stands first on the search path, where standalone looks for its components.
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

from classifier import atomic_files
from classifier.exceptions import ClassifierError, UserError
from classifier.local_airflow import processes

HOST = "127.0.0.1"
USER = "admin"

_SCRIPT = """#!/bin/sh
# The log servers of these two would listen on every network.
case "$1" in scheduler|triggerer) set -- "$@" --skip-serve-logs ;; esac
exec {python} -m airflow "$@"
"""


class AirflowFailedError(ClassifierError):
    """Airflow, or something that it ran, failed."""


@dataclass(frozen=True, slots=True)
class AirflowHome:
    """Where the demo's Airflow finds everything; paths are absolute."""

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
        """The file that holds the generated password."""
        return self.airflow_home / "passwords.json"

    @property
    def address(self) -> str:
        """The address of the UI and of the REST API."""
        return f"http://{HOST}:{self.port}"


def project_root() -> Path:
    """Return the folder that holds `dags` and `plugins`.

    Raises:
        UserError: there is none, because the package is installed without them.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "dags" / "retrain_classifier.py").is_file():
        raise UserError(
            f"{root} has no dags: the demo runs from a checkout of the project, not from an installed package"
        )
    return root


def free_port(port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what lingers after a server is no server
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} cannot be had ({error.strerror}); --port 0 takes a free one") from error
        return int(probe.getsockname()[1])


def password(path: Path) -> str:
    """Return the generated password of the demo's Airflow, made once and readable by its owner only."""
    if path.is_file():
        return str(json.loads(path.read_text(encoding="utf-8"))[USER])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.temporary(path) as aside:
        aside.touch(mode=0o600)
        aside.chmod(0o600)
        aside.write_text(json.dumps({USER: secrets.token_urlsafe(12)}), encoding="utf-8")
        with suppress(FileExistsError):  # of two that start at once, both get the first one's
            path.hardlink_to(aside)
    return password(path)


def environment(base: Mapping[str, str], place: AirflowHome) -> dict[str, str]:
    """Return `base` with all that the demo's Airflow and its tasks need, and none of another Airflow's settings."""
    kept = {name: value for name, value in base.items() if not name.startswith(("AIRFLOW", "CLASSIFIER_"))}
    return kept | {
        "PATH": f"{place.airflow_home / 'bin'}:{base.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(place.project),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "HF_HUB_OFFLINE": "1",
        "CLASSIFIER_HOME": str(place.home),
        "CLASSIFIER_MODELS": str(place.models),
        "CLASSIFIER_ENCODER": str(place.encoder),
        "AIRFLOW_HOME": str(place.airflow_home),
        "AIRFLOW_CONN_ARTICLES": _connection(place.articles_url),
        "AIRFLOW__CORE__DAGS_FOLDER": str(place.project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(place.project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(place.passwords),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{place.address}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": place.airflow_url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(place.port),
        "AIRFLOW__API__BASE_URL": place.address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # parsing again would take from the training
        "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",  # standalone has migrated before its components start
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "24",  # training on all cores starves the API server
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _connection(url: str) -> str:
    """Return the connection of a socket's URL in Airflow's form: its host is the socket's folder."""
    parts = make_url(url)
    socket_folder = parts.query.get("host", parts.host)
    values = {"conn_type": "postgres", "host": socket_folder, "login": parts.username, "schema": parts.database}
    return json.dumps(values | ({"password": parts.password} if parts.password else {}))


@dataclass(frozen=True, slots=True)
class StandaloneAirflow:
    """A started Airflow."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise, with the log's end, if it has stopped."""
        if self.process.poll() is not None:
            raise AirflowFailedError(f"Airflow stopped with exit code {self.process.returncode}\n{self.last_lines()}")

    def last_lines(self, count: int = 15) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*lines[-count:], f"(the end of {self.log})"])


@contextmanager
def started(place: AirflowHome, base: Mapping[str, str], record: Path) -> Iterator[StandaloneAirflow]:
    """Start Airflow without waiting for it, and stop all of it at the end, whatever happens."""
    binaries = place.airflow_home / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (binaries / "airflow").write_text(_SCRIPT.format(python=shlex.quote(sys.executable)), encoding="utf-8")
    (binaries / "airflow").chmod(0o755)
    password(place.passwords)
    log = place.airflow_home / "standalone.log"
    with log.open("wb") as said, processes.undisturbed():
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            cwd=place.airflow_home,  # a .env in the present folder is not the demo's
            env=environment(base, place),
            stdin=subprocess.DEVNULL,
            stdout=said,
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
