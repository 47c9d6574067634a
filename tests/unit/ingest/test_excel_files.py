"""Excel workbooks: the first sheet as a table, and one line for a file that cannot be read."""

from __future__ import annotations

import sys
import zipfile
from datetime import UTC, datetime

import openpyxl
import pytest

from classifier.exceptions import SourceError
from classifier.ingest import excel_files
from classifier.ingest.file_format import FileFormat
from classifier.ingest.readers import Columns, read_file
from classifier.ingest.validation import validate_chunk

COLUMNS = Columns("text", "category", "id", published_at="at")
UNKNOWN_STRING = (
    b"<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'>"
    b"<sheetData><row r='1'><c r='A1' t='s'><v>99</v></c></row></sheetData></worksheet>"
)


def write(path, *rows, more=()):
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    for title in more:
        workbook.create_sheet(title).append(["x"])
    workbook.save(path)
    return path


def read(path, columns=COLUMNS, file_format=FileFormat(), **options):  # noqa: B008
    chunks = [
        validate_chunk(raw, default_source="s") for raw in read_file(path, columns, file_format=file_format, **options)
    ]
    rows = [
        row
        for chunk in chunks
        for row in zip(chunk.rows.external_id, chunk.rows.category, chunk.rows.text, strict=True)
    ]
    return rows, [(row.position, row.reason) for chunk in chunks for row in chunk.rejected]


def test_typed_cells_become_the_strings_of_a_csv(tmp_path):
    moment = datetime(2024, 3, 31, 10, tzinfo=UTC)
    path = write(
        tmp_path / "a.xlsx",
        ["id", "text", "category", "at"],
        [1, "The team won", True, moment.replace(tzinfo=None)],
        [2.0, "é漢😀\nand a line", 12.5, None],
    )
    assert read(path, chunk_rows=1) == ([("1", "TRUE", "The team won"), ("2", "12.5", "é漢😀\nand a line")], [])
    (first, _) = [raw.frame for raw in read_file(path, COLUMNS, chunk_rows=1)]
    assert first["published_at"].tolist() == ["2024-03-31T10:00:00"]
    assert first["position"].tolist() == ["row 2"]


def test_short_rows_have_empty_cells_and_blank_rows_are_ignored(tmp_path):
    path = write(tmp_path / "a.xlsx", ["id", "text", "category", "at"], [1, "a"], [None, None], [2, "b", "x"])
    assert read(path) == ([("1", None, "a"), ("2", "x", "b")], [])


def test_a_row_that_is_wider_than_the_header_is_rejected(tmp_path):
    path = write(tmp_path / "a.xlsx", ["text"], ["a"], ["b", "c"])
    assert read(path, Columns())[1] == [("row 3", "2 columns, but the header has 1")]


def test_lines_before_the_header_and_files_without_a_header_are_read(tmp_path):
    path = write(tmp_path / "a.xlsx", ["Export"], [], ["id", "text"], [1, "a"])
    assert read(path, Columns(id="id"), FileFormat(skip_lines=2))[0] == [("1", None, "a")]
    path = write(tmp_path / "b.xlsx", [3, "title", "body"])
    assert [row[1:] for row in read(path, Columns("2,3", "1"), FileFormat(header=False))[0]] == [("3", "title\n\nbody")]


def test_other_sheets_are_ignored_with_a_warning(tmp_path, caplog):
    path = write(tmp_path / "a.xlsx", ["text"], ["a"], more=["Old", "Notes"])
    assert len(read(path, Columns())[0]) == 1
    assert "only its first sheet 'Sheet' is read; it has 2 more" in caplog.text


def test_a_workbook_in_a_zip_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(write(tmp_path / "a.xlsx", ["text"], ["a"]), "a.xlsx")
    assert [row[2] for row in read(tmp_path / "a.zip", Columns())[0]] == ["a"]


def test_a_missing_column_names_those_that_exist(tmp_path):
    path = write(tmp_path / "a.xlsx", ["id", "body"], [1, "a"])
    with pytest.raises(SourceError, match=r"a\.xlsx: no column 'text'; its columns are 'id', 'body'"):
        read(path, Columns())


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "a.xlsx", ["text"], ["a"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(SourceError, match=r"a\.xlsx: needs openpyxl; install article-classifier\[excel\], or save it"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"text\na\n", b"\xd0\xcf\x11\xe0 an old workbook"])
def test_a_file_that_is_no_workbook_is_refused(tmp_path, content):
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.xlsx: cannot be read as Excel \(no \.xlsx file, or damaged\); save"):
        read(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("xl/worksheets/sheet1.xml", b"<worksheet"),
        ("xl/workbook.xml", b"<nothing/>"),
        ("xl/worksheets/sheet1.xml", UNKNOWN_STRING),
        ("[Content_Types].xml", b""),
    ],
)
def test_a_damaged_workbook_is_refused_in_one_line(tmp_path, member, content):
    path = write(tmp_path / "a.xlsx", ["text"], ["a"])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, member: content}.items():
            archive.writestr(name, data)
    with pytest.raises(SourceError, match=r"a\.xlsx: ") as caught:
        read(path, Columns())
    assert "\n" not in str(caught.value)


def test_a_bomb_and_too_many_rows_or_strings_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.xlsx", ["text"], ["a"], ["b"])
    monkeypatch.setattr(excel_files, "MAX_ROWS", 2)
    with pytest.raises(SourceError, match="has more than 2 rows; save it as CSV"):
        read(path, Columns())
    monkeypatch.setattr(excel_files, "MAX_STRINGS", 10)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", b"<sst></sst>")
    with pytest.raises(SourceError, match="has more than 0 MiB of strings; save it as CSV"):
        read(path, Columns())
    monkeypatch.undo()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros", bytes(100 * 2**20))
    with pytest.raises(SourceError, match="unpacks to more than 200 times its size"):
        read(path, Columns())
