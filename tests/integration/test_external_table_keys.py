"""Every kind of key is labelled exactly once, here or in another database, or refused before anything is written."""

from __future__ import annotations

import sqlite3

import pytest

from classifier.exceptions import TableError
from classifier.external_table.definition import ExternalTable
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.external_databases import ExternalDatabase, label_external, replace_labeller
from tests.support.synthetic import make_champion

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'Très "glad"', 'a,b');
CREATE TYPE place AS (page int, word text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN code AS varchar(6) COLLATE "C" CHECK (VALUE <> 'x');
CREATE DOMAIN codes AS code[];
CREATE SCHEMA "My Types";
CREATE DOMAIN "My Types"."Odd" AS timestamptz;
"""

KINDS = {
    "boolean": ["true", "false"],
    "date": ["infinity", "-infinity", "2024-01-01", "0044-03-15 BC", "12024-01-01"],
    "timestamp": ["infinity", "-infinity", "2024-01-01 00:00:00.000001", "0044-03-15 BC", "12024-01-01"],
    "timestamptz": [
        "infinity",
        "-infinity",
        "2024-10-27 01:30+01",
        "2024-10-27 01:30+02",
        "1800-01-01",
        "0044-03-15 BC",
    ],
    "timestamptz(0)": ["2024-10-27 01:30:01+01", "2024-10-27 01:30+02"],
    "time": ["24:00", "00:00", "12:00:00.000001"],
    "timetz": ["12:00+01", "12:00+02"],
    "interval": ["1 month", "31 days", "-1 year 2 days -00:00:00.000001", "100000 hours"],
    "float8": ["NaN", "Infinity", "-Infinity", "0.1", "0.30000000000000004", "1e-320", "-0"],
    "float4": ["NaN", "Infinity", "-Infinity", "0.7", "0.1", "16777216", "1e-40"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1.50", "1e40", "-0.000000000000000000001"],
    "numeric(20, 5)": ["NaN", "0.14286", "12345678901234.5"],
    "smallint": ["-32768", "0", "32767"],
    "bigint": ["-9223372036854775808", "9007199254740993", "9223372036854775807"],
    "oid": ["0", "4294967295"],
    "text": ["", "'", "\\", "%s", ":x", "a\nb", "Ünï", "\U0001f600", "a", "a ", "A", "NULL", "{}", "infinity"],
    'text COLLATE "C"': ["a", "B", "b", "A", "é"],
    "varchar(4)": ["a", "a ", "abcd", ""],
    "char(5)": ["a", "abcde", "", "ab  c"],
    '"char"': ["a", "b"],
    "name": ["a", "B"],
    "bytea": [r"\x", r"\x00ff", r"\x5c78", r"\x27"],
    "uuid": ["00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "int[]": ["{}", "{1,2}", "{NULL}", "{{1,2},{3,4}}", "[0:1]={5,6}"],
    "text[]": [r'{"a,b","c\"d"}', "{}", '{NULL,"NULL"}', '{""}'],
    "timestamptz[]": ["{infinity,2024-01-01}", "{-infinity}"],
    "int4range": ["empty", "(,)", "[1,5)", "[,3)"],
    "tstzrange": ["[-infinity,infinity]", "[2024-01-01,)", "empty"],
    "int4multirange": ["{}", "{[1,3),[5,9)}"],
    "bit(3)": ["101", "000"],
    "varbit": ["", "1", "01"],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::1"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "jsonb": ['{"a": [1, null]}', "null", '"a"', "1.50"],
    "money": ["-92233720368547758.08", "0.01"],
    "pg_lsn": ["0/0", "16/B374D848"],
    "tsvector": ["'a':1 'b'", ""],
    "regtype": ["int4", "text"],
    "mood": ["sad", 'Très "glad"', "a,b"],
    "place": ['(1,"a,b")', "(,)", "(2,)"],
    "positive": ["1", "7"],
    "code": ["a", "B", "abcdef"],
    "codes": ["{a,b}", "{}"],
    '"My Types"."Odd"': ["infinity", "2024-01-01"],
}
"""Types of Postgres, with values whose text or order is unusual."""


@pytest.fixture(scope="module")
def workspace(server, tmp_path_factory):
    url = server.create(template=server.migrated.database)
    engine = connections.connect(url.render_as_string(hide_password=False))
    workspace = Workspace(engine, Settings(home=tmp_path_factory.mktemp("home"), _env_file=None))
    make_champion(workspace, "m1", 0)
    yield workspace
    engine.dispose()
    server.drop(url)


@pytest.fixture(scope="module")
def _postgres(server):
    url = server.create()
    external = ExternalDatabase(url.render_as_string(hide_password=False))
    for statement in TYPES.strip().split(";\n"):
        external.run(statement)
    yield external
    external.engine.dispose()
    server.drop(url)


@pytest.fixture
def postgres(_postgres, monkeypatch):
    replace_labeller(monkeypatch)
    yield _postgres
    drop_tables(_postgres)


@pytest.fixture(scope="module")
def _out(server):
    url = server.create()
    external = ExternalDatabase(url.render_as_string(hide_password=False))
    yield external
    external.engine.dispose()
    server.drop(url)


@pytest.fixture
def out(_out):
    """Return another database of Postgres, which knows none of the types; a failed test leaves no table in it."""
    yield _out
    drop_tables(_out)


AS_TEXT = "SELECT CAST(id AS text) FROM {}"
TABLES = "SELECT CAST(c.oid AS regclass)::text FROM pg_class AS c WHERE relkind IN ('r', 'p') AND c.oid >= 16384"


def drop_tables(external):
    for (name,) in external.query(TABLES):
        external.run(f"DROP TABLE IF EXISTS {name} CASCADE")


def create(postgres, kind, values, constraint="PRIMARY KEY"):
    """Create the table news with some keys; each row has a text of its own."""
    postgres.run(f"CREATE TABLE news (id {kind} {constraint}, body text)")
    base = kind.partition(" COLLATE")[0]
    for number, value in enumerate(values):
        statement = f"INSERT INTO news VALUES (CAST(CAST(:value AS text) AS {base}), 'text ' || :number)"
        postgres.run(statement, value=value, number=str(number))


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_key_gets_one_label(self, workspace, postgres, kind):
        create(postgres, kind, KINDS[kind])
        report = label_external(workspace, postgres, page_size=2)
        assert (report.labelled, report.dead_letters) == (len(KINDS[kind]), 0)
        assert postgres.counts() == (len(KINDS[kind]), len(KINDS[kind]), {"m1"})
        assert label_external(workspace, postgres, page_size=2).labelled == 0
        assert label_external(workspace, postgres, page_size=3, refresh=True).labelled == 0

    @pytest.mark.parametrize(
        ("kind", "target"),
        [(kind, "postgres") for kind in KINDS]
        + [(kind, "sqlite") for kind in ("bigint", "timestamptz", "text[]", "boolean", "char(5)", "numeric", "bytea")],
    )
    def test_each_key_gets_one_label_in_another_database(self, workspace, postgres, out, tmp_path, kind, target):
        create(postgres, kind, KINDS[kind])
        other = out if target == "postgres" else ExternalDatabase(f"sqlite:///{tmp_path}/labels.db")
        report = label_external(workspace, postgres, page_size=2, out_address=other.url)
        assert (report.labelled, report.dead_letters) == (len(KINDS[kind]), 0)
        again = label_external(workspace, postgres, page_size=3, out_address=other.url, refresh=True)
        copied = {key for (key,) in other.query(AS_TEXT.format("news_labels"))}
        other.run("DROP TABLE news_labels")
        other.engine.dispose()
        assert (again.labelled, len(copied)) == (0, len(KINDS[kind]))
        if "tz" not in kind:  # its text depends on the session's time zone
            assert copied == {key for (key,) in postgres.query(AS_TEXT.format("news"))}
        assert postgres.value("SELECT to_regclass('news_labels')") is None

    @pytest.mark.parametrize("kind", ["json", "xml", "point", "place_of_json", "aclitem"])
    def test_a_type_without_an_order_is_refused_before_anything_is_written(self, workspace, postgres, kind):
        if kind == "place_of_json":
            postgres.run("CREATE TYPE place_of_json AS (a json)")
        postgres.run(f"CREATE TABLE news (id {kind}, body text)")
        if kind == "place_of_json":
            postgres.run("INSERT INTO news VALUES (ROW('{}'), 'a'), (ROW('{}'), 'b')")
        before = postgres.query(TABLES)
        with pytest.raises(
            TableError, match=r"^table 'news': (column 'id' holds \w+, which has no order; CAST it|could not)"
        ):
            label_external(workspace, postgres)
        assert postgres.query(TABLES) == before

    @pytest.mark.parametrize("kind", ["int", "bytea", "uuid", "text[]", "jsonb", "timestamp", "tsvector"])
    def test_a_text_that_is_none_is_refused_before_anything_is_written(self, workspace, postgres, kind):
        postgres.run(f"CREATE TABLE news (id int PRIMARY KEY, body {kind})")
        with pytest.raises(TableError, match=r"^table 'news': column 'body' holds .*; it must hold text$"):
            label_external(workspace, postgres)

    @pytest.mark.parametrize("kind", ["char(20)", "code", "mood", "name"])
    def test_a_text_may_have_any_type_of_strings(self, workspace, postgres, kind):
        postgres.run(f"CREATE TABLE news (id int PRIMARY KEY, body {kind})")
        postgres.run("INSERT INTO news VALUES (1, 'sad')")
        assert label_external(workspace, postgres).labelled == 1

    def test_a_record_is_refused(self, workspace, postgres):
        create(postgres, "int", ["1"])
        source = ExternalTable("key", "body", query="SELECT ROW(id, body) AS key, body FROM news", out="found")
        with pytest.raises(TableError, match=r"^the query: column 'key' holds record, which has no order; CAST it"):
            label_external(workspace, postgres, source)

    @pytest.mark.parametrize(
        "kind", ["timestamptz", 'text COLLATE "C"', "char(5)", "bit(3)", "codes", "place", "bigint"]
    )
    def test_the_key_of_a_query_has_the_type_of_its_column(self, workspace, postgres, kind):
        create(postgres, kind, KINDS[kind])
        source = ExternalTable("id", "words", query="SELECT id, body || '!' AS words FROM news", out="found")
        assert label_external(workspace, postgres, source, page_size=2).labelled == len(KINDS[kind])
        joined = "SELECT count(*) FROM news JOIN found ON news.id = found.id"
        assert postgres.value(joined) == len(KINDS[kind])


class TestUniqueness:
    def test_a_key_that_is_null_is_refused(self, workspace, postgres):
        create(postgres, "timestamptz", ["infinity", None], constraint="UNIQUE")
        with pytest.raises(
            TableError, match=r"^table 'news': column 'id' has nulls; a key must be unique and never null$"
        ):
            label_external(workspace, postgres)

    @pytest.mark.parametrize(
        "kind",
        ["timestamptz", "float8", "text", "int[]", "boolean", "numeric"],
    )
    def test_a_key_that_comes_twice_is_refused(self, workspace, postgres, kind):
        create(postgres, kind, [*KINDS[kind], KINDS[kind][0]], constraint="")
        with pytest.raises(
            TableError, match=r"^table 'news': column 'id' has the same value twice; a key must be unique"
        ):
            label_external(workspace, postgres)
        assert postgres.value("SELECT to_regclass('news_labels')") is None

    def test_a_key_that_comes_twice_in_a_table_and_its_children_is_refused(self, workspace, postgres):
        create(postgres, "int", ["1", "2"])
        postgres.run("CREATE TABLE old_news () INHERITS (news)")
        postgres.run("INSERT INTO old_news VALUES (3, 'x')")
        assert label_external(workspace, postgres).labelled == 3
        postgres.run("INSERT INTO old_news VALUES (1, 'x')")
        with pytest.raises(TableError, match="has the same value twice"):
            label_external(workspace, postgres)

    def test_a_unique_index_of_some_rows_proves_nothing(self, workspace, postgres):
        create(postgres, "int", ["1", "1"], constraint="")
        postgres.run("CREATE UNIQUE INDEX ON news (id) WHERE body = 'text 0'")
        with pytest.raises(TableError, match="has the same value twice"):
            label_external(workspace, postgres)

    def test_an_unfinished_unique_index_proves_nothing(self, workspace, postgres):
        create(postgres, "int", ["1", "1"], constraint="")
        with pytest.raises(Exception, match="could not create unique index"):
            postgres.run_alone("CREATE UNIQUE INDEX CONCURRENTLY ON news (id)")
        with pytest.raises(TableError, match="has the same value twice"):
            label_external(workspace, postgres)

    def test_a_key_that_no_index_holds_is_refused_before_anything_is_written(self, workspace, postgres):
        create(postgres, "text", ["a", "x" * 2601], constraint="")
        with pytest.raises(
            TableError, match=r"^table 'news': a key \('id'\) has more than 2,600 bytes, which no index"
        ):
            label_external(workspace, postgres)
        assert postgres.value("SELECT to_regclass('news_labels')") is None

    def test_a_long_key_that_the_index_of_the_table_holds_is_labelled(self, workspace, postgres):
        create(postgres, "text", ["a", "x" * 100_000, "ü" * 1000])
        assert label_external(workspace, postgres).labelled == 3


class TestTables:
    @pytest.mark.parametrize(
        "statements",
        [
            ["CREATE TABLE news (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)"],
            ["CREATE TABLE news (id text GENERATED ALWAYS AS ('k' || length(body)) STORED UNIQUE, body text)"],
            ["CREATE TABLE news (id serial PRIMARY KEY, body text) PARTITION BY RANGE (id)",
             "CREATE TABLE news_1 PARTITION OF news FOR VALUES FROM (1) TO (3)",
             "CREATE TABLE news_2 PARTITION OF news DEFAULT"],
            ["CREATE UNLOGGED TABLE news (id serial PRIMARY KEY, body text) WITH (fillfactor = 50)"],
        ],
    )  # fmt: skip
    def test_of_every_kind_are_labelled(self, workspace, postgres, statements):
        for statement in statements:
            postgres.run(statement)
        postgres.run("INSERT INTO news (body) VALUES ('a'), ('bb'), ('ccc'), ('dddd')")
        assert label_external(workspace, postgres, page_size=3).labelled == 4
        assert postgres.counts() == (4, 4, {"m1"})

    @pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
    def test_views_are_labelled(self, workspace, postgres, kind):
        create(postgres, "timestamptz", KINDS["timestamptz"])
        postgres.run(f"CREATE {kind} fresh AS SELECT id, body FROM news")
        assert label_external(workspace, postgres, ExternalTable("id", "body", table="fresh")).labelled == 6

    @pytest.mark.parametrize(
        ("name", "column"),
        [("News", "Id"), ("ne ws", "i d"), ('n"ws', 'i"d'), ("n%s", "i%(x)s"), ("n:x", "i:d"), ("Ünï", "ïd"),
         ("select", "from"), ("n" * 56, "i" * 63)],
    )  # fmt: skip
    def test_names_may_have_any_characters(self, workspace, postgres, name, column):
        quoted = [part.replace('"', '""').replace(":", r"\:") for part in (name, column)]
        postgres.run('CREATE TABLE "{}" ("{}" timestamptz PRIMARY KEY, "a b" text)'.format(*quoted))
        postgres.run("INSERT INTO \"{}\" VALUES ('infinity', 'x'), ('-infinity', 'y')".format(*quoted))
        source = ExternalTable(column, "a b", table=name)
        assert label_external(workspace, postgres, source, page_size=1).labelled == 2
        assert label_external(workspace, postgres, source).labelled == 0

    def test_a_name_with_dots_is_written_in_quotes(self, workspace, postgres):
        postgres.run('CREATE TABLE "My Types"."the.news" (id int PRIMARY KEY, body text)')
        postgres.run('INSERT INTO "My Types"."the.news" VALUES (1, \'x\')')
        source = ExternalTable("id", "body", table='My Types."the.news"', out='"a.b"')
        report = label_external(workspace, postgres, source)
        assert (report.out, report.labelled) == ("My Types.a.b", 1)

    def test_a_name_whose_labels_would_be_cut_is_refused(self, workspace, postgres):
        name = "n" * 63
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, body text)")
        with pytest.raises(TableError, match=r"^--out n+_labels: is longer than 63 bytes; name a shorter one$"):
            label_external(workspace, postgres, ExternalTable("id", "body", table=name))

    def test_settings_of_the_server_change_nothing(self, workspace, postgres):
        for setting in ("DateStyle = 'German'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Kathmandu'",
                        "extra_float_digits = -15", "bytea_output = 'escape'",
                        "standard_conforming_strings = off"):  # fmt: skip
            postgres.run(f"ALTER ROLE CURRENT_USER SET {setting}")
        try:
            for kind in ("timestamptz", "interval", "float8", "bytea", "date", "text", "text[]"):
                create(postgres, kind, KINDS[kind])
                assert label_external(workspace, postgres, page_size=2).labelled == len(KINDS[kind])
                assert label_external(workspace, postgres, refresh=True).labelled == 0
                postgres.run("DROP TABLE news, news_labels")
        finally:
            postgres.run("ALTER ROLE CURRENT_USER RESET ALL")


class TestKeysOfSeveralColumns:
    NEWS = ExternalTable(("tenant", "at"), "body", table="news")

    @pytest.fixture
    def rows(self):
        times = ["-infinity", "2024-01-01", "infinity"]
        return [(tenant, at) for tenant in ("a", "B", "b'") for at in times]

    @pytest.fixture
    def filled(self, postgres, rows):
        postgres.run("CREATE TABLE news (at timestamptz, tenant text, body text, PRIMARY KEY (tenant, at))")
        for tenant, at in rows:
            postgres.run(f"INSERT INTO news VALUES ('{at}', :tenant, 'text')", tenant=tenant)
        return postgres

    @pytest.mark.parametrize("page_size", [1, 2, 4, 100])
    def test_each_key_gets_one_label(self, workspace, filled, rows, page_size):
        assert label_external(workspace, filled, self.NEWS, page_size=page_size).labelled == len(rows)
        assert filled.value("SELECT count(*) FROM news JOIN news_labels USING (tenant, at)") == len(rows)
        assert label_external(workspace, filled, self.NEWS, page_size=page_size, refresh=True).labelled == 0
        filled.run("UPDATE news SET body = 'changed' WHERE at = 'infinity'")
        assert label_external(workspace, filled, self.NEWS, page_size=page_size, refresh=True).labelled == 3

    @pytest.mark.parametrize("target", ["postgres", "sqlite"])
    def test_each_key_gets_one_label_in_another_database(self, workspace, filled, out, rows, tmp_path, target):
        other = out if target == "postgres" else ExternalDatabase(f"sqlite:///{tmp_path}/labels.db")
        options = {"page_size": 2, "out_address": other.url}
        assert label_external(workspace, filled, self.NEWS, **options).labelled == len(rows)
        assert label_external(workspace, filled, self.NEWS, **options, refresh=True).labelled == 0
        filled.run("UPDATE news SET body = 'changed' WHERE at = 'infinity'")
        assert label_external(workspace, filled, self.NEWS, **options, refresh=True).labelled == 3
        assert other.value("SELECT count(*) FROM (SELECT DISTINCT tenant, at FROM news_labels) AS keys") == len(rows)
        other.run("DROP TABLE news_labels")
        other.engine.dispose()

    def test_a_part_of_the_key_alone_is_refused_with_advice(self, workspace, filled):
        with pytest.raises(
            TableError, match=r"'tenant' has the same value twice; .*, or give each column of a key its"
        ):
            label_external(workspace, filled, ExternalTable("tenant", "body", table="news"))

    def test_a_key_whose_columns_together_are_too_long_is_refused(self, workspace, postgres):
        postgres.run("CREATE TABLE news (at timestamptz, tenant text, body text)")
        postgres.run("INSERT INTO news VALUES ('2024-01-01', repeat('x', 2590), 'text')")
        with pytest.raises(
            TableError, match=r"a key \('tenant', 'at'\) has more than 2,600 bytes, which no index holds"
        ):
            label_external(workspace, postgres, self.NEWS)

    def test_a_null_in_a_column_is_refused(self, workspace, postgres):
        postgres.run("CREATE TABLE news (at timestamptz, tenant text, body text, UNIQUE (tenant, at))")
        postgres.run("INSERT INTO news VALUES (NULL, 'a', 'text')")
        with pytest.raises(
            TableError, match=r"columns 'tenant', 'at' have nulls; a key must be unique and never null$"
        ):
            label_external(workspace, postgres, self.NEWS)


class TestSqlite:
    @pytest.fixture
    def sqlite(self, tmp_path, monkeypatch):
        replace_labeller(monkeypatch)
        connection = sqlite3.connect(tmp_path / "cms.db")
        connection.execute("CREATE TABLE news (id, part INTEGER DEFAULT 1, body TEXT)")
        external = ExternalDatabase(f"sqlite:///{tmp_path}/cms.db")

        def fill(*keys):
            connection.executemany("INSERT INTO news (id, body) VALUES (?, 'text')", [(key,) for key in keys])
            connection.commit()
            return external

        fill.connection = connection
        yield fill
        external.engine.dispose()
        connection.close()

    MIXED = (1, 2.5, float("inf"), float("-inf"), "a", "1", "", "a\0b", b"a", b"\xff", -(2**63), "ü")

    def test_keys_of_all_types_in_one_column_get_one_label(self, workspace, sqlite):
        external = sqlite(*self.MIXED)
        assert label_external(workspace, external, page_size=2).labelled == len(self.MIXED)
        assert label_external(workspace, external, refresh=True).labelled == 0

    def test_keys_of_several_columns_get_one_label(self, workspace, sqlite):
        external = sqlite(*self.MIXED)
        sqlite.connection.execute("INSERT INTO news SELECT id, part + 1, body FROM news")
        sqlite.connection.commit()
        source = ExternalTable(("id", "part"), "body", table="news")
        assert label_external(workspace, external, source, page_size=5).labelled == 2 * len(self.MIXED)
        assert label_external(workspace, external, source, page_size=5, refresh=True).labelled == 0
        external.run("UPDATE news SET body = 'changed'")
        changed = label_external(workspace, external, source, page_size=1000, refresh=True)
        assert changed.labelled == 2 * len(self.MIXED)

    @pytest.mark.parametrize("keys", [(3, -(2**63), 2**63 - 1), (2.5, 0.1, float("inf")), ("a", "1", "", "ü'")])
    def test_keys_of_one_type_get_one_label_in_postgres(self, workspace, sqlite, out, keys):
        external = sqlite(*keys)
        assert label_external(workspace, external, page_size=2, out_address=out.url).labelled == len(keys)
        assert label_external(workspace, external, out_address=out.url, refresh=True).labelled == 0
        assert sorted(out.query("SELECT id FROM news_labels")) == sorted((key,) for key in keys)
        out.run("DROP TABLE news_labels")

    @pytest.mark.parametrize(
        ("keys", "line"),
        [
            ((1, "a"), "holds values of type integer, text, which another database cannot store; CAST it in a --query"),
            ((b"a",), "holds values of type blob, which another database cannot store; CAST it in a --query"),
            (("a\0b",), "has text with a NUL character; make another key in a --query"),
            (("x" * 2601,), "has text of more than 2,600 bytes; make another key in a --query"),
        ],
    )
    def test_keys_that_postgres_cannot_store_are_refused_before_anything_is_written(
        self, workspace, sqlite, out, keys, line
    ):
        with pytest.raises(TableError, match=f"^table 'news': column 'id' {line}$"):
            label_external(workspace, sqlite(*keys), out_address=out.url)
        assert out.value("SELECT to_regclass('news_labels')") is None

    def test_text_that_is_not_utf_8_is_refused_before_anything_is_written(self, workspace, sqlite):
        external = sqlite("a")
        sqlite.connection.execute("INSERT INTO news (id, body) VALUES (CAST(x'ff' AS TEXT), 'text')")
        sqlite.connection.commit()
        with pytest.raises(
            TableError, match=r"^table 'news': column 'id' has text that is not UTF-8; make another key"
        ):
            label_external(workspace, external)
        assert external.query("SELECT name FROM sqlite_master") == [("news",)]

    def test_a_unique_index_of_some_rows_proves_nothing(self, workspace, sqlite):
        external = sqlite(1, 1)
        external.run("CREATE UNIQUE INDEX some ON news (id) WHERE body = 'none'")
        with pytest.raises(TableError, match="has the same value twice"):
            label_external(workspace, external)
