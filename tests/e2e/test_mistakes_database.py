"""A wrong database URL or setting is reported in one line; a bug keeps its traceback."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import run

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("database: down", r"the database does not answer \(.*Connection refused")
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@127.0.0.1:1/articles"
    return ("status",)


@case("database: no such one", r"the database refuses the connection \(.*database \"nowhere\" does not exist")
def _(env):
    env.database(database="nowhere")
    return ("status",)


@case("database: without tables", r"no tables of the classifier; it must have \d{4}; run: classifier db upgrade")
def _(env):
    env.database(database="template1")
    return ("label",)


@case("database: of a newer version", r"the database has version 9999, which is newer than this code; update the code")
def _(env):
    run(env.workspace.database, "UPDATE alembic_version SET version_num = '9999'")
    return "db", "upgrade"


@case("database: not a URL", r"CLASSIFIER_DATABASE_URL: not a URL; use postgresql\+psycopg2://")
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "localhost"
    return ("status",)


@case("database: another driver", r"CLASSIFIER_DATABASE_URL: driver 'mysql'; use postgresql\+psycopg2://")
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "mysql://me:secret@localhost/articles"
    return ("status",)


@case("database: a port that is no number", r"CLASSIFIER_DATABASE_URL: the port is not a number")
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@localhost:port/articles"
    return ("status",)


@case(
    "database: an @ in the password",
    r"DATABASE_URL: has more than one @; write %40 for an @ in a user name or password",
)
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:sec@ret@localhost/articles"
    return ("status",)


@case("database: an option that there is not", r"CLASSIFIER_DATABASE_URL: invalid dsn: .*\"sslmod\"")
def _(env):
    env.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@localhost/articles?sslmod=on"
    return ("status",)


@case("settings: a timeout that is no number", r"CLASSIFIER_STATEMENT_TIMEOUT_S: Input should be a valid number")
def _(env):
    env.environment["CLASSIFIER_STATEMENT_TIMEOUT_S"] = "long"
    return ("status",)


@case("settings: a home that is a file", r"home/postgres: the embedded Postgres does not start")
def _(env):
    env.bytes(b"", "file")
    env.environment |= {"CLASSIFIER_HOME": "file/home", "CLASSIFIER_DATABASE_URL": None}
    return "db", "upgrade"


@case("database: none in the home", r"home/postgres: no database found; run: classifier db upgrade, or name another")
def _(env):
    env.environment |= {"CLASSIFIER_HOME": "empty/home", "CLASSIFIER_DATABASE_URL": None}
    return "ingest", env.csv({"text": "x"})


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])


def test_the_password_of_a_url_is_not_printed(classifier):
    done = classifier("status", CLASSIFIER_DATABASE_URL="postgresql+psycopg2://me:secret@127.0.0.1:1/articles")
    assert "me:***@127.0.0.1" in done.stderr
    assert "secret" not in done.stderr


def test_a_bug_keeps_its_traceback(classifier, env):
    """What the user cannot correct is not reported as a mistake: here a broken view."""
    run(
        env.workspace.database,
        "ALTER TABLE labelling_queue RENAME TO away; "
        "CREATE VIEW labelling_queue AS SELECT 1 / 0 AS priority, id AS task_id FROM tasks",
    )
    done = classifier("status", **env.environment)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("label", "--help"), ("label-table", "--help"), ("db", "--help"), ("encoder", "import", "--help")],
)
def test_help_needs_no_database(classifier, arguments):
    done = classifier(*arguments, CLASSIFIER_DATABASE_URL="nonsense")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout
