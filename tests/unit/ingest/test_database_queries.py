"""Queries of external databases: their rows, their watermarks and their errors."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest.database_queries import DatabaseQuery
from classifier.ingest.source_declarations import SqlSource
from classifier.ingest.validation import validate_chunk
from classifier.ingest.watermarks import watermark_from_json, watermark_to_json

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
    line = "source 'cms', id 1: its watermark 'updated_at' changes from numbers to times as text; convert all rows"
    with pytest.raises(SourceError, match=line):
        taken(DatabaseQuery(source(watermark="updated_at"), stories((1, "one", "2024-01-01")), 3, NOW))


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


class TestTextWatermarks:
    """SQLite has no type for times, so they are stored as text, in one way or in several."""

    AFTER = "2024-01-10 10:00:00"

    def read(self, url, after=AFTER, **options):
        query = DatabaseQuery(source(watermark="updated_at", **options), url, after, NOW)
        rows, rejected = taken(query)
        assert rejected == []
        return {key for key, _ in rows}, query.highest_watermark

    def test_the_overlap_reads_a_late_row(self, stories):
        times = {1: "2024-01-10 09:58:59", 2: "2024-01-10 09:59:00", 3: "2024-01-10 10:00:00"}
        url = stories(*((key, "text", time) for key, time in times.items()))
        assert self.read(url) == ({"2", "3"}, self.AFTER)
        assert self.read(url, overlap_s=0) == ({"3"}, self.AFTER)
        assert self.read(url, overlap_s=61) == ({"1", "2", "3"}, self.AFTER)

    @pytest.mark.parametrize(
        ("after", "before", "late"),
        [
            ("2024-01-10", "2024-01-08", "2024-01-09"),
            ("2024-01-10 10:00", "2024-01-10 09:58", "2024-01-10 09:59"),
            ("2024-01-10T10:00:00Z", "2024-01-10T09:58:59Z", "2024-01-10T09:59:00Z"),
            ("2024-01-10 10:00:00.5", "2024-01-10 09:59:00.4", "2024-01-10 09:59:00.5"),
            ("2024-01-10 10:00:00,250", "2024-01-10 09:59:00,249", "2024-01-10 09:59:00,250"),
            ("2024-01-10 10:00:00.123456789", "2024-01-10 09:59:00.123455999", "2024-01-10 09:59:00.123456000"),
            ("2024-01-10T10:00:00.000+02:00", "2024-01-10T09:58:59.999+02:00", "2024-01-10T09:59:00.000+02:00"),
            ("2024-01-10 10:00:00 -0530", "2024-01-10 09:58:59 -0530", "2024-01-10 09:59:00 -0530"),
            ("2024-01-10 10:00:00+00", "2024-01-10 09:58:59+00", "2024-01-10 09:59:00+00"),
            ("2024-01-10 10:00:00 UTC", "2024-01-10 09:58:59 UTC", "2024-01-10 09:59:00 UTC"),
        ],
    )
    def test_times_that_are_written_alike_are_read_from_the_watermark_on(self, stories, after, before, late):
        url = stories((1, "one", before), (2, "two", late), (3, "three", after))
        assert self.read(url, after) == ({"2", "3"}, after)

    @pytest.mark.parametrize(
        ("after", "newer"),
        [
            ("2024-01-10T09:00:00", "2024-01-10 10:00:00"),
            ("2024-01-10 10:00:00Z", "2024-01-10 10:00:00.5Z"),
            ("2024-01-10T23:00:00+14:00", "2024-01-10T10:00:00+00:00"),
            ("2024-01-10T23:00:00+14:00", "2024-01-09T22:00:00-12:00"),
            ("2024-01-10T10:00:00+02:00", "2024-01-10 08:30:00"),
            ("2024-01-10 10:00:00", "2024-01-10"),
        ],
    )
    def test_times_that_are_written_in_several_ways_are_compared_as_times(self, stories, after, newer):
        keys, highest = self.read(stories((1, "one", after), (2, "two", newer)), after)
        assert keys == {"1", "2"}
        assert highest == (after if newer == "2024-01-10" else newer)

    def test_the_highest_time_is_not_the_text_that_sorts_last(self, stories):
        url = stories((1, "one", "2024-01-10T08:00:00"), (2, "two", "2024-01-10 09:00:00"))
        assert self.read(url, None) == ({"1", "2"}, "2024-01-10 09:00:00")

    def test_when_clocks_are_set_back_the_hour_is_read_twice(self, stories):
        url = stories((1, "one", "2024-10-27 03:10:00"), (2, "two", "2024-10-27 02:10:00"))
        assert self.read(url, "2024-10-27 03:50:00", timezone="Europe/Athens")[0] == {"1"}
        assert self.read(url, "2024-10-27 03:50:00")[0] == set()

    def test_a_blank_text_is_no_watermark(self, stories):
        url = stories((1, "one", ""), (2, "two", "  "), (3, "three", "2024-01-01 00:00:00"))
        assert self.read(url) == ({"1", "2"}, self.AFTER)

    @pytest.mark.parametrize("after", [None, AFTER])
    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (
                "abc",
                "is text, but not a time such as 2024-03-31 10:00:00; choose a column of times or numbers, or CAST",
            ),
            ("10/01/2024", "is text, but not a time"),
            ("2024-01-32", "is text, but not a time"),
            ("20240110T100000", "is text, but not a time"),
            ("2024-01-10t10:00:00", "is text, but not a time"),
            ("1704880800", "is a number that is stored as text, and text has another order"),
            ("10.5", "is a number that is stored as text"),
            (b"\xff", "is bytes; choose a column of times or numbers"),
        ],
    )
    def test_text_without_a_known_order_is_refused_in_one_line(self, stories, value, problem, after):
        url = stories((1, "one", self.AFTER), (7, "the bank", value))
        with pytest.raises(SourceError) as caught:
            self.read(url, after)
        assert str(caught.value).startswith("source 'cms', id 7: its watermark 'updated_at' ")
        assert problem in str(caught.value)
        assert str(value) not in str(caught.value)

    @pytest.mark.parametrize(("after", "other"), [(AFTER, 1704880800), (AFTER, 1.5), (5, AFTER), (5.5, "4")])
    def test_a_value_of_another_type_is_refused_and_never_left_out(self, stories, after, other):
        with pytest.raises(SourceError, match=r"its watermark 'updated_at' (changes from|is a number)"):
            self.read(stories((1, "one", other)), after)

    def test_a_column_that_turns_from_numbers_to_text_is_refused_and_never_left_out(self, tmp_path):
        connection = sqlite3.connect(tmp_path / "cms.db")
        connection.execute("CREATE TABLE stories (id, body, updated_at TEXT)")
        connection.execute("INSERT INTO stories VALUES (1, 'one', '10')")
        connection.commit()
        with pytest.raises(SourceError, match="is a number that is stored as text"):
            self.read(f"sqlite:///{tmp_path}/cms.db", 5)


class TestNumbers:
    @pytest.mark.parametrize(
        ("unit", "after", "before", "late"),
        [
            ("unix_s", 1704880800, 1704880739, 1704880740),
            ("unix_s", 1704880800.5, 1704880740.4, 1704880740.5),
            ("unix_ms", 1704880800000, 1704880739999, 1704880740000),
            ("unix_us", 1704880800000000, 1704880739999999, 1704880740000000),
            ("julian_day", 2460319.9166667, 2460319.915, 2460319.916),
            (None, 100, 99, 100),
        ],
    )
    def test_the_overlap_is_in_the_unit_of_the_numbers(self, stories, unit, after, before, late):
        url = stories((1, "one", before), (2, "two", late), (3, "three", after))
        query = DatabaseQuery(source(watermark="updated_at", watermark_unit=unit), url, after, NOW)
        assert [key for key, _ in taken(query)[0]] == ["2", "3"]

    def test_the_overlap_of_plain_numbers_reads_a_late_id(self, stories):
        url = stories((89, "one", 89), (90, "two", 90), (100, "three", 100))
        for after in (100, 100.0):
            query = DatabaseQuery(source(watermark="updated_at", overlap_number=10), url, after, NOW)
            assert [key for key, _ in taken(query)[0]] == ["90", "100"]

    @pytest.mark.parametrize(
        ("unit", "value"),
        [("unix_s", 4102444800), ("unix_ms", 4102444800000), ("julian_day", 2488070.5), ("unix_s", 10**18)],
    )
    def test_times_in_the_future_are_rejected(self, stories, unit, value):
        query = DatabaseQuery(source(watermark="updated_at", watermark_unit=unit), stories((1, "x", value)), None, NOW)
        assert taken(query)[1] == [("id 1", f"updated_at {value} is in the future")]
        assert query.highest_watermark is None

    def test_infinity_is_rejected_and_does_not_raise_the_watermark(self, stories):
        url = stories((1, "one", 1.5), (2, "two", float("inf")), (3, "three", float("-inf")))
        query = DatabaseQuery(source(watermark="updated_at"), url, None, NOW)
        assert set(taken(query)[1]) == {(f"id {key}", "updated_at is not a finite number") for key in (2, 3)}
        assert query.highest_watermark == 1.5

    @pytest.mark.parametrize("stored", [{"kind": "float", "value": "nan"}, {"kind": "Decimal", "value": "NaN"}])
    def test_a_stored_value_that_is_not_finite_is_forgotten(self, stored):
        assert watermark_from_json(stored) is None


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

    @pytest.fixture
    def read_all(self, database):
        """Return a function that reads a column of some values, from a watermark on."""
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)

        def read_all(kind, values, after=None, **options):
            with database.begin() as connection:
                connection.execute(text("DROP TABLE IF EXISTS marks"))
                connection.execute(text(f"CREATE TABLE marks (id serial, body text DEFAULT 'the bank', mark {kind})"))
                for value in values:
                    connection.execute(text("INSERT INTO marks (mark) VALUES (CAST(CAST(:value AS text) AS "
                                            f"{kind.partition(' COLLATE')[0]}))"), {"value": value})  # fmt: skip
            query = source(query="SELECT * FROM marks", watermark="mark", **options)
            query = DatabaseQuery(query, url, after, NOW)
            rows, rejected = taken(query)
            return {int(key) for key, _ in rows}, rejected, query.highest_watermark

        return read_all

    @pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
    def test_infinite_times_are_rejected_and_do_not_raise_the_watermark(self, read_all, kind):
        keys, rejected, highest = read_all(kind, ["-infinity", "2024-01-01", "infinity"])
        assert keys == {1, 2}
        assert [reason for _, reason in rejected] == [reason for _, reason in rejected if "is in the future" in reason]
        assert len(rejected) == 1
        assert highest.isoformat()[:10] == "2024-01-01"

    @pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
    def test_the_first_time_of_all_is_a_lower_bound(self, read_all, kind):
        _, _, highest = read_all(kind, ["-infinity"])
        assert read_all(kind, ["2024-01-01"], highest)[0] == {1}

    @pytest.mark.parametrize("kind", ["float8", "float4", "numeric"])
    def test_values_that_are_not_finite_are_rejected(self, read_all, kind):
        keys, rejected, highest = read_all(kind, ["NaN", "0.7", "Infinity", "0.3"])
        assert keys == {2, 4}
        assert [reason for _, reason in rejected] == ["mark is not a finite number"] * 2
        assert float(highest) == 0.7
        assert read_all(kind, ["0.7", "0.69", "NaN"], highest)[0] == {1}

    def test_the_day_before_is_read_if_a_day_has_just_begun(self, read_all):
        after = date(2024, 1, 10)
        days = ["2024-01-08", "2024-01-09", "2024-01-10", None]
        assert read_all("date", days, after)[0] == {2, 3, 4}
        assert read_all("date", days, after, overlap_s=0)[0] == {3, 4}

    def test_when_clocks_are_set_back_the_hour_is_read_twice(self, read_all):
        after = datetime(2024, 10, 27, 3, 50)  # noqa: DTZ001
        times = ["2024-10-27 02:48", "2024-10-27 02:49", None]
        assert read_all("timestamp", times, after, timezone="Europe/Athens")[0] == {2, 3}
        assert read_all("timestamp", times, after)[0] == {3}

    @pytest.mark.parametrize("collation", ["C", "default"])
    def test_times_as_text_have_the_same_order_in_every_collation(self, read_all, collation):
        times = ["2024-01-10 09:58:59", "2024-01-10 09:59:00", "2024-01-09T01:00:00+09:00", "2024-01-10T09:00:00-05:00",
                 "2024-01-01", "2024-01-01T00:00:00Z"]  # fmt: skip
        keys, _, highest = read_all(f'text COLLATE "{collation}"', times, "2024-01-10 10:00:00")
        assert keys >= {2, 4}
        assert not keys & {1, 5, 6}
        assert highest == "2024-01-10T09:00:00-05:00"

    @pytest.mark.parametrize(
        ("kind", "value", "line"),
        [
            ("boolean", "true", "its watermark 'mark' is true or false; choose a column of times or numbers"),
            ("interval", "1 day", "its watermark 'mark' is a duration; choose a column of times or numbers"),
            ("text", "abc", "its watermark 'mark' is text, but not a time"),
            (
                "timestamp",
                "12024-01-01",
                r"its driver cannot read a value \(.*\); CAST its column to text in the query",
            ),
            ("timestamp", "0044-03-15 BC", r"its driver cannot read a value \(.*\); CAST its column to text"),
        ],
    )
    def test_a_value_that_cannot_be_a_watermark_is_refused_in_one_line(self, read_all, kind, value, line):
        with pytest.raises(SourceError, match=rf"^source 'cms'(, id 1)?: {line}[^\n]*$"):
            read_all(kind, [value])

    def test_a_time_zone_that_is_added_is_refused(self, read_all):
        line = "changes from times without a time zone to times with a time zone; convert all rows to one type"
        with pytest.raises(SourceError, match=line):
            read_all("timestamptz", ["2024-01-01"], datetime(2023, 1, 1))  # noqa: DTZ001
