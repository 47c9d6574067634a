"""An Airflow of another team: a virtual environment, a folder of its own, and the wheel instead of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
from sqlalchemy import URL, create_engine, make_url, text

from classifier import embedded_postgres
from classifier.local_airflow import processes, rest_client, standalone
from tests.docs import pages
from tests.support.paths import ROOT
from tests.support.waiting import HANG_S, wait_for

PAGE = "docs/how-to/adopt-in-an-existing-airflow.md"

PYTHON = os.environ.get("CLASSIFIER_TEST_PYTHON", sys.executable)
"""The interpreter of an environment that has the packages on which the wheel depends."""

OURS = ("article_classifier", "classifier", "__editable__")
"""How the names of this project's packages begin."""

SHIPPED = ("classifier", "plugins", "dags", "pyproject.toml", "README.md", "LICENSE")

# the log servers of these two would listen on every network interface
AIRFLOW = """#!/bin/sh
case "$1" in scheduler|triggerer) set -- "$@" --skip-serve-logs ;; esac
exec {python} -m airflow "$@"
"""


@dataclass
class Team:
    """The team's folder, its environment variables, and the URLs of its databases by name."""

    folder: Path
    urls: dict[str, URL]
    port: int
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes: none of the classifier or Airflow comes from outside."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        # the environment has the dependencies; the wheel itself is installed
        return kept | pip | {"PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "PIP_QUIET": "1"} | self.variables

    def run(self, script: str, **more: str) -> str:
        """Run a script in the team's folder and return what it printed."""
        done = subprocess.run(
            ["bash", "-eu"],
            input=script,
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def query(self, database: str, statement: str) -> list[tuple]:
        """Run a statement on one of the databases."""
        engine = create_engine(self.urls[database])
        with engine.begin() as connection:
            rows = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return rows


def lines(number: int) -> str:
    """Return a block of commands of the page: 0 is the five lines, 1 adds an instance."""
    return pages.blocks(pages.read(PAGE), "sh")[number].text


def build_wheel(folder: Path) -> None:
    """Build the wheel into `dist` of a folder, from a copy of what is shipped: a build leaves files in its folder."""
    source = folder / "source"
    source.mkdir()
    with tarfile.open(folder / "source.tar", "w") as archive:
        for name in SHIPPED:
            archive.add(ROOT / name, name, filter=lambda info: None if "__pycache__" in info.name else info)
    with tarfile.open(folder / "source.tar") as archive:
        archive.extractall(source, filter="data")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder / "dist"), "."]
    subprocess.run(command, cwd=source, check=True)
    shutil.rmtree(source)


def make_environment(folder: Path) -> Path:
    """Create a virtual environment that sees the installed dependencies, and return its folder of programs."""
    subprocess.run([PYTHON, "-m", "venv", str(folder)], check=True)
    show = "import sys; print('\\n'.join(path for path in sys.path if path.endswith('site-packages')))"
    (own,) = folder.glob("lib/python*/site-packages")
    for installed in subprocess.check_output([PYTHON, "-c", show], text=True).splitlines():
        for package in Path(installed).iterdir():
            # links and not a path: that environment's own installation of the project must not be seen
            if not package.name.startswith(OURS) and not (own / package.name).exists() and package.suffix != ".pth":
                (own / package.name).symlink_to(package)
    program = folder / "bin" / "airflow"
    program.write_text(AIRFLOW.format(python=folder / "bin" / "python"), encoding="utf-8")
    program.chmod(0o755)
    return folder / "bin"


