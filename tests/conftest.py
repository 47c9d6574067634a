"""A real Postgres for the tests that need one: a server a process, a fresh database a test."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
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

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Give a run a folder of its own, removed at its end; set PYTEST_DEBUG_TEMPROOT to keep it.

    pytest's usual one is shared by a user's runs, and each run tightens its mode: root's second run would
    take the first one's servers, which are not root, their access to their data.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="article-classifier-tests-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@dataclass(frozen=True)
class Server:
    """A running Postgres; `migrated` is the database that others are copied from."""

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
    """The embedded Postgres, whose durability is off: nothing here outlives the tests."""
    directory = tmp_path_factory.mktemp("postgres") / "data"
    migrated = make_url(embedded_postgres.start(directory, "articles")["articles"])
    found = Server(migrated.set(database="postgres"), migrated)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        found.run(f"ALTER SYSTEM SET {setting} = off")
    found.run("SELECT pg_reload_conf()")
    engine = connections.connect(migrated.render_as_string(hide_password=False))
    upgrade.upgrade_schema(Workspace(engine, Settings(_env_file=None)))
    engine.dispose()
    yield found
    remove_server(directory)


@pytest.fixture
def empty_url(server):
    """The URL of a database without tables."""
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def database_url(server):
    """The URL of a migrated database of the test's own."""
    url = server.create(template=server.migrated.database)
    yield url
    server.drop(url)


@pytest.fixture
def database(database_url):
    """An engine on a migrated database, for code that owns its transactions."""
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
    """A connection whose every change is rolled back, for code that takes a connection and never commits."""
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
    """Run the command `classifier` in a process of its own, in the test's folder and with a home there."""

    def run(*arguments: object, **environment: str | None) -> Outcome:
        everything = {**os.environ, "CLASSIFIER_HOME": str(tmp_path / "home"), **environment}
        given = {name: value for name, value in everything.items() if value is not None}
        return _command.run([str(argument) for argument in arguments], tmp_path, given)

    return run


@pytest.fixture(autouse=True)
def _log_level():
    """The command line, run in the tests' own process, sets the level for good."""
    logger = logging.getLogger("classifier")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Tests see no CLASSIFIER_ variable but their own."""
    if Path(request.path).parent.name in {"unit", "integration", "e2e"}:
        for name in list(os.environ):
            if name.startswith("CLASSIFIER_") and not name.startswith("CLASSIFIER_TEST_"):
                monkeypatch.delenv(name)
