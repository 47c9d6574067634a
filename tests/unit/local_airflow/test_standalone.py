"""The demo's Airflow is its own: on loopback, with its own database, and no secret in its environment."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.exceptions import UserError
from classifier.local_airflow import standalone
from classifier.local_airflow.standalone import AirflowFailedError, AirflowHome

PROJECT = Path(__file__).resolve().parents[3]
SOCKET = "postgresql+psycopg2://postgres:@/{}?host=%2Ftmp%2Fhome%2Fpostgres"


@pytest.fixture
def place(tmp_path):
    home = tmp_path / "home"
    urls = SOCKET.format("articles"), SOCKET.format("airflow")
    return AirflowHome(PROJECT, home, home / "models", home / "demo" / "encoder", *urls, 8099)


def test_it_listens_on_loopback_and_finds_itself_there(place):
    found = standalone.environment({"PATH": "/bin"}, place)
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__API__PORT"] == "8099"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8099/execution/"
    assert found["PATH"] == f"{place.home}/airflow/bin:/bin"


def test_tasks_reach_the_articles_over_the_socket(place):
    found = standalone.environment({}, place)
    assert json.loads(found["AIRFLOW_CONN_ARTICLES"]) == {
        "conn_type": "postgres",
        "host": "/tmp/home/postgres",
        "login": "postgres",
        "schema": "articles",
    }
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == place.airflow_url
    assert found["CLASSIFIER_HOME"] == str(place.home)


def test_another_airflows_settings_are_left_out(place):
    others = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__API__SSL_CERT": "x",
        "AIRFLOW_CONN_ARTICLES": "x",
        "CLASSIFIER_DATABASE_URL": "postgresql+psycopg2://elsewhere/articles",
        "CLASSIFIER_INBOX": "/inbox",
        "LANG": "C.UTF-8",
    }
    found = standalone.environment(others, place)
    assert found["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert found["LANG"] == "C.UTF-8"
    assert not {"AIRFLOW__API__SSL_CERT", "CLASSIFIER_DATABASE_URL", "CLASSIFIER_INBOX"} & set(found)


def test_the_password_is_kept_and_stands_only_in_its_file(place):
    password = standalone.password(place.passwords)
    assert password == standalone.password(place.passwords)
    assert stat.S_IMODE(place.passwords.stat().st_mode) == 0o600
    assert json.loads(place.passwords.read_text()) == {"admin": password}
    found = standalone.environment({}, place)
    assert found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(place.passwords)
    assert all(password not in value for value in found.values())


def test_two_homes_have_two_passwords(place, tmp_path):
    other = replace(place, home=tmp_path / "other")
    assert standalone.password(place.passwords) != standalone.password(other.passwords)


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=rf"^port {port} cannot be had \(.*\); --port 0 takes a free one$"):
            standalone.free_port(port)


def test_port_0_takes_a_free_one():
    assert standalone.free_port(standalone.free_port(0)) > 0


def test_without_dags_beside_it_the_demo_says_where_it_runs_from(monkeypatch, tmp_path):
    monkeypatch.setattr(standalone, "__file__", str(tmp_path / "site" / "classifier" / "demo" / "x.py"))
    with pytest.raises(UserError, match="from a checkout of the project"):
        standalone.project_root()


def with_airflow(place, folder, program):
    """The place, with a package airflow that only runs a program."""
    module = folder / "airflow"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "__main__.py").write_text(program)
    return replace(place, project=folder)


def test_an_airflow_that_does_not_start_shows_the_end_of_its_log(place, tmp_path):
    record = tmp_path / "demo.json"
    fake = with_airflow(place, tmp_path / "fake", "import sys; print('no such database'); sys.exit(3)")
    with standalone.started(fake, os.environ, record) as airflow:
        assert record.exists()
        airflow.process.wait()
        with pytest.raises(AirflowFailedError, match=r"exit code 3\nno such database"):
            airflow.check()
    assert not record.exists()


def test_the_log_servers_are_not_started(place, tmp_path):
    program = (
        "import subprocess, sys\n"
        "if sys.argv[1:] == ['standalone']:\n"
        "    for part in ('scheduler', 'triggerer', 'api-server'): subprocess.run(['airflow', part], check=True)\n"
        "else: print(*sys.argv[1:], flush=True)\n"
    )
    fake = with_airflow(place, tmp_path / "fake", program)
    with standalone.started(fake, os.environ, tmp_path / "demo.json") as airflow:
        assert airflow.process.wait() == 0
    said = airflow.log.read_text().split("\n")
    assert said == ["scheduler --skip-serve-logs", "triggerer --skip-serve-logs", "api-server", ""]
    assert sys.executable in (place.airflow_home / "bin" / "airflow").read_text()
