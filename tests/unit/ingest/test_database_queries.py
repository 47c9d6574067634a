"""Queries of external databases: their rows, their watermarks and their errors."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest.database_queries import DatabaseQuery, watermark_from_json, watermark_to_json
from classifier.ingest.source_declarations import SqlSource
from classifier.ingest.validation import validate_chunk

NOW = datetime(2026, 6, 1, tzinfo=UTC)
QUERY = "SELECT id, body, updated_at FROM stories"


def source(**options):
    columns = {"text": "body", "id": "id"}
    return SqlSource(**{"name": "cms", "kind": "sql", "query": QUERY, "url_from": "X", "columns": columns, **options})


@pytest.fixture
def stories(tmp_path):
    url = f"sqlite:///{tmp_path}/cms.db"
    connection = sqlite3.connect(tmp_path / "cms.db")
    connection.execute("CREATE TABLE stories (id, body, updated_at)")

    def add(*rows):
        connection.executemany("INSERT INTO stories VALUES (?, ?, ?)", rows)
        connection.commit()
        return url

    yield add
    connection.close()


def taken(query):
    chunks = [validate_chunk(raw, default_source="cms", now=NOW) for raw in query.read()]
    rows = [(row["external_id"], row["text"]) for chunk in chunks for row in chunk.rows.to_dict("records")]
    return rows, [(bad.position, bad.reason) for chunk in chunks for bad in chunk.rejected]


def test_rows_come_in_the_order_of_the_watermark(stories):
    url = stories((2, "two", "2024-02-01"), (1, "one", "2024-01-01"))
    query = DatabaseQuery(source(watermark="updated_at"), url, None, NOW)
    assert taken(query) == ([("1", "one"), ("2", "two")], [])
    assert query.highest_watermark == "2024-02-01"


def test_only_rows_at_or_above_the_watermark_or_without_a_time_are_read_again(stories):
    url = stories((1, "one", 1), (2, "two", 2), (3, "three", 3), (4, "none", None))
    assert taken(DatabaseQuery(source(watermark="updated_at"), url, 2, NOW))[0] == [
        ("4", "none"),
        ("2", "two"),
        ("3", "three"),
    ]


def test_without_new_rows_the_watermark_stays(stories):
    query = DatabaseQuery(source(watermark="updated_at"), stories((1, "one", 1)), 7, NOW)
    assert taken(query) == ([], [])
    assert query.highest_watermark == 7


def test_a_second_reading_starts_at_the_same_watermark(stories):
    query = DatabaseQuery(source(watermark="updated_at"), stories((1, "one", 1), (2, "two", 2)), None, NOW)
    assert taken(query) == taken(query)


def test_without_a_watermark_everything_is_read(stories):
    query = DatabaseQuery(source(), stories((1, "one", 1)), None, NOW)
    assert taken(query) == ([("1", "one")], [])
    assert query.highest_watermark is None


def test_a_row_from_the_future_is_rejected_and_does_not_raise_the_watermark(stories):
    url = stories((1, "one", "2024-01-01 10:00:00"), (2, "two", "2999-01-01 10:00:00"))
    query = DatabaseQuery(source(watermark="updated_at"), url, None, NOW)
    assert taken(query) == ([("1", "one")], [("id 2", "updated_at 2999-01-01 10:00:00 is in the future")])
    assert query.highest_watermark == "2024-01-01 10:00:00"


def test_values_that_are_not_text_are_rejected(stories):
    rows, bad = taken(DatabaseQuery(source(), stories((1, 5, 1), (2, "two", 1), (3, None, 1)), None, NOW))
    assert rows == [("2", "two")]
    assert set(bad) == {("id 1", "text is a number, but must be a string"), ("id 3", "text is empty")}


@pytest.mark.parametrize(
    "query",
    ["SELECT id, body, '12:30' || ' :x %' AS c FROM stories;", "SELECT id, body FROM stories WHERE body LIKE '%n%'"],
)
def test_colons_and_percent_signs_of_a_query_are_not_parameters(stories, query):
    assert taken(DatabaseQuery(source(query=query), stories((1, "one", 1)), None, NOW))[0] == [("1", "one")]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"query": "SELECT id, gone FROM stories"}, "source 'cms': the query fails (no such column: gone)"),
        ({"query": "SELECT id FROM stories"}, "source 'cms': no column 'body'; its columns are 'id'"),
        ({"query": "SELECT id, body, body FROM stories"}, "source 'cms': more than one column 'body'"),
        (
            {"query": "SELECT id, body FROM stories", "watermark": "at"},
            "source 'cms': the query fails (no such column: at)",
        ),
        ({"query": "SELEKT"}, "source 'cms': the query fails (near \"SELEKT\": syntax error)"),
        ({"query": "SELECT * FROM nowhere"}, "source 'cms': the query fails (no such table: nowhere)"),
        ({"query": "DELETE FROM stories"}, "source 'cms': the query fails"),
    ],
)
def test_an_error_of_a_query_is_one_line(stories, options, line):
    with pytest.raises(SourceError) as raised:
        taken(DatabaseQuery(source(**options), stories((1, "one", 1)), None, NOW))
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_a_query_changes_nothing(stories, tmp_path):
    url = stories((1, "one", 1))
    with pytest.raises(SourceError):
        taken(DatabaseQuery(source(query="UPDATE stories SET body = 'x'"), url, None, NOW))
    assert sqlite3.connect(tmp_path / "cms.db").execute("SELECT body FROM stories").fetchall() == [("one",)]


@pytest.mark.parametrize(
    ("url", "error", "line"),
    [
        ("nonsense", SourceError, "its database cannot be opened"),
        ("oracle+nothing://x/y", SourceError, "its database cannot be opened"),
        ("mysql+pymysql://x/y", SourceError, "its database cannot be opened (No module named 'pymysql'"),
        ("sqlite:////nowhere/at/all.db", SourceUnavailableError, "its database does not answer"),
        ("postgresql://u:geheim@127.0.0.1:1/x", SourceUnavailableError, "its database does not answer"),
        ("postgresql://u:geheim@127.0.0.1:1/x?nothing=1", SourceError, "the query fails (invalid dsn"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(url, error, line):
    with pytest.raises(error) as raised:
        taken(DatabaseQuery(source(), url, None, NOW))
    assert f"source 'cms': {line}" in str(raised.value)
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_watermark_that_changes_its_type_is_refused(stories):
    with pytest.raises(SourceError, match="the kind of its watermark changes: a number, then a string"):
        taken(DatabaseQuery(source(watermark="updated_at"), stories((1, "one", "x")), 3, NOW))


@pytest.mark.parametrize(
    "mark",
    [
        "x",
        7,
        1.5,
        Decimal("1.10"),
        date(2024, 1, 2),
        datetime(2024, 1, 2, 3),  # noqa: DTZ001
        datetime(2024, 1, 2, 3, 4, 5, 6, UTC),
        None,
    ],
)
def test_a_stored_watermark_is_read_back_exactly(mark):
    assert watermark_from_json(watermark_to_json(mark)) == mark


def test_a_watermark_that_cannot_be_stored_is_refused():
    with pytest.raises(SourceError, match="a watermark that is bytes cannot be stored"):
        watermark_to_json(b"x")


class TestPostgres:
    @pytest.fixture
    def url(self, database):
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE stories (id int, body text, updated_at timestamptz)"))
            connection.execute(
                text("INSERT INTO stories SELECT n, 'story ' || n, timestamptz '2024-01-01' + n * interval '1 minute' "
                     "FROM generate_series(1, 1200) AS n")
            )  # fmt: skip
        return database.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def test_many_rows_are_streamed(self, url):
        query = DatabaseQuery(source(watermark="updated_at"), url, None, NOW)
        assert len(taken(query)[0]) == 1200
        assert query.highest_watermark == datetime(2024, 1, 1, 20, tzinfo=UTC)

    def test_the_overlap_reads_what_a_slow_transaction_may_have_added(self, url):
        after = datetime(2024, 1, 1, 20, tzinfo=UTC)
        assert len(taken(DatabaseQuery(source(watermark="updated_at", overlap_s=180), url, after, NOW))[0]) == 4
        assert len(taken(DatabaseQuery(source(watermark="updated_at", overlap_s=0), url, after, NOW))[0]) == 1

    def test_a_query_may_only_read(self, url, database):
        query = "SELECT id, body, nextval('counter') AS updated_at FROM stories"
        with database.begin() as connection:
            connection.execute(text("CREATE SEQUENCE counter"))
        with pytest.raises(SourceError, match="read-only transaction"):
            taken(DatabaseQuery(source(query=query), url, None, NOW))

    def test_casts_and_time_zones(self, url):
        query = "SELECT id::text, body, updated_at AT TIME ZONE 'Europe/Athens' AS updated_at FROM stories WHERE id < 3"
        query = DatabaseQuery(source(query=query, watermark="updated_at"), url, None, NOW)
        assert len(taken(query)[0]) == 2
        assert query.highest_watermark == datetime(2024, 1, 1, 2, 2)  # noqa: DTZ001
