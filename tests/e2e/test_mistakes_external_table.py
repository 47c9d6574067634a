"""A mistake about an external table is reported in one line, and nothing is written."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import run

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("label-table: neither a table nor a query", r"label-table: give either --table or --query")
def _(_env):
    return "label-table", "--url", "X", "--key", "id", "--text", "body"


@case("label-table: a query without --out", r"label-table: --query needs --out, the table of the labels")
def _(_env):
    return "label-table", "--url", "X", "--key", "id", "--text", "body", "--query", "SELECT 1"


@case("label-table: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(env):
    return env.label_table()


@case("label-table: a byte of the manifest changed", r"classifier\.json: sha256 is .*, registered as")
def _(env):
    manifest = env.champion() / "classifier.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    return env.label_table()


@case("label-table: an engine of another name", r"engine 'x': unknown; choose from auto, openvino, keras")
def _(env):
    return env.label_table("--engine", "x")


@case("label-table: a variable that is not set", r"--url: the environment has no CMS_URL; set it to the database's URL")
def _(env):
    return env.label_table(url="CMS_URL")


@case(
    "label-table: neither a URL nor a name", r"--url: must be a SQLAlchemy URL or the name of an environment variable"
)
def _(env):
    return env.label_table(url="me:secret@localhost/cms")


@case("label-table: a kind of database that there is not", r"--url: the database cannot be opened \(Can't load plugin")
def _(env):
    env.champion()
    return env.label_table(url="oracel://me:secret@localhost/cms")


@case(
    "label-table: a driver that is not installed", r"--url: the database cannot be opened \(No module named 'pymysql'"
)
def _(env):
    env.champion()
    return env.label_table(url="mysql+pymysql://me:secret@localhost/cms")


@case("label-table: a port that is no number", r"--url: the database cannot be opened \(the port is not a number\)")
def _(env):
    env.champion()
    return env.label_table(url="postgresql://me:secret@localhost:port/cms")


@case(
    "label-table: down",
    r"postgresql\+psycopg2://me:\*\*\*@127\.0\.0\.1:1/cms: the database does not answer \(.*refused",
)
def _(env):
    env.champion()
    return env.label_table(url="postgresql://me:secret@127.0.0.1:1/cms?application_name=secret")


@case("label-table: a folder that is not there", r"sqlite:////nowhere/cms\.db: the database does not answer")
def _(env):
    env.champion()
    return env.label_table(url="sqlite:////nowhere/cms.db")


@case("label-table: no such table", r"table 'nwes': not found; is 'news' meant\?")
def _(env):
    env.champion()
    return env.label_table(table="nwes")


@case("label-table: no such schema", r"table 'press\.news': not found")
def _(env):
    env.champion()
    return env.label_table(table="press.news")


@case("label-table: no such key", r"table 'news': column 'nr' not found; choose from 'id', 'body'")
def _(env):
    env.champion()
    return env.label_table(key="nr")


@case("label-table: no such text", r"table 'news': column 'text' not found; choose from 'id', 'body'")
def _(env):
    env.champion()
    return env.label_table(text="text")


@case(
    "label-table: a key that comes twice", r"table 'news': column 'id' has the same value twice; a key must be unique"
)
def _(env):
    env.champion()
    return env.label_table(rows="(1, 'the bank'), (1, 'the goal')")


@case("label-table: a key that is null", r"table 'news': column 'id' has nulls; a key must be unique and never null")
def _(env):
    env.champion()
    return env.label_table(rows="(1, 'the bank'), (NULL, 'the goal')")


@case("label-table: a key of a label's name", r"table 'news': the key 'model' has the name of a column of the labels")
def _(env):
    env.champion()
    return env.label_table(key="model")


@case("label-table: a text that is a number", r"table 'news': column 'id' holds integer; it must hold text")
def _(env):
    env.champion()
    return env.label_table(text="id")


@case(
    "label-table: labels of another form",
    r"table 'old': not a table of labels, column 'model', .* not found; name another with --out",
)
def _(env):
    env.champion()
    run(env.workspace.database, "CREATE TABLE old (id int, category text)")
    return env.label_table("--out", "old")


@case("label-table: labels without a primary key", r"table 'old': not a table of labels, 'id' must be its primary key")
def _(env):
    env.champion()
    columns = "id int, model text, category text, confidence real, probabilities jsonb"
    run(
        env.workspace.database,
        f"CREATE TABLE old ({columns}, text_hash text, labelled_at timestamptz, error text)",
    )
    return env.label_table("--out", "old")


@case("label-table: labels into the table itself", r"--out public\.news: is the table to label")
def _(env):
    env.champion()
    return env.label_table("--out", "public.news")


@case("label-table: a query that is none", r"the query: syntax error at or near")
def _(env):
    env.champion()
    return env.label_query("SELEKT id")


@case("label-table: a query without the text", r"the query: column source\.body does not exist")
def _(env):
    env.champion()
    return env.label_query("SELECT id FROM news")


@case("label-table: a query that writes", r"the query: cannot execute nextval\(\) in a read-only transaction")
def _(env):
    env.champion()
    run(env.workspace.database, "CREATE SEQUENCE counter")
    return env.label_query("SELECT nextval('counter') AS id, body FROM news")


@case("label-table: a password on the command line", r"--url: must not hold a password, which the list of processes")
def _(env):
    env.champion()
    env.label_table()
    return "label-table", "--url", "postgresql://me:secret@h/cms", "--table", "news", "--key", "id", "--text", "body"


@case("label-table: a password in the labels' URL", r"--out-url: must not hold a password, which the list of processes")
def _(env):
    env.champion()
    return env.label_table("--out-url", "postgresql://h/cms?user=me&password=secret")


@case("label-table: the labels' variable is not set", r"--out-url: the environment has no DWH_URL; set it")
def _(env):
    env.champion()
    return env.label_table("--out-url", "DWH_URL")


@case(
    "label-table: the labels' database is down",
    r"postgresql\+psycopg2://me:\*\*\*@127\.0\.0\.1:1/dwh: the database does",
)
def _(env):
    env.champion()
    env.environment["DWH_URL"] = "postgresql://me:secret@127.0.0.1:1/dwh"
    return env.label_table("--out-url", "DWH_URL")


@case(
    "label-table: no such schema for the labels", r"--out ml\.news_labels: schema 'ml' not found; create it, or name an"
)
def _(env):
    env.champion()
    return env.label_table("--out-schema", "ml")


@case("label-table: two schemas for the labels", r"--out a\.labels: has another schema than --out-schema b; name one")
def _(env):
    env.champion()
    return env.label_table("--out", "a.labels", "--out-schema", "b")


@case("label-table: a name that the server would cut", r"--out l+: is longer than 63 bytes; name a shorter one")
def _(env):
    env.champion()
    return env.label_table("--out", "l" * 64)


@case(
    "label-table: one column of a key of two",
    r"column 'id' has the same value twice; .*give each column .* its own --key",
)
def _(env):
    env.champion()
    return env.label_table(rows="(1, 'the bank'), (1, 'the goal')")


@case("label-table: a column of a key twice", r"table 'news': a column is named twice as --key; name each once")
def _(env):
    env.champion()
    return env.label_table("--key", "id")


@case(
    "label-table: a key without an order",
    r"the query: column 'id' holds json, which has no order; CAST it in a --query",
)
def _(env):
    env.champion()
    return env.label_query("SELECT to_json(id) AS id, body FROM news")


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])
