"""Other programs reach the embedded Postgres while it is served: by a socket with all rights, and by TCP to read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psycopg2
import psycopg2.errors
import pytest
from sqlalchemy import make_url

from classifier import embedded_postgres
from classifier.exceptions import DatabaseNotMigratedError, DatabaseUnavailableError, SettingsError
from classifier.pipeline.database import access, upgrade
from classifier.pipeline.database.access import ServedUrls
from classifier.settings import Settings
from classifier.workspace import open_workspace
from tests.support.postgres import remove_server
from tests.support.synthetic import add_articles, annotate
from tests.support.waiting import HANG_S

PROGRAM = "from classifier.cli.app import main; main()"
LABELS = "SELECT external_id, label FROM article_labels"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose embedded Postgres has one annotated article."""
    folder = tmp_path_factory.mktemp("served") / "home"
    workspace = open_workspace(Settings(home=folder, _env_file=None), create=True)
    upgrade.upgrade_schema(workspace)
    with workspace.database.begin() as connection:
        (article,) = add_articles(connection, [("a1", "private", "train")])
        annotate(connection, article, "sport")
    workspace.database.dispose()
    embedded_postgres.leave(folder / "postgres")
    yield folder
    remove_server(folder / "postgres")


def command(home, *arguments, **environment):
    variables = {**os.environ, "CLASSIFIER_HOME": str(home), **environment}
    return {"args": [sys.executable, "-c", PROGRAM, *arguments], "env": variables, "text": True}


def run(home, *arguments, **environment):
    return subprocess.run(**command(home, *arguments, **environment), capture_output=True, check=False)


@pytest.fixture(scope="module")
def served(home):
    """The URLs of `classifier db serve`, which ends without an error."""
    process = subprocess.Popen(
        **command(home, "db", "serve", "--port", "0", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    line = process.stdout.readline()
    assert line, process.stderr.read()
    urls = json.loads(line)
    yield ServedUrls(urls["socket"], urls["tcp"])
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out, err) == (0, "", "")


def read(url, statement=LABELS, **options):
    connection = psycopg2.connect(url, **options)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


@pytest.mark.slow
def test_both_urls_read_labels_and_only_the_socket_reads_texts(served):
    assert read(served.tcp) == read(served.socket) == [("a1", "sport")]
    assert read(served.socket, "SELECT text FROM articles") == [("private",)]
    refusals = (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)
    for statement in ("SELECT text FROM articles", "DELETE FROM annotations", "SET ROLE postgres"):
        with pytest.raises(refusals):
            read(served.tcp, statement)


def test_tcp_needs_the_password_and_has_one_role_whatever_the_program_names(served):
    url = make_url(served.tcp)
    with pytest.raises(psycopg2.OperationalError, match=r"password authentication failed"):
        read(url.set(password="wrong").render_as_string(hide_password=False))
    owner = url.set(username="postgres", database="postgres").render_as_string(hide_password=False)
    assert read(owner, "SELECT session_user::text, current_database()::text") == [("articles_analyst", "articles")]


def test_a_large_result_and_a_cancelled_statement_pass_through_the_proxy(served):
    assert len(read(served.tcp, "SELECT repeat('x', 1000) FROM generate_series(1, 20000)")) == 20_000
    connection = psycopg2.connect(served.tcp, options="-c statement_timeout=100")
    with pytest.raises(psycopg2.errors.QueryCanceled), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")
    connection.close()


def test_a_program_that_sends_anything_else_is_disconnected(served):
    import socket

    url = make_url(served.tcp)
    for content in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x08\0\x03\0\0", b"x"):
        with socket.create_connection((url.host, url.port), timeout=HANG_S) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1000):
                pass
    assert read(served.tcp) == [("a1", "sport")]


def test_the_url_command_prints_the_socket_while_it_is_served(home, served):
    done = run(home, "db", "url")
    assert (done.returncode, done.stdout) == (0, served.socket + "\n"), done.stderr
    assert json.loads(run(home, "db", "url", "--json").stdout) == {"url": served.socket}


def test_the_shell_is_psql_with_its_arguments_and_exit_code(home, served):
    done = run(home, "db", "shell", "--no-psqlrc", "-At", "-c", LABELS)
    assert (done.returncode, done.stdout) == (0, "a1|sport\n"), done.stderr
    assert run(home, "db", "shell", "-c", "SELECT no_such_column").returncode == 1


def test_the_shell_and_the_url_are_those_of_the_server_that_the_settings_name(home, served):
    url = make_url(served.tcp).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    done = run(home, "db", "shell", "-At", "-c", "SELECT session_user", CLASSIFIER_DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (0, "articles_analyst\n"), done.stderr
    assert access.find_url(Settings(database_url=url, _env_file=None)) == served.tcp


def test_the_password_is_not_among_the_arguments_which_other_users_see(tmp_path, monkeypatch, capfd):
    program = tmp_path / "psql"
    program.write_text('#!/bin/sh\necho "$@"\necho "$PGPASSWORD"\n', encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(embedded_postgres, "psql", lambda: program)
    settings = Settings(database_url="postgresql+psycopg2://me:secret@host:5/db?sslmode=require", _env_file=None)
    assert access.open_shell(settings, ["-c", "SELECT 1"]) == 0
    assert capfd.readouterr().out == "-c SELECT 1 postgresql://me@host:5/db?sslmode=require\nsecret\n"


def test_a_port_that_is_in_use_and_another_server_are_refused(home, served):
    port = str(make_url(served.tcp).port)
    done = run(home, "db", "serve", "--port", port)
    assert done.returncode == 2
    assert "choose another port, or 0" in " ".join(done.stderr.split())
    with pytest.raises(SettingsError, match=r"^CLASSIFIER_DATABASE_URL: names a server that runs by itself"):
        access.refuse_other_server(Settings(database_url=served.tcp, _env_file=None))


def test_without_a_database_nothing_is_created(tmp_path):
    settings = Settings(home=tmp_path / "home", _env_file=None)
    for use in (access.find_url, access.open_shell, access.refuse_other_server):
        with pytest.raises(
            DatabaseNotMigratedError, match=r"postgres: no database found; run: classifier db upgrade, or name"
        ):
            use(settings)
    assert not list(tmp_path.iterdir())


def test_a_database_that_no_command_uses_has_no_url(tmp_path):
    directory = tmp_path / "home" / "postgres"
    directory.mkdir(parents=True)
    (directory / "PG_VERSION").write_text("18\n", encoding="ascii")
    with pytest.raises(DatabaseUnavailableError, match=r"run in another terminal: classifier db serve$"):
        access.find_url(Settings(home=tmp_path / "home", _env_file=None))
