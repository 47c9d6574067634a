"""A real Postgres for the tests that need one: one server for each process, one database for each test."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import URL, create_engine, make_url, text

from classifier import embedded_postgres
from classifier.pipeline.database import upgrade
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.command import Command, Outcome
from tests.support.postgres import remove_server

hypothesis.settings.register_profile("any machine", deadline=None)  # a first call may import for a second
hypothesis.settings.load_profile("any machine")

TESTS = Path(__file__).parent

_LARGE_LIBRARIES = frozenset({"airflow", "keras", "tensorflow", "torch"})
_frozen: set[str] = set()

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a temporary folder of its own and remove it at the end; set PYTEST_DEBUG_TEMPROOT to keep it.

    All runs of a user share pytest's default folder, and each run restricts its mode. If root started a second run, the
    servers of the first one, which run as another user, would lose access to their data.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="article-classifier-tests-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the files with the most slow tests first, so that no worker runs a long file alone at the end."""
    if hasattr(config, "workerinput"):
        markers = {"slow", "long"}
        slow = Counter(item.path for item in items if any(marker.name in markers for marker in item.iter_markers()))
        items.sort(key=lambda item: -slow[item.path])  # the sort is stable: the order inside a file stays


@dataclass(frozen=True)
class Server:
    """A running Postgres; `migrated` is the database that tests get copies of."""

    admin: URL
    migrated: URL

    def create(self, *, template: str = "template1") -> URL:
        name = f"test_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.admin.set(database=name)

    def drop(self, url: URL) -> None:
        self.run(f"DROP DATABASE {url.database} WITH (FORCE)")

    def run(self, statement: str) -> None:
        engine = create_engine(self.admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Start the embedded Postgres without durability: its data is not needed after the tests."""
    directory = tmp_path_factory.mktemp("postgres") / "data"
    migrated = make_url(embedded_postgres.start(directory, "articles")["articles"])
    server = Server(migrated.set(database="postgres"), migrated)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        server.run(f"ALTER SYSTEM SET {setting} = off")
    server.run("SELECT pg_reload_conf()")
    engine = connections.connect(migrated.render_as_string(hide_password=False))
    upgrade.upgrade_schema(Workspace(engine, Settings(_env_file=None)))
    engine.dispose()
    yield server
    remove_server(directory)


@pytest.fixture
def empty_url(server):
    """Return the URL of an empty database."""
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def database_url(server):
    """Return the URL of a migrated database for this test alone."""
    url = server.create(template=server.migrated.database)
    yield url
    server.drop(url)


@pytest.fixture
def database(database_url):
    """Return an engine on a migrated database, for code that owns its transactions."""
    engine = connections.connect(database_url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.fixture
def workspace(database, tmp_path):
    return Workspace(database, Settings(home=tmp_path / "home", _env_file=None))


@pytest.fixture(scope="session")
def shared_database(server):
    url = server.create(template=server.migrated.database)
    engine = connections.connect(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    server.drop(url)


@pytest.fixture
def connection(shared_database):
    """Return a connection whose changes are rolled back, for code that never commits."""
    with shared_database.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="session")
def _command():
    command = Command()
    yield command
    command.close()


@pytest.fixture
def classifier(_command, tmp_path):
    """Return a function that runs `classifier` in a process of its own, in the test's folder and with a home there."""

    def run(*arguments: object, **environment: str | None) -> Outcome:
        variables = {**os.environ, "CLASSIFIER_HOME": str(tmp_path / "home"), **environment}
        set_variables = {name: value for name, value in variables.items() if value is not None}
        return _command.run([str(argument) for argument in arguments], tmp_path, set_variables)

    return run


@pytest.fixture(scope="module", autouse=True)
def _frozen_imports():
    """Exclude imported libraries from garbage collection, which Keras runs completely after each training."""
    yield
    if imported := _LARGE_LIBRARIES.intersection(sys.modules) - _frozen:
        _frozen.update(imported)
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _log_level():
    """Restore the level of the library's logger, which the command line sets in this process."""
    logger = logging.getLogger("classifier")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Hide the machine's CLASSIFIER_ variables from the tests."""
    if request.path.relative_to(TESTS).parts[0] in {"unit", "integration", "e2e"}:
        for name in list(os.environ):
            if name.startswith("CLASSIFIER_") and not name.startswith(("CLASSIFIER_TEST_", "CLASSIFIER_BENCHMARK_")):
                monkeypatch.delenv(name)
