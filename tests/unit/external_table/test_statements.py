"""The statements of an external table, in the dialect of a database that no test runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, String, column, table
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from classifier.cli.external_table import address
from classifier.exceptions import SettingsError
from classifier.external_table import statements
from classifier.external_table.definition import labels_table
from classifier.external_table.statements import Label, Span, TablePair, TextRow


class Recorder:
    """A connection that records its statements in MySQL's dialect."""

    dialect = mysql.dialect()

    def __init__(self):
        self.statements = []

    def execute(self, statement, *_, **__):
        options = {} if _ else {"literal_binds": True}
        self.statements.append(" ".join(str(statement.compile(dialect=self.dialect, compile_kwargs=options)).split()))
        return self

    scalars = execute
    rowcount = 1

    def __iter__(self):
        return iter(())


@pytest.fixture
def pair():
    key = Column("id", String(20), primary_key=True)
    source = table("news", column("id", String(20)), column("body"))
    return TablePair(source, (source.c.id,), source.c.body, labels_table("news_labels", None, [key]))


def test_the_table_of_labels_can_be_created_in_mysql(pair):
    statement = " ".join(str(CreateTable(pair.labels, if_not_exists=True).compile(dialect=mysql.dialect())).split())
    assert statement == (
        "CREATE TABLE IF NOT EXISTS news_labels ( id VARCHAR(20) NOT NULL, model TEXT NOT NULL, category TEXT, "
        "confidence REAL, probabilities JSON, text_hash VARCHAR(64), labelled_at DATETIME(6) NOT NULL, error TEXT, "
        "PRIMARY KEY (id) )"
    )


def test_a_page_can_be_read_and_written_in_mysql(pair):
    recorder, span = Recorder(), Span("m1", after=("k1",))
    statements.next_keys(recorder, pair, span, 5)
    statements.read_rows(recorder, pair, [("k2",), ("k3",)], span)
    row = TextRow(("k2",), "the bank", "m0", None, datetime(2026, 1, 1, tzinfo=UTC))
    statements.write_labels(recorder, pair, "m1", [Label(row, "sport", 0.5, {"sport": 0.5}, None)])
    joined = (
        "FROM news LEFT OUTER JOIN news_labels ON news_labels.id = news.id WHERE news.id IS NOT NULL "
        "AND news.id > 'k1' AND (news_labels.model IS NULL OR news_labels.model != 'm1')"
    )
    assert recorder.statements == [
        f"SELECT news.id {joined} ORDER BY news.id LIMIT 5",
        (
            "SELECT news.id, news.body, news_labels.model, news_labels.text_hash, news_labels.labelled_at "
            f"{joined} AND news.id IN ('k2', 'k3') ORDER BY news.id"
        ),
        (
            "DELETE FROM news_labels WHERE news_labels.id IN ('k2') "
            "AND news_labels.labelled_at IN ('2026-01-01 00:00:00+00:00')"
        ),
        (
            "INSERT INTO news_labels (id, model, category, confidence, probabilities, text_hash, labelled_at, error) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        ),
    ]


def test_a_url_may_be_in_an_environment_variable(monkeypatch):
    monkeypatch.setenv("CMS_URL", "sqlite:///cms.db")
    assert address("CMS_URL") == address("sqlite:///cms.db") == "sqlite:///cms.db"
    with pytest.raises(SettingsError, match="has no CMS_URI; set it"):
        address("CMS_URI")
    with pytest.raises(SettingsError) as caught:
        address("me:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "the bank", "é\0\ud800"])
def test_every_string_has_a_hash(value):
    assert len(statements.text_hash(value)) == 64


def test_a_value_that_is_not_a_string_has_no_hash():
    assert statements.text_hash(None) is statements.text_hash(b"x") is statements.text_hash(7) is None
