"""The extras of the Airflow connection `articles` reach the driver."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.sdk import BaseHook, Connection
from sqlalchemy import make_url

from classifier.exceptions import DatabaseUnavailableError, SettingsError
from classifier.pipeline.monitoring import status
from classifier.store import connections, external_databases
from tests.support.postgres import other_server

LIBPQ = {
    "sslmode": "verify-full",
    "sslrootcert": "/etc/our ca.pem",
    "sslcert": "/etc/client.pem",
    "sslkey": "/etc/client.key",
    "connect_timeout": 3,
    "application_name": "newsroom",
    "target_session_attrs": "read-write",
    "keepalives": True,
    "keepalives_idle": 7,
    "options": "-c search_path=press -c work_mem=8MB",
}


def url_of(extra, **fields):
    from classifier_airflow.workspace import url_of

    defaults = {"conn_type": "postgres", "host": "db.example", "login": "ada", "schema": "articles", "port": 5432}
    return url_of(Connection(conn_id="articles", extra=json.dumps(extra) if extra else extra, **{**defaults, **fields}))


def arguments_of(engine):
    """Return the arguments of the driver."""
    received = {}

    def connect(*_, **arguments):
        received.update(arguments)
        raise engine.dialect.dbapi.OperationalError("not opened by this test")

    engine.dialect.connect = connect
    with pytest.raises(Exception, match="not opened by this test"):
        engine.connect()
    return received


def as_strings(options):
    return {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in options.items()}


def test_every_extra_that_libpq_knows_is_in_the_url():
    assert dict(make_url(url_of(LIBPQ)).query) == as_strings(LIBPQ)


@pytest.mark.parametrize("at_most", [None, 4])
def test_every_extra_reaches_the_driver_of_the_articles_database(at_most):
    arguments = arguments_of(connections.connect(url_of(LIBPQ), statement_timeout_s=60, max_connections=at_most))
    expected = as_strings(LIBPQ)
    assert arguments.pop("options") == f"{expected.pop('options')} -c statement_timeout=60000 -c timezone=UTC"
    if at_most is not None:  # the pages have a timeout of their own
        assert arguments["connect_timeout"] == 10
        del expected["connect_timeout"]
    assert {name: arguments.get(name) for name in expected} == expected


def test_every_extra_reaches_the_driver_of_another_database():
    arguments = arguments_of(external_databases.open_engine(url_of(LIBPQ)))
    assert {name: arguments.get(name) for name in LIBPQ} == as_strings(LIBPQ)


def test_extras_written_in_a_uri_or_for_sqlalchemy_count_too():
    from classifier_airflow import workspace

    uri = Connection(conn_id="articles", uri="postgres://ada:pw@db.example/articles?sslmode=require&cursor=dictcursor")
    assert dict(make_url(workspace.url_of(uri)).query) == {"sslmode": "require"}
    assert dict(make_url(url_of({"sqlalchemy_query": {"sslmode": "require"}})).query) == {"sslmode": "require"}


def test_extras_of_airflow_alone_are_left_out_and_misspelt_ones_are_named_in_the_log(caplog):
    extra = {
        "cursor": "dictcursor",
        "iam": False,
        "sslmod": "secret",
        "a b": "secret",
        "sslcert": "",
        "nested": {"a": 1},
    }
    with caplog.at_level(logging.WARNING, "classifier_airflow.workspace"):
        assert dict(make_url(url_of(extra)).query) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "connection articles: unknown extras are ignored: a b, nested, sslmod"
    ]


@pytest.mark.parametrize("extra", ["sslmode=require", '["sslmode"]', '{"sslmode": "require"'])
def test_invalid_extras_are_refused_and_not_dropped(extra):
    from classifier_airflow.workspace import url_of

    with pytest.raises(SettingsError, match="connection articles: its extra is not a JSON object"):
        url_of(Connection(conn_id="articles", conn_type="postgres", host="h", extra=extra))


def test_a_connection_that_requires_tls_is_refused_without_it(tmp_path, monkeypatch):
    """The embedded Postgres has no TLS, so `sslmode=require` must be refused."""
    from classifier_airflow import workspace

    with other_server(tmp_path, user="owner", password="geheim", version=16) as url:
        parts = {"conn_type": "postgres", "host": url.host, "port": url.port, "login": url.username}
        parts |= {"password": url.password, "schema": url.database}
        monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts | {"extra": {"sslmode": "prefer"}}))
        with workspace.workspace().database.connect() as opened:
            assert opened.exec_driver_sql("SELECT 1").scalar_one() == 1
        monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts | {"extra": {"sslmode": "require"}}))
        with pytest.raises(DatabaseUnavailableError, match="server does not support SSL, but SSL was required"):
            status.read_status(workspace.workspace())
        connection = BaseHook.get_connection("articles")
        with pytest.raises(Exception, match="server does not support SSL"):
            external_databases.open_engine(workspace.url_of(connection)).connect()
