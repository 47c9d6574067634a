"""Any Postgres works: the main path on a server over TCP, with a password, of an older version.

`CLASSIFIER_TEST_DATABASE_URL` names another server instead; its user must be able to create databases.
"""

from __future__ import annotations

import os

import pytest
from sqlalchemy import create_engine, make_url, text

from classifier import registry
from classifier.exceptions import DatabaseUnavailableError, SourceUnavailableError
from classifier.external_table.definition import ExternalTable
from classifier.pipeline.database import upgrade
from classifier.pipeline.labelling import external_table, queue
from classifier.pipeline.monitoring import status
from classifier.pipeline.promotion import decisions, evaluation
from classifier.settings import Settings
from classifier.store import model_rows
from classifier.workspace import open_workspace
from tests.support.postgres import other_server
from tests.support.synthetic import LENIENT, articles, ingest_file, query, unlabelled
from tests.support.tiny_models import make_artefact

PASSWORD = "p@ss:w/rd %41 'x'"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory):
    if address := os.environ.get("CLASSIFIER_TEST_DATABASE_URL"):
        yield make_url(address)
        return
    directory = tmp_path_factory.mktemp("other")
    with other_server(directory, user="owner", password=PASSWORD, version=16) as url:
        yield url


@pytest.fixture(scope="module")
def url(server_url):
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    name = f"classifier_test_{os.getpid()}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server_url.set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def test_the_main_path(url, tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", url.render_as_string(hide_password=False))
    workspace = open_workspace(Settings(home=tmp_path / "home", _env_file=None))
    assert workspace.database.url == url
    upgrade.upgrade_schema(workspace)
    awkward = {"id": "awkward", "text": 'line\n\\.\n"quoted" \\N', "category": ""}
    report = ingest_file(workspace, tmp_path / "x.csv", [*articles(90), *unlabelled(60, prefix="u"), awkward])
    assert (report.new, report.annotations, report.enqueued) == (151, 90, 61)
    assert ingest_file(workspace, tmp_path / "x.csv").unchanged == 151
    assert query(workspace.database, "SELECT text FROM articles WHERE external_id = 'awkward'") == [(awkward["text"],)]
    files = make_artefact(workspace.models / "m1")
    with workspace.database.begin() as connection:
        registry.register(connection, "m1", files, {})
    assert evaluation.evaluate(workspace).metrics.articles > 0
    assert decisions.promote_if_better(workspace, margins=LENIENT).promoted
    assert queue.label_queue(workspace, page_size=16).labelled == 61
    report = status.read_status(workspace)
    assert report.labels == {"annotation": 90, "prediction": 61}
    assert (report.waiting, report.champion.name) == (0, "m1")
    workspace.database.dispose()
    assert not (tmp_path / "home" / "postgres").exists(), "the embedded server was not started"


def test_the_error_of_a_wrong_password_does_not_show_the_password(server_url, tmp_path):
    if "CLASSIFIER_TEST_DATABASE_URL" in os.environ:
        pytest.skip("another server may accept any password")
    wrong = server_url.set(password="wrong-secret").render_as_string(hide_password=False)
    workspace = open_workspace(Settings(home=tmp_path, database_url=wrong, _env_file=None))
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed") as caught:
        status.read_status(workspace)
    assert "wrong-secret" not in str(caught.value)


def test_the_error_of_a_wrong_password_of_an_external_database_does_not_show_it(workspace, server_url, tmp_path):
    if "CLASSIFIER_TEST_DATABASE_URL" in os.environ:
        pytest.skip("another server may accept any password")
    files = make_artefact(workspace.models / "m1")
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, registry.register(connection, "m1", files, {}).id)
    wrong = server_url.set(password="wrong-secret").render_as_string(hide_password=False)
    with pytest.raises(SourceUnavailableError, match="password authentication failed") as caught:
        external_table.label_external_table(workspace, wrong, ExternalTable("id", "body", table="news"))
    assert "wrong-secret" not in str(caught.value)