def make_team(folder: Path) -> Team:
    """Return a team with an empty Airflow and three empty databases, in a folder that has only the wheel."""
    folder.mkdir()
    build_wheel(folder)
    shutil.copy(ROOT / "constraints.txt", folder)
    binaries = make_environment(folder / "venv")
    started = embedded_postgres.start(folder / "postgres", "articles", "airflow")
    urls: dict[str, URL] = {name: make_url(url) for name, url in started.items()}
    urls["news"] = urls["articles"].set(database="news")
    engine = create_engine(urls["articles"], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE news"))
    engine.dispose()
    home, dags = folder / "airflow", folder / "my-dags"
    for directory in (home, dags):
        directory.mkdir()
    (home / "passwords.json").write_text(json.dumps({"admin": "admin"}), encoding="utf-8")
    team = Team(folder, urls, standalone.free_port(0))
    team.variables = {
        "PATH": f"{binaries}:/usr/bin:/bin",
        "DAGS_FOLDER": str(dags),
        "ARTICLES_URL": _connection(urls["articles"]),
        "NEWS_URL": _connection(urls["news"]),
        "CLASSIFIER_DATABASE_URL": urls["articles"].render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(folder / "classifier-home"),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "HF_HUB_OFFLINE": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": urls["airflow"].render_as_string(hide_password=False),
        "AIRFLOW__API__HOST": standalone.HOST,
        "AIRFLOW__API__PORT": str(team.port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "24",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    team.run("airflow db migrate")
    return team


def _connection(url: URL) -> str:
    """Return the URL of a server on a socket as Airflow's connections have it."""
    return f"postgresql://{url.username}@{quote(str(url.query['host']), safe='')}/{url.database}"


@dataclass
class Started:
    """The team's running Airflow: its address, a client of its API, and one of its pages that is logged in."""

    address: str
    api: rest_client.RestClient
    http: httpx.Client

    def wait_for_dags(self, names: set[str]) -> None:
        """Return when Airflow has parsed these DAGs and no others."""
        deadline = time.monotonic() + HANG_S
        while self.api.dags() != names:
            assert self.api.import_errors() == []
            assert time.monotonic() < deadline, self.api.dags()
            time.sleep(1)
        assert self.api.import_errors() == []

    def wait_for_text(self, address: str, text: str) -> None:
        """Return when a page shows a text: a busy database may answer later than a page waits."""
        deadline = time.monotonic() + HANG_S
        while text not in (answer := self.http.get(address).raise_for_status()).text:
            assert time.monotonic() < deadline, answer.text[-1000:]
            time.sleep(1)

    def finished(self, dag: str, **conf: object) -> rest_client.DagRun:
        """Start a run and return it when it has succeeded."""
        run = self.api.trigger(dag, conf)
        self.api.unpause(dag)
        deadline = time.monotonic() + HANG_S
        while (current := self.api.run(run)).state not in rest_client.FINISHED:
            assert time.monotonic() < deadline, self.api.tasks(run)
            time.sleep(1)
        failed = [(task, self.api.log(run, task)[-5:]) for task in self.api.tasks(run) if task.state == "failed"]
        assert current.state == "success", failed
        return current


@contextmanager
def started(team: Team, *, path: str = "", **more: str) -> Iterator[Started]:
    """Run `airflow standalone` in an empty folder; `path` is where its address begins."""
    empty = team.folder / f"empty{path.replace('/', '-')}"
    empty.mkdir()
    address = f"http://{standalone.HOST}:{team.port}{path}"
    log = team.folder / f"{empty.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["airflow", "standalone"],
            executable=str(team.folder / "venv" / "bin" / "airflow"),
            cwd=empty,
            env=team.environment | {"AIRFLOW__API__BASE_URL": address} | more,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with rest_client.RestClient(address) as api, httpx.Client(base_url=address, timeout=60) as http:
            wait_for(lambda: _is_up(process, api, log))
            api.log_in("admin", "admin")
            token = http.post("/auth/token", json={"username": "admin", "password": "admin"}).json()["access_token"]
            http.headers = {"Cookie": f"_token={token}", "Sec-Fetch-Site": "same-origin"}
            yield Started(address, api, http)
    finally:
        processes.stop_session(process.pid)
        process.wait()


def _is_up(process: subprocess.Popen[bytes], api: rest_client.RestClient, log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")[-4000:]
    time.sleep(1)
    return api.is_up()


def variables_of(team: Team, **names: str) -> Mapping[str, str]:
    """Return variables for another database of the team."""
    return {name: team.urls[database].render_as_string(hide_password=False) for name, database in names.items()}
