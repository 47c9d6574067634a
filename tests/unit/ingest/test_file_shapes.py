"""Files in the shapes that people have: other delimiters, no header, lines before it, JSON documents."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from classifier.exceptions import SettingsError, SourceError
from classifier.ingest import file_format, json_documents
from classifier.ingest.file_format import FileFormat
from classifier.ingest.readers import Columns, read_file

CASES = Path(__file__).parents[2] / "data" / "cases"
ID = Columns(category="category", id="id")
NAMED = FileFormat(column_names=("class", "title", "description"))


def read(path, columns=ID, file_format=FileFormat(), **options):  # noqa: B008
    """Return id, category and text of each row; an invalid row raises."""
    chunks = list(read_file(path, columns, file_format=file_format, **options))
    assert [row for chunk in chunks for row in chunk.rejected] == []
    return [row for chunk in chunks for row in zip(chunk.frame.id, chunk.frame.category, chunk.frame.text, strict=True)]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def positions(path, columns=ID, file_format=FileFormat()):  # noqa: B008
    chunks = read_file(path, columns, file_format=file_format)
    return [position for chunk in chunks for position in chunk.frame.position]


def rejections(path, columns=ID, file_format=FileFormat()):  # noqa: B008
    chunks = read_file(path, columns, file_format=file_format)
    return [(row.position, row.reason) for chunk in chunks for row in chunk.rejected]


class TestDelimiters:
    @pytest.mark.parametrize("name", ["semicolon.csv", "excel-sep.csv", "tabs.csv"])
    def test_are_detected(self, name):
        rows = read(CASES / name)
        assert [(row[0], row[1]) for row in rows] == [("1", "sport"), ("2", "business")]
        assert rows[1][2] == "The bank raised its rate"

    def test_of_excel_count_as_a_line(self):
        assert positions(CASES / "excel-sep.csv") == ["line 3", "line 4"]

    @pytest.mark.parametrize("line", ["sep=|", '"sep=|"', "SEP=|", "sep=|\r"])
    def test_are_named_by_excels_first_line(self, tmp_path, line):
        path = write(tmp_path / "a.csv", f"{line}\nid|text|category\n1|a;b,c|x\n")
        assert read(path) == [("1", "x", "a;b,c")]

    def test_that_are_named_override_the_suffix_and_excels_line(self, tmp_path):
        path = write(tmp_path / "a.tsv", "sep=|\nid;text;category\n1;a\tb;x\n")
        assert read(path, file_format=FileFormat(delimiter=";")) == [("1", "x", "a\tb")]

    def test_of_a_tsv_are_tabs(self, tmp_path):
        with pytest.raises(SourceError, match="no column 'text'; its columns are 'id,text,category'"):
            read(write(tmp_path / "a.tsv", "id,text,category\n1,a,x\n"))

    def test_in_a_text_do_not_count(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text;id;category\n"a,b|c\td";1;x\n')
        assert read(path) == [("1", "x", "a,b|c\td")]

    def test_that_may_be_two_are_refused(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,a;text\nx,y;z\n")
        with pytest.raises(SourceError, match=r"a\.csv: its delimiter may be ',' or ';'; name it with --delimiter"):
            read(path, Columns())

    def test_are_a_comma_if_there_is_one_column(self, tmp_path):
        path = write(tmp_path / "a.csv", "text\na; b| c\n")
        assert [row[2] for row in read(path, Columns())] == ["a; b| c"]

    def test_in_a_header_with_quotes_and_lines_are_detected(self, tmp_path):
        path = write(tmp_path / "a.csv", '"id";"a,\nb";"text";"category"\n1;2;c;x\n')
        assert read(path) == [("1", "x", "c")]
        assert positions(path) == ["line 3"]

    def test_are_detected_in_other_encodings(self, tmp_path):
        path = write(tmp_path / "a.csv", "id;text;category\n1;Besançon était là;x\n".encode("cp1252"))
        assert read(path, file_format=FileFormat(encoding="auto")) == [("1", "x", "Besançon était là")]

    def test_are_detected_from_a_bounded_part(self, tmp_path):
        path = write(tmp_path / "a.csv", "id;text;category\n" + "1;" + "long " * 100_000 + ";x\n")
        assert len(read(path)) == 1

    @pytest.mark.parametrize(("name", "delimiter"), [("tab", "\t"), ("\\t", "\t"), ("|", "|"), ("Semicolon", ";")])
    def test_have_names(self, name, delimiter):
        assert file_format.parse_delimiter(name) == delimiter

    @pytest.mark.parametrize("name", ["", ";;", '"', "\n", "a", "1", " ", "é", "spaces"])
    def test_must_be_a_character_that_separates(self, name):
        with pytest.raises(SettingsError, match=r"delimiter .*: must be one character, such as ; or"):
            file_format.parse_delimiter(name)


class TestLinesBeforeTheHeader:
    def test_are_skipped(self):
        skipped = FileFormat(skip_lines=2)
        rows = read(CASES / "preamble.csv", file_format=skipped)
        assert [row[2] for row in rows] == ["The team won", "The bank raised its rate"]
        assert positions(CASES / "preamble.csv", file_format=skipped) == ["line 4", "line 5"]

    def test_are_noticed(self):
        with pytest.raises(SourceError, match=r"no column 'text' in line 1; line 3 looks like .*: add --skip-lines 2$"):
            read(CASES / "preamble.csv")

    def test_are_noticed_below_skipped_ones(self):
        with pytest.raises(SourceError, match=r"in line 2; line 3 looks like the header: add --skip-lines 2"):
            read(CASES / "preamble.csv", file_format=FileFormat(skip_lines=1))

    def test_may_have_open_quotes(self, tmp_path):
        path = write(tmp_path / "a.csv", 'They said "no\n"\nid,text,category\n1,a,x\n')
        assert read(path, file_format=FileFormat(skip_lines=2)) == [("1", "x", "a")]

    def test_that_are_all_lines_leave_no_header(self, tmp_path):
        with pytest.raises(SourceError, match="no column 'text'"):
            read(write(tmp_path / "a.csv", "text\na\n"), file_format=FileFormat(skip_lines=9))

    def test_are_skipped_before_excels_line(self, tmp_path):
        path = write(tmp_path / "a.csv", "Report\nsep=;\nid;text;category\n1;a;x\n")
        assert read(path, file_format=FileFormat(skip_lines=1)) == [("1", "x", "a")]


class TestFilesWithoutAHeader:
    JOINED = "Rates up again\n\nThe bank raised its rate for the third time this year."

    def test_have_numbered_columns(self):
        rows = read(CASES / "headerless.csv", Columns("2,3", "1"), FileFormat(header=False))
        assert rows == [(None, "3", self.JOINED), (None, "2", "Cup final\n\nThe team won the cup after extra time.")]
        assert positions(CASES / "headerless.csv", Columns("2,3", "1"), FileFormat(header=False)) == [
            "line 1",
            "line 2",
        ]

    def test_have_named_columns(self):
        rows = read(CASES / "headerless.csv", Columns("title,description", "class"), NAMED)
        assert rows[0] == (None, "3", self.JOINED)

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_have_a_detected_delimiter(self, tmp_path, delimiter):
        lines = [delimiter.join((str(number), "a" * number, "some words")) for number in range(1, 9)]
        rows = read(write(tmp_path / "a.csv", "\n".join(lines)), Columns("3", "1"), FileFormat(header=False))
        assert rows == [(None, str(number), "some words") for number in range(1, 9)]

    def test_with_two_possible_delimiters_are_refused(self, tmp_path):
        path = write(tmp_path / "a.csv", "a;b,c\nd;e,f\n")
        with pytest.raises(SourceError, match="its delimiter may be ',' or ';'; name it with --delimiter"):
            read(path, Columns("1"), FileFormat(header=False))

    def test_need_the_number_of_columns_that_is_named(self):
        with pytest.raises(SourceError, match="its first row has 3 columns, but --columns names 2: a, b"):
            read(CASES / "headerless.csv", Columns("a"), FileFormat(column_names=("a", "b"), delimiter=","))

    def test_lack_columns_of_higher_numbers(self):
        with pytest.raises(SourceError, match="no column '7'; its columns are '1', '2', '3'"):
            read(CASES / "headerless.csv", Columns("7"), FileFormat(header=False, delimiter=","))

    def test_that_are_read_with_a_header_name_the_option(self):
        with pytest.raises(SourceError, match=r"no column 'text'.*; if the file has no header, add --no-header"):
            read(CASES / "headerless.csv", Columns())

    def test_reject_rows_of_another_width(self, tmp_path):
        path = write(tmp_path / "a.csv", "1,a\n2\n3,c\n")
        assert rejections(path, Columns("2"), FileFormat(header=False)) == [
            ("line 2", "1 column, but the first row has 2")
        ]

    def test_may_begin_with_an_invalid_row(self, tmp_path):
        path = write(tmp_path / "a.csv", '1,"a"b\n2,b\n')
        rows = rejections(path, Columns("2"), FileFormat(header=False, delimiter=","))
        assert [position for position, _ in rows] == ["line 1"]


class TestJoinedTexts:
    @pytest.mark.parametrize(
        ("cells", "text"), [("a,b", "a\n\nb"), (",b", "b"), ("a,", "a"), ('" ",b', "b"), (",", "")]
    )
    def test_leave_empty_parts_out(self, tmp_path, cells, text):
        path = write(tmp_path / "a.csv", f"title,body,x\n{cells},1\n")
        assert [row[2] for row in read(path, Columns("title,body"))] == [text]

    def test_of_json_and_parquet_are_the_same(self, tmp_path):
        frame = pd.DataFrame({"title": ["a", None], "body": ["b", "c"]})
        frame.to_parquet(tmp_path / "a.parquet")
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
        for name in ("a.parquet", "a.jsonl"):
            assert [row[2] for row in read(tmp_path / name, Columns("title, body"))] == ["a\n\nb", "c"]

    def test_of_a_column_whose_name_has_a_comma_are_that_column(self, tmp_path):
        path = write(tmp_path / "a.csv", '"title,body",title,body\nx,y,z\n')
        assert [row[2] for row in read(path, Columns("title,body"))] == ["x"]

    def test_need_each_column(self, tmp_path):
        with pytest.raises(SourceError, match="no column 'lead'; its columns are 'title', 'body'"):
            read(write(tmp_path / "a.csv", "title,body\na,b\n"), Columns("title,lead"))


class TestJsonDocuments:
    TEXTS = ("The team won.", "The bank raised its rate.")

    @pytest.mark.parametrize("name", ["array.json", "wrapped.json"])
    def test_are_read(self, name):
        rows = read(CASES / name, Columns("body", "category", "id"))
        assert [(row[0], row[1]) for row in rows] == [("1", "sport"), ("2", "business")]
        assert tuple(row[2] for row in rows) == self.TEXTS
        assert positions(CASES / name, Columns("body")) == ["record 1", "record 2"]

    @pytest.mark.parametrize("suffix", ["json", "jsonl", "ndjson"])
    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize(
        "wrap", [lambda rows: rows, lambda rows: {"ok": [], "n": {"x": [1]}, "items": rows, "z": 1}]
    )
    def test_are_told_from_lines_by_content(self, tmp_path, suffix, indent, wrap):
        records = [{"id": number, "text": f"t{number}", "category": "[x]"} for number in range(3)]
        path = write(tmp_path / f"a.{suffix}", json.dumps(wrap(records), indent=indent))
        assert read(path) == [(str(number), "[x]", f"t{number}") for number in range(3)]

    @pytest.mark.parametrize("suffix", ["json", "jsonl"])
    def test_of_one_record_a_line_are_lines(self, tmp_path, suffix):
        path = write(tmp_path / f"a.{suffix}", '{"text": "a", "tags": [{"x": 1}]}\n\n{"text": "b"}\n')
        assert positions(path, Columns()) == ["line 1", "line 3"]

    @pytest.mark.parametrize(
        "content",
        [
            '{\n "text": "a"\n}\n{\n "text": "b"\n}\n',
            '[\n {"text": "a"}\n]\n[\n {"text": "b"}\n]\n',
            '{\n "items": [\n  {"text": "a"}\n ]\n}\n{\n "items": [\n  {"text": "b"}\n ]\n}\n',
            '{\n "items": [\n  {"text": "a"}\n ],\n "z": 1\n}\nthe rest',
        ],
    )
    def test_with_more_than_one_value_are_refused(self, tmp_path, content):
        path = write(tmp_path / "a.json", content)
        with pytest.raises(
            SourceError, match=r"not JSON at character \d+: the end of the file expected after the first"
        ):
            read(path, Columns())

    def test_of_one_object_are_one_record(self, tmp_path):
        path = write(tmp_path / "a.json", json.dumps({"text": "a", "tags": [{"x": 1}]}, indent=2))
        assert [row[2] for row in read(path, Columns())] == ["a"]

    def test_whose_first_line_is_invalid_stay_lines(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": "a\n{"text": "b"}\n')
        assert positions(path, Columns()) == ["line 2"]

    @pytest.mark.parametrize("key", ["data.items", "data.more"])
    def test_have_the_array_that_is_named(self, tmp_path, key):
        content = {"data": {"items": [{"text": "items"}], "more": [{"text": "more"}]}, "text": ["x"]}
        path = write(tmp_path / "a.json", json.dumps(content))
        rows = read(path, Columns(), FileFormat(records=key))
        assert [row[2] for row in rows] == [key.removeprefix("data.")]

    def test_with_several_arrays_are_refused(self, tmp_path):
        path = write(tmp_path / "a.json", '{"a": [{"text": 1}], "b": [{"text": 2}]}')
        with pytest.raises(SourceError, match="has several arrays: 'a', 'b'; name one with --records"):
            read(path, Columns())

    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            ("rows", "--records rows: not found; the keys are 'status', 'items'"),
            ("status", "--records status: not an array"),
            ("status.x", "--records status.x: not found, because there is no object"),
        ],
    )
    def test_without_the_named_array_are_refused(self, key, problem):
        with pytest.raises(SourceError, match=problem):
            read(CASES / "wrapped.json", Columns(), FileFormat(records=key))

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ('[{"text": "a"}', "not JSON at character 15: ',' or ']' expected, but the file ends"),
            ('[{"text": "a"} {"text": "b"}]', "not JSON at character 16: ',' or ']' expected"),
            ('[{"text": "a"}] x', "not JSON at character 17: the end of the file expected"),
            ('[{"text": "a}]', "not JSON at character 2: Unterminated string"),
            ("[\n{'text': 1}]", "not JSON at character 3: Expecting property name"),
            ('[\n{"n": ' + "9" * 5000 + "}]", "not JSON at character 3: a number is too long"),
            ("[\n" + "[" * 100_000, "not JSON at character 3: nested too deeply"),
            ("[]", "no rows"),
            ('[1, "a"]', "no record is a JSON object"),
            ('[{"body": "a"}]', "none of the first rows has 'text'; their keys are 'body'"),
        ],
    )
    def test_that_are_damaged_are_refused(self, tmp_path, content, problem):
        with pytest.raises(SourceError, match=rf"a\.json: {problem}"):
            read(write(tmp_path / "a.json", content), Columns())

    def test_reject_records_that_are_no_objects(self, tmp_path):
        path = write(tmp_path / "a.json", '[{"text": "a"}, 3, null, {"text": 3}]')
        assert rejections(path, Columns()) == [
            ("record 2", "not a JSON object"),
            ("record 3", "not a JSON object"),
            ("record 4", "text is a number, but must be a string"),
        ]

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_are_the_same_whatever_the_size_of_a_block(self, tmp_path, monkeypatch, size):
        monkeypatch.setattr(json_documents, "_BLOCK_BYTES", size)
        records = [{"id": 12345, "text": 'é漢😀 \\u00e9 "quoted" ', "category": 12.5}, {"text": "b", "id": -1}]
        path = write(tmp_path / "a.json", json.dumps(records, ensure_ascii=False, indent=1))
        assert read(path) == [("12345", "12.5", records[0]["text"]), ("-1", "", "b")]


class TestParquetOfOtherPrograms:
    def write(self, path, **columns):
        parquet.write_table(pa.table(columns), path)
        return path

    def test_has_no_categories_in_a_column_of_nulls(self, tmp_path):
        path = tmp_path / "a.parquet"
        pd.DataFrame({"id": [1, 2], "text": ["a", "b"], "category": [None, None]}).to_parquet(path)
        assert parquet.read_schema(path).field("category").type == pa.null()
        assert read(path) == [("1", "", "a"), ("2", "", "b")]

    def test_needs_texts_that_are_no_nulls(self, tmp_path):
        with pytest.raises(SourceError, match="column 'text' has the type null, which cannot be read as text"):
            read(self.write(tmp_path / "a.parquet", text=pa.nulls(2)), Columns())

    def test_may_have_nulls_in_a_part_of_the_text(self, tmp_path):
        path = self.write(tmp_path / "a.parquet", title=pa.nulls(1), body=["b"])
        assert [row[2] for row in read(path, Columns("title,body"))] == ["b"]

    def test_has_dictionaries_of_strings_and_numbers(self, tmp_path):
        path = self.write(
            tmp_path / "a.parquet",
            text=pa.array(["a", "b", "a"]).dictionary_encode(),
            id=pa.array([7, 8, 9]).dictionary_encode(),
            category=pa.array(["x", None, "y"], pa.large_string()).dictionary_encode(),
        )
        assert read(path) == [("7", "x", "a"), ("8", "", "b"), ("9", "y", "a")]

    def write_dataset(self, path, labels, names, kind="ClassLabel"):
        features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": kind}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        table = pa.table({"text": list("abcdefgh"[: len(labels)]), "label": labels})
        parquet.write_table(table.replace_schema_metadata(metadata), path)
        return path

    def test_has_the_names_of_a_class_label_as_categories(self, tmp_path):
        labels = pa.array([0, 2, -1, None, 1], pa.int64())
        path = self.write_dataset(tmp_path / "a.parquet", labels, ["World", "Sports", "Business"])
        assert [row[1] for row in read(path, Columns(category="label"))] == ["World", "Business", "", "", "Sports"]

    def test_rejects_a_label_without_a_name(self, tmp_path):
        path = self.write_dataset(tmp_path / "a.parquet", pa.array([0, 5, -2], pa.int8()), ["World", "Sports"])
        assert rejections(path, Columns(category="label")) == [
            ("row 2", "label 5 has no name; there are 2 names"),
            ("row 3", "label -2 has no name; there are 2 names"),
        ]

    @pytest.mark.parametrize("kind", ["Value", None])
    def test_keeps_numbers_that_are_no_class_labels(self, tmp_path, kind):
        path = self.write_dataset(tmp_path / "a.parquet", pa.array([1, 2]), ["World", "Sports", "x"], kind)
        assert [row[1] for row in read(path, Columns(category="label"))] == ["1", "2"]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"info": {"features": [1]}}', b'{"info": null}'])
    def test_keeps_numbers_if_its_metadata_is_damaged(self, tmp_path, content):
        table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({b"huggingface": content})
        parquet.write_table(table, tmp_path / "a.parquet")
        assert [row[1] for row in read(tmp_path / "a.parquet", Columns(category="label"))] == ["1"]


@pytest.mark.parametrize(
    ("name", "file_format", "line"),
    [
        ("semicolon.csv", FileFormat(split_folders=True), "--split-folders is for folders of text files"),
        ("semicolon.csv", FileFormat(records="items"), r"--records is for \.json, \.jsonl, \.ndjson files"),
        ("array.json", FileFormat(delimiter=";"), r"--delimiter is for \.csv, \.tab, \.tsv files"),
        ("array.json", FileFormat(skip_lines=1), r"--skip-lines is for \.csv, \.tab, \.tsv, \.xlsx files"),
        ("folders", FileFormat(header=False), "--no-header is for "),
        ("folders", FileFormat(column_names=("a",)), "--columns is for "),
    ],
)
def test_an_option_that_means_nothing_for_a_file_is_refused(name, file_format, line):
    with pytest.raises(SourceError, match=f"{name}: {line}.*; read this one without it"):
        list(read_file(CASES / name, Columns("body"), file_format=file_format))


def test_the_options_of_a_zip_are_those_of_its_members(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x\nid;text;category\n1;a;b\n")
    named = FileFormat(skip_lines=1, delimiter=";")
    assert read(tmp_path / "a.zip", file_format=named) == [("1", "b", "a")]
    with pytest.raises(SourceError, match="--records is for"):
        read(tmp_path / "a.zip", file_format=FileFormat(records="a"))
