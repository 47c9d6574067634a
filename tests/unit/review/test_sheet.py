"""A sheet is read back exactly, is safe in a spreadsheet program, and each invalid row has a reason."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError
from classifier.review import sheet
from classifier.review.sheet import InvalidRow, SheetAnswer, SheetQuestion

BEGINNINGS = ["=", "+", "-", "@", "'", "''", "'=", "\t", "\r", "\n", "\uff1d"]
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.builds(
    str.__add__, st.sampled_from(BEGINNINGS), st.text("ab'=", max_size=3)
)


def asked(number=1, text="the team", **more):
    values = {"suggested": ("sport",), "confidence": 0.75, "reason": "uncertain", **more}
    return SheetQuestion(number, 1, "news", f"a{number}", text, **values)


def written(articles):
    return list(csv.DictReader(io.StringIO(sheet.encode_sheet(articles).decode("utf-8-sig"), newline="")))


@settings(max_examples=200, deadline=None)
@given(cells, cells, cells, cells, cells)
def test_no_cell_is_a_formula_and_each_is_read_back_exactly(text, identity, category, title, url):
    article = SheetQuestion(7, 1, "news", identity, text, (category,), None, "rare", title, url)
    (row,) = written([article])
    values = {"text": text, "external_id": identity, "suggested": category, "title": title, "url": url}
    for name, value in values.items():
        assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")), name
        assert sheet.unescape_formula(row[name]) == value


def test_no_suggestion_is_written_if_it_could_bias():
    (row,) = written([asked(suggested=None, confidence=None, reason="audit")])
    assert (row["suggested"], row["confidence"], row["category"]) == ("", "", "")


@pytest.fixture
def filled(tmp_path):
    """Write rows of id, category, annotator and comment, and read them as a sheet."""

    def read(*rows, encoding="utf-8-sig", **options):
        path = tmp_path / "filled.csv"
        lines = ["id,revision,category,annotator,comment", *(",".join(row) for row in rows)]
        path.write_bytes("\n".join(lines).encode(encoding))
        return list(sheet.read_sheet(path, **options))

    return read


def test_a_row_becomes_an_answer(filled):
    assert filled(("7", "2", " sport ", "ann", "")) == [SheetAnswer(2, 7, 2, ("sport",), "ann", None)]
    assert filled(("7", "2", "'-x", "ann", "'=why")) == [SheetAnswer(2, 7, 2, ("-x",), "ann", "=why")]


def test_a_category_is_normalized(filled):
    rows = [("7", "1", name, "ann", "") for name in ("Sport\u200b", "\ufeffSport", "E\u0301co")]
    assert [answer.categories[0] for (answer,) in map(filled, rows)] == ["Sport", "Sport", "\u00c9co"]


def test_a_row_without_a_category_is_skipped(filled):
    assert filled(("7", "1", " ", "ann", "not sure"), ("8", "1", "", "", "")) == [None, None]


def test_a_row_without_an_annotator_gets_the_sheets_annotator(filled):
    (answer,) = filled(("7", "1", "sport", "", ""), annotator="bob")
    assert answer.annotator == "bob"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("7", "1", "sport", "", ""), "annotator is empty"),
        (
            ("7", "1", "sport", "source:news", ""),
            "annotator 'source:news' belongs to a source; must be the name of a person",
        ),
        (("seven", "1", "sport", "ann", ""), "id 'seven' is not a whole number"),
        (("7", "", "sport", "ann", ""), "revision '' is not a whole number"),
        (("9" * 30, "1", "sport", "ann", ""), f"id '{'9' * 30}' is not a whole number"),
        (("7", "1", "s" * 201, "ann", ""), "category is longer than 200 characters"),
        (("7", "1", "sp\0rt", "ann", ""), "category has a NUL character"),
        (("7", "1", "sp\tort", "ann", ""), "category has the control character U+0009"),
        (("7", "1", "sport", "ann"), "4 columns, but the header has 5"),
        (("7", "1", '"sp"ort', "ann", ""), "a quote inside a quoted value is not doubled, or a quote is missing"),
    ],
)
def test_an_invalid_row_is_reported_with_its_line_and_the_next_is_read(filled, row, reason):
    good = ("8", "1", "tech", "ann", "")
    assert filled(row, good) == [InvalidRow(2, reason), SheetAnswer(3, 8, 1, ("tech",), "ann", None)]


def test_a_row_with_bytes_that_are_not_utf8_is_invalid(filled):
    rows = filled(("7", "1", "économie", "ann", ""), ("8", "1", "tech", "ann", ""), encoding="cp1252")
    assert rows == [
        InvalidRow(2, "category has byte 0xe9, which is not UTF-8"),
        SheetAnswer(3, 8, 1, ("tech",), "ann", None),
    ]


def test_an_annotator_may_answer_each_article_once(filled):
    twice, other = ("7", "1", "tech", "ann", ""), ("7", "1", "tech", "bob", "")
    rows = filled(("7", "1", "sport", "ann", ""), twice, other)
    assert rows[1] == InvalidRow(3, "article 7 has two answers by 'ann', the first on line 2")
    assert [answer.annotator for answer in (rows[0], rows[2])] == ["ann", "bob"]


def test_a_file_with_other_columns_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id;revision;category;annotator\n7;1;sport;ann\n")
    with pytest.raises(SourceError, match="the column 'id' must be there exactly once; its columns are 'id;revision"):
        list(sheet.read_sheet(path))
