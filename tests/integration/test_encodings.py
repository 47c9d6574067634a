"""Texts are UTF-8 on every connection; a database that cannot store them, or does not know them, is refused."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from classifier.exceptions import SourceError
from classifier.external_table.definition import ExternalTable
from classifier.ingest import source_declarations
from classifier.pipeline.ingest import declared_sources
from classifier.pipeline.labelling import external_table
from tests.support.synthetic import make_champion, query, run, value, write_csv

TEXT = "Grüße aus Köln: 漢字"


@pytest.fixture
def database_of(server):
    """Return a function that creates a database of an encoding and returns its URL."""
    names = []

    def create(encoding):
        name = f"of_{encoding.lower()}"
        options = f"ENCODING '{encoding}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
        server.run(f"CREATE DATABASE {name} {options}")
        names.append(name)
        return server.admin.set(database=name)

    yield create
    for name in names:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


def address(url):
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("query_string", ["", "&client_encoding=latin1", "&options=-c%20client_encoding%3Dlatin1"])
def test_the_encoding_of_the_environment_or_the_url_does_not_change_texts(
    classifier, tmp_path, database, monkeypatch, query_string
):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    write_csv(tmp_path / "x.csv", [{"text": TEXT, "category": "Börse", "id": "ü1"}])
    url = address(database.url) + query_string
    done = classifier("ingest", "x.csv", "--id", "id", "--category", "category", "--json", CLASSIFIER_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    monkeypatch.delenv("PGCLIENTENCODING")
    with create_engine(database.url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT external_id, text, octet_length(text) FROM articles").all()
    assert [tuple(row) for row in rows] == [("ü1", TEXT, len(TEXT.encode()))]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused_in_one_line(classifier, database_of, encoding):
    url = database_of(encoding)
    for command in (("db", "upgrade"), ("status",)):
        done = classifier(*command, CLASSIFIER_DATABASE_URL=address(url))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert f"the database has the encoding {encoding}, but must have UTF8" in done.stderr
    assert query(create_engine(url), "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


class TestExternalDatabases:
    @pytest.fixture
    def ingest(self, workspace, tmp_path):
        def ingest_query():
            path = tmp_path / "sources.toml"
            path.write_text(
                "[sources.cms]\nkind = 'sql'\nurl_from = 'CMS_URL'\nquery = 'SELECT id, text FROM stories'\n"
                "columns = {id = 'id'}\n",
                encoding="utf-8",
            )
            (source,) = source_declarations.load_sources(path).values()
            return declared_sources.ingest_source(workspace, source, lambda _: address(self.url))

        return ingest_query

    def fill(self, url):
        self.url = url
        engine = create_engine(url, connect_args={"client_encoding": "utf8"})
        run(engine, "CREATE TABLE stories (id int PRIMARY KEY, text text)")
        run(engine, "INSERT INTO stories VALUES (1, 'Grüße aus Köln')")
        engine.dispose()

    def test_texts_of_another_encoding_are_converted(self, workspace, database_of, ingest, monkeypatch):
        self.fill(database_of("LATIN1"))
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
        assert ingest().new == 1
        assert value(workspace.database, "SELECT text FROM articles") == "Grüße aus Köln"

    def test_a_source_of_unknown_encoding_is_refused(self, workspace, database_of, ingest):
        self.fill(database_of("SQL_ASCII"))
        with pytest.raises(SourceError, match="the database has the encoding SQL_ASCII"):
            ingest()
        assert query(workspace.database, "SELECT 1 FROM articles") == []

    def test_a_table_of_unknown_encoding_is_refused_and_gets_no_table_of_labels(self, workspace, database_of):
        make_champion(workspace, "m1", 0)
        self.fill(database_of("SQL_ASCII"))
        with pytest.raises(SourceError, match="the database has the encoding SQL_ASCII"):
            external_table.label_external_table(
                workspace, address(self.url), ExternalTable("id", "text", table="stories")
            )
        assert query(create_engine(self.url), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
            ("stories",)
        ]
