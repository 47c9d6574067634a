"""If a server crashes in a transaction, the error is a database that does not answer: ours, or a source's."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from classifier import embedded_postgres
from classifier.exceptions import DatabaseUnavailableError, SourceUnavailableError
from classifier.ingest import database_queries
from classifier.store.connections import connect, translate_errors
from tests.support.waiting import HANG_S


@pytest.fixture
def server(tmp_path):
    """Yield a server's URL, and a function that crashes it: a shutdown without a checkpoint or a warning."""
    folder = tmp_path / "postgres"
    url = embedded_postgres.start(folder, "articles")["articles"]
    pid = int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def crash():
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + HANG_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    yield url, crash
    shutil.rmtree(folder, ignore_errors=True)


# psycopg2 does not notice here that the connection is gone: its own error is a bare DatabaseError
@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda connection: connection.execute(text("SELECT 1")), id="statement"),
        pytest.param(lambda connection: connection.commit(), id="commit"),
        pytest.param(lambda connection: connection.rollback(), id="rollback"),
    ],
)
def test_our_database(server, then):
    url, crash = server
    engine = connect(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        crash()
        with pytest.raises(DatabaseUnavailableError, match="does not answer"), translate_errors(engine):
            then(connection)
    engine.dispose()


def test_a_source(server):
    url, crash = server

    def query():
        with database_queries._connect("cms", url, 60) as connection:
            connection.execute(text("SELECT 1"))
            crash()
            connection.execute(text("SELECT 1"))

    with pytest.raises(SourceUnavailableError, match="'cms': its database does not answer"):
        query()
