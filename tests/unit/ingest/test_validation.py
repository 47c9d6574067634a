"""Validate rows: the values of valid rows, and the reasons of rejected ones."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from classifier.articles import RejectedRow
from classifier.exceptions import SettingsError
from classifier.ingest.columns import FIELDS, RawChunk, to_frame
from classifier.ingest.fingerprints import fold
from classifier.ingest.readers import Columns, read_file
from classifier.ingest.rejected_rows import MAX_ROW_LENGTH, row_json
from classifier.ingest.timestamps import DateRules, parse_date_format
from classifier.ingest.validation import MAX_LENGTHS, ROW_COLUMNS, validate_chunk
from tests.support.paths import DATA, needs_articles


def chunk(*rows, rejected=()):
    """Return rows of a file with every column. A missing value is empty, and a missing id is made."""
    defaults = dict.fromkeys(FIELDS, "")
    filled = [{**defaults, "id": f"id {n}", **row} for n, row in enumerate(rows)]
    return RawChunk(
        to_frame([(*(row[field] for field in FIELDS), f"line {n + 2}") for n, row in enumerate(filled)]), list(rejected)
    )


def validated_row(**values):
    """Return the only row of a file, validated."""
    (row,) = validate_chunk(chunk({"text": "some words", **values}), default_source="feed").rows.to_dict("records")
    return row


def reason(**values):
    result = validate_chunk(chunk({"text": "some words", **values}), default_source="feed")
    assert result.rows.empty
    (row,) = result.rejected
    return row.reason


class TestValidRows:
    def test_they_have_exactly_the_columns_of_the_store(self):
        assert tuple(validate_chunk(chunk({"text": "x"}), default_source="feed").rows.columns) == ROW_COLUMNS

    def test_a_chunk_without_valid_rows_has_the_columns_too(self):
        assert tuple(validate_chunk(chunk(), default_source="feed").rows.columns) == ROW_COLUMNS

    @pytest.mark.parametrize("text", ["x", "  kept  ", "a\r\nb", "é漢😀", "\ufeffx", "a\u2028b", "nan", "None"])
    def test_the_text_and_its_hash_are_exact(self, text):
        row = validated_row(text=text)
        assert row["text"] == text
        assert row["text_hash"] == sha256(text.encode()).digest()

    def test_the_fingerprint_is_the_hash_of_the_folded_text(self):
        assert validated_row(text="  Some\n WORDS ")["fingerprint"] == sha256(b"some words").digest()

    @pytest.mark.parametrize(
        ("column", "field", "value", "expected"),
        [
            ("category", "category", " World News ", "World News"),
            ("category", "category", "", None),
            ("category", "category", " \t", None),
            ("category", "category", None, None),
            ("split", "split", " Train ", "train"),
            ("split", "split", "validation", "validation"),
            ("split", "split", "TEST", "test"),
            ("split", "split", " ", None),
            ("split", "split", None, None),
            ("id", "external_id", " 17 ", "17"),
            ("source", "source", " reuters ", "reuters"),
            ("source", "source", "", "feed"),
            ("source", "source", None, "feed"),
            ("published_at", "published_at", "", None),
            ("published_at", "published_at", None, None),
            ("title", "title", " Two\n\twords ", "Two words"),
            ("title", "title", " ", None),
            ("title", "title", None, None),
            ("url", "url", " https://example.org ", "https://example.org"),
            ("url", "url", "", None),
            ("url", "url", None, None),
        ],
    )
    def test_other_values_than_the_text_are_stripped_and_none_if_empty(self, column, field, value, expected):
        assert validated_row(**{column: value})[field] == expected

    @pytest.mark.parametrize("field", ["category", "split", "published_at", "title", "url"])
    def test_a_missing_value_is_none_and_not_nan(self, field):
        rows = validate_chunk(chunk({"text": "x"}, {"text": "y"}), default_source="feed").rows
        assert rows[field].tolist() == [None, None]

    def test_rows_without_ids_get_them_from_the_text(self):
        assert validated_row(id=None, text="x")["external_id"] == sha256(b"x").hexdigest()[:32]

    def test_the_position_stays_with_its_row(self):
        rows = validate_chunk(chunk({"text": "a"}, {"text": ""}, {"text": "c"}), default_source="feed").rows
        assert rows["position"].tolist() == ["line 2", "line 4"]

    @pytest.mark.parametrize("field", ["id", "source", "category", "title", "url"])
    def test_a_value_of_the_maximum_length_is_valid(self, field):
        assert validated_row(**{field: "é" * MAX_LENGTHS[field]})

    def test_the_longest_id_and_source_fit_in_an_entry_of_a_postgres_index(self):
        assert (MAX_LENGTHS["id"] + MAX_LENGTHS["source"]) * 4 < 2704

    @pytest.mark.parametrize("text", ["x" * 10, "é" * 5, "😀é" + "xxxx"])
    def test_a_text_of_the_maximum_length_is_valid(self, text):
        assert len(validate_chunk(chunk({"text": text}), default_source="feed", max_text_bytes=10).rows) == 1


class TestMoments:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2024-03-31", datetime(2024, 3, 31, tzinfo=UTC)),
            ("20240331", datetime(2024, 3, 31, tzinfo=UTC)),
            (" 2024-03-31T10:00:00Z ", datetime(2024, 3, 31, 10, tzinfo=UTC)),
            ("2024-03-31 10:00", datetime(2024, 3, 31, 10, tzinfo=UTC)),
            ("2024-03-31T10:00:00+02:00", datetime(2024, 3, 31, 8, tzinfo=UTC)),
            ("2024-03-31 10:00:00.000+0200", datetime(2024, 3, 31, 8, tzinfo=UTC)),
            ("2024-03-31T10:00:00.123456789", datetime(2024, 3, 31, 10, 0, 0, 123456, tzinfo=UTC)),
            ("Sun, 31 Mar 2024 10:00:00 +0200", datetime(2024, 3, 31, 8, tzinfo=UTC)),
            ("31 Mar 2024 10:00:00 GMT", datetime(2024, 3, 31, 10, tzinfo=UTC)),
        ],
    )
    def test_iso_and_rss_dates_are_read_in_utc(self, value, expected):
        moment = validated_row(published_at=value)["published_at"]
        assert moment == expected
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        "value",
        ["03/04/2024", "2024-13-01", "yesterday", "now", "NaT", "1700000000", "0001-01-01T00:00:00+10:00",
         "Sun, 99 Mar 2024 10:00:00 +0200", "2024", "31 Abc 2024 10:00", "<value out of range: -9>"],
    )  # fmt: skip
    def test_anything_else_is_left_out_or_rejected(self, value):
        raw = chunk({"text": "x", "published_at": value})
        result = validate_chunk(raw, default_source="feed")
        assert (result.rows["published_at"].tolist(), result.bad_dates) == ([None], (value,))
        strict = validate_chunk(raw, default_source="feed", dates=DateRules(strict=True))
        assert strict.rejected[0].reason.startswith(f"published_at {value!r} is not a date such as")
        assert strict.bad_dates == ()

    def test_a_time_in_the_future_is_left_out_or_rejected(self):
        raw = chunk({"text": "x", "published_at": "2024-03-03"}, {"text": "y", "published_at": "2024-03-02"})
        options = {"default_source": "feed", "now": datetime(2024, 3, 1, 12, tzinfo=UTC)}
        result = validate_chunk(raw, **options)
        assert result.rows["published_at"].tolist() == [None, datetime(2024, 3, 2, tzinfo=UTC)]
        assert result.bad_dates == ("2024-03-03",)
        strict = validate_chunk(raw, dates=DateRules(strict=True), **options)
        assert [row.reason for row in strict.rejected] == ["published_at '2024-03-03' is in the future"]

    def test_a_row_that_is_rejected_anyway_does_not_count_as_undated(self):
        result = validate_chunk(chunk({"text": "", "published_at": "soon"}), default_source="feed")
        assert ([row.reason for row in result.rejected], result.bad_dates) == (["text is empty"], ())

    @pytest.mark.parametrize(
        ("form", "value", "expected"),
        [
            ("%d/%m/%Y", "03/04/2024", datetime(2024, 4, 3, tzinfo=UTC)),
            ("%m/%d/%y %H:%M", "03/04/24 10:30", datetime(2024, 3, 4, 10, 30, tzinfo=UTC)),
            ("%d.%m.%Y %H:%M %z", "03.04.2024 10:30 +0200", datetime(2024, 4, 3, 8, 30, tzinfo=UTC)),
            ("%d/%m/%Y", "2024-04-03", None),
            ("%d/%m/%Y", "31/02/2024", None),
        ],
    )
    def test_a_time_of_a_named_form_is_read_as_that_form_only(self, form, value, expected):
        result = validate_chunk(
            chunk({"text": "x", "published_at": value}), default_source="feed", dates=DateRules(parse_date_format(form))
        )
        assert result.rows["published_at"].tolist() == [expected]
        assert result.bad_dates == (() if expected else (value,))

    @pytest.mark.parametrize("form", ["", "day", "%d", "%d/%m", "%Y", "%H:%M", "%d/%m/%Y %", "%Q", "dd/mm/yyyy"])
    def test_a_form_must_give_a_whole_date(self, form):
        with pytest.raises(SettingsError, match=r"must give a day, a month and a year, such as %d/%m/%Y"):
            parse_date_format(form)

    def test_a_time_without_an_offset_does_not_depend_on_the_machine(self, monkeypatch):
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            assert validated_row(published_at="2024-03-31 10:00")["published_at"] == datetime(
                2024, 3, 31, 10, tzinfo=UTC
            )
        finally:
            monkeypatch.undo()
            time.tzset()


class TestRejections:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"text": ""}, "text is empty"),
            ({"text": " \n\t\u00a0"}, "text is empty"),
            ({"text": None}, "text is empty"),
            ({"text": "a\0b"}, "text has a NUL character"),
            ({"text": "a\udcffb"}, "text has byte 0xff, which is not UTF-8"),
            ({"text": "a\udc80b"}, "text has byte 0x80, which is not UTF-8"),
            ({"text": "a\ud800b"}, "text has a lone surrogate"),
            ({"id": ""}, "id is empty"),
            ({"id": "  "}, "id is empty"),
            ({"id": "x" * 401}, "id is longer than 400 characters"),
            ({"source": "x" * 201}, "source is longer than 200 characters"),
            ({"category": "x" * 201}, "category is longer than 200 characters"),
            ({"category": "a\0"}, "category has a NUL character"),
            ({"id": "\udce9"}, "id has byte 0xe9, which is not UTF-8"),
            ({"source": "a\0b"}, "source has a NUL character"),
            ({"split": "a\0b"}, "split has a NUL character"),
            ({"published_at": "\ud800"}, "published_at has a lone surrogate"),
            ({"title": "x" * 2001}, "title is longer than 2000 characters"),
            ({"title": "a\0b"}, "title has a NUL character"),
            ({"title": "a\bb"}, "title has the control character U+0008"),
            ({"url": "x" * 4001}, "url is longer than 4000 characters"),
            ({"url": "https://example.org/\na"}, "url has the control character U+000A"),
            ({"split": "dev"}, "split 'dev' is not one of train, validation, test"),
            ({"split": "x" * 99}, f"split {'x' * 40!r} is not one of train, validation, test"),
        ],
    )
    def test_each_fault_has_its_reason(self, values, expected):
        assert reason(**values) == expected

    @pytest.mark.parametrize("text", ["x" * 11, "é" * 6, "😀" * 3])
    def test_the_reason_for_a_long_text_has_its_length(self, text):
        (row,) = validate_chunk(chunk({"text": text}), default_source="feed", max_text_bytes=10).rejected
        assert row.reason == f"text has {len(text.encode())} bytes, more than the maximum of 10"

    def test_ten_megabytes_are_too_long_by_default(self):
        assert reason(text="x" * 10_000_000) == "text has 10,000,000 bytes, more than the maximum of 1,000,000"

    def test_a_row_with_two_faults_is_rejected_once(self):
        assert reason(text="", id="", split="dev") == "text is empty"

    def test_an_invalid_row_does_not_affect_the_others(self):
        result = validate_chunk(chunk({"text": "a"}, {"text": "\0"}, {"text": "c"}), default_source="feed")
        assert result.rows["text"].tolist() == ["a", "c"]
        assert [(row.position, row.source) for row in result.rejected] == [("line 3", "feed")]

    def test_a_rejected_row_keeps_its_own_source_if_that_is_valid(self):
        rows = [{"text": "", "source": source} for source in (" reuters ", "", "a\0b", "x" * 201)]
        assert [row.source for row in validate_chunk(chunk(*rows), default_source="feed").rejected] == [
            "reuters", "feed", "feed", "feed",
        ]  # fmt: skip

    def test_unreadable_rows_get_the_default_source(self):
        unread = RejectedRow("a.csv", "line 2", "3 columns, but the header has 2", "[]")
        result = validate_chunk(chunk({"text": "x"}, rejected=[unread]), default_source="feed")
        assert result.rejected == (RejectedRow("feed", "line 2", unread.reason, "[]"),)

    @pytest.mark.parametrize(
        "values", [{"text": "secret \0"}, {"text": "secret", "id": ""}, {"text": "secret" * 200_000}]
    )
    def test_the_reason_never_quotes_the_text(self, values):
        assert "secret" not in reason(**values)

    def test_nothing_of_the_text_is_printed_or_logged(self, capfd, caplog):
        validate_chunk(chunk({"text": "secret\0"}, {"text": "secret"}), default_source="feed")
        assert not any(capfd.readouterr())
        assert not caplog.records


class TestRowJson:
    def test_it_omits_missing_columns(self):
        result = validate_chunk(chunk({"text": " ", "id": " 7 ", "category": None}), default_source="feed")
        assert json.loads(result.rejected[0].row) == {
            "id": " 7 ", "split": "", "published_at": "", "source": "", "url": "", "title": "", "text": " ",
        }  # fmt: skip

    def test_the_identifying_columns_survive_the_cut(self):
        (row,) = validate_chunk(chunk({"text": "x" * 2_000_000, "id": "17"}), default_source="feed").rejected
        assert row.row.startswith('{"id": "17"')
        assert len(row.row) == MAX_ROW_LENGTH

    @pytest.mark.parametrize(
        "value",
        ["a\0b", "\udcff", "\x01\x7f", "é漢😀", '"\\', "\0" * 9000, "\udcff" * 9000, "x" * 10**7],
    )
    @pytest.mark.parametrize("wrap", [str, lambda v: [v, v], lambda v: {"text": v}, lambda v: [v[:1]] * 5000])
    def test_postgres_can_store_it(self, value, wrap):
        row = row_json(wrap(value))
        assert len(row) <= MAX_ROW_LENGTH
        assert "\0" not in row
        assert "\\u0000" not in row
        row.encode()

    def test_bytes_that_are_not_utf8_are_escaped(self):
        assert json.loads(row_json("a\udcffb")) == r"a\udcffb"

    def test_other_scripts_are_not_escaped(self):
        assert row_json(["漢é"]) == '["漢é"]'


class TestFold:
    @pytest.mark.parametrize(
        ("text", "folded"),
        [
            ("A  b", "a b"), (" a\n", "a"), ("a\r\n\tb", "a b"), ("a\u00a0b", "a b"), ("a\u2003 b", "a b"),
            ("STRASSE", "strasse"), ("Straße", "strasse"), ("\u0391\u03a3", "\u03b1\u03c3"),
            ("\u03b1\u03c2", "\u03b1\u03c3"), ("", ""), (" ", ""),
        ],
    )  # fmt: skip
    def test_case_and_white_space_are_ignored(self, text, folded):
        assert fold(text) == folded

    @pytest.mark.parametrize(("a", "b"), [("a b", "ab"), ("a.", "a"), ("é", "e"), ("1", "2")])
    def test_all_other_characters_matter(self, a, b):
        assert fold(a) != fold(b)


@needs_articles
def test_real_articles_are_all_valid_and_their_duplicates_are_found():
    (result,) = [
        validate_chunk(raw, default_source="bbc")
        for raw in read_file(DATA / "bbc-text.csv", Columns(category="category"))
    ]
    assert not result.rejected
    assert len(result.rows) == 2225
    assert result.rows["text_hash"].nunique() == 2126
