"""The local Airflow listens on loopback, has a database of its own, and no secret in its environment."""

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
from classifier.local_airflow.standalone import AirflowConfig, AirflowFailedError

PROJECT = Path(__file__).resolve().parents[3]
SOCKET = "postgresql+psycopg2://postgres:@/{}?host=%2Ftmp%2Fhome%2Fpostgres"


@pytest.fixture
def config(tmp_path):
    home = tmp_path / "home"
    urls = SOCKET.format("articles"), SOCKET.format("airflow")
    return AirflowConfig(PROJECT, home, home / "models", home / "demo" / "encoder", *urls, 8099)


def test_it_listens_on_loopback_and_its_tasks_call_it_there(config):
    environment = standalone.environment({"PATH": "/bin"}, config)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "8099"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8099/execution/"
    assert environment["PATH"] == f"{config.home}/airflow/bin:/bin"


def test_tasks_connect_to_the_articles_over_the_socket(config):
    environment = standalone.environment({}, config)
    assert json.loads(environment["AIRFLOW_CONN_ARTICLES"]) == {
        "conn_type": "postgres",
        "host": "/tmp/home/postgres",
        "login": "postgres",
        "schema": "articles",
    }
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == config.airflow_url
    assert environment["CLASSIFIER_HOME"] == str(config.home)


def test_a_home_whose_name_means_something_to_airflow_gets_a_plain_path(config, tmp_path):
    home = tmp_path / "50% $HOME: ü"
    (home / "airflow").mkdir(parents=True)
    environment = standalone.environment({"PATH": "/bin"}, replace(config, home=home))
    assert Path(environment["AIRFLOW_HOME"]).resolve() == home / "airflow"
    assert environment["PATH"] == f"{environment['AIRFLOW_HOME']}/bin:/bin"
    assert not set("%$: ü") & set(environment["AIRFLOW_HOME"])
    assert environment["CLASSIFIER_HOME"] == str(home)


def test_settings_of_another_airflow_are_removed(config):
    others = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__API__SSL_CERT": "x",
        "AIRFLOW_CONN_ARTICLES": "x",
        "CLASSIFIER_DATABASE_URL": "postgresql+psycopg2://elsewhere/articles",
        "CLASSIFIER_INBOX": "/inbox",
        "LANG": "C.UTF-8",
    }
    environment = standalone.environment(others, config)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["LANG"] == "C.UTF-8"
    assert not {"AIRFLOW__API__SSL_CERT", "CLASSIFIER_DATABASE_URL", "CLASSIFIER_INBOX"} & set(environment)


def test_the_password_stays_the_same_and_is_only_in_its_file(config):
    password = standalone.password(config.passwords)
    assert password == standalone.password(config.passwords)
    assert stat.S_IMODE(config.passwords.stat().st_mode) == 0o600
    assert json.loads(config.passwords.read_text()) == {"admin": password}
    environment = standalone.environment({}, config)
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(config.passwords)
    assert all(password not in value for value in environment.values())


def test_each_home_has_its_own_password(config, tmp_path):
    other = replace(config, home=tmp_path / "other")
    assert standalone.password(config.passwords) != standalone.password(other.passwords)


def test_a_port_in_use_is_reported_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=rf"^port {port}: not available \(.*\); choose a free one with --port 0$"):
            standalone.free_port(port)


def test_port_0_is_any_free_port():
    assert standalone.free_port(standalone.free_port(0)) > 0


def test_an_installation_without_dags_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(standalone, "__file__", str(tmp_path / "site" / "classifier" / "demo" / "x.py"))
    with pytest.raises(UserError, match="run the demo from a checkout of the project"):
        standalone.project_root()


def with_airflow(config, folder, program):
    """Return the configuration with a package `airflow` that only runs a program."""
    module = folder / "airflow"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "__main__.py").write_text(program)
    return replace(config, project=folder)


def test_the_error_of_an_airflow_that_does_not_start_has_the_end_of_its_log(config, tmp_path):
    record = tmp_path / "demo.json"
    fake = with_airflow(config, tmp_path / "fake", "import sys; print('no such database'); sys.exit(3)")
    with standalone.started(fake, os.environ, record) as airflow:
        assert record.exists()
        airflow.process.wait()
        with pytest.raises(AirflowFailedError, match=r"exit code 3\nno such database"):
            airflow.check()
    assert not record.exists()


def test_the_log_servers_are_not_started(config, tmp_path):
    program = (
        "import subprocess, sys\n"
        "if sys.argv[1:] == ['standalone']:\n"
        "    for part in ('scheduler', 'triggerer', 'api-server'): subprocess.run(['airflow', part], check=True)\n"
        "else: print(*sys.argv[1:], flush=True)\n"
    )
    fake = with_airflow(config, tmp_path / "fake", program)
    with standalone.started(fake, os.environ, tmp_path / "demo.json") as airflow:
        assert airflow.process.wait() == 0
    lines = airflow.log.read_text().split("\n")
    assert lines == ["scheduler --skip-serve-logs", "triggerer --skip-serve-logs", "api-server", ""]
    assert sys.executable in (config.airflow_home / "bin" / "airflow").read_text()
