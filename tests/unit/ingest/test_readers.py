"""Read files: the rows of each format, and the errors of files that cannot be read."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from classifier.exceptions import SourceError
from classifier.ingest import columns, csv_files, readers
from classifier.ingest.readers import Columns, expand_pattern, read_file
from tests.support.paths import DATA, needs_articles

ALL = Columns("text", "category", "id", "split", "published_at", "source")
ID = Columns(id="id")


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def texts(path, columns=Columns(), **options):  # noqa: B008
    return [text for chunk in read_file(path, columns, **options) for text in chunk.frame["text"]]


def positions(path, columns=Columns()):  # noqa: B008
    return [position for chunk in read_file(path, columns) for position in chunk.frame["position"]]


def rejections(path, columns=Columns()):  # noqa: B008
    return [row for chunk in read_file(path, columns) for row in chunk.rejected]


def rows(path, columns):
    return [
        tuple(row) for chunk in read_file(path, columns) for row in chunk.frame.astype(object).itertuples(index=False)
    ]


THREE = [("1", "one", "a"), ("2", "two, with a comma", "b"), ("3", 'three "quoted"\nlines', "")]


def as_csv(delimiter):
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in THREE]
    return "\n".join([delimiter.join(("id", "text", "category")), *quoted]) + "\n"


def as_json_lines():
    return "".join(json.dumps({"id": i, "text": t, "category": c}) + "\n" for i, t, c in THREE)


def as_parquet(path):
    ids, bodies, categories = zip(*THREE, strict=True)
    parquet.write_table(pa.table({"id": ids, "text": bodies, "category": categories}), path)
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", as_csv(",")), (".CSV", as_csv(",")), (".tsv", as_csv("\t")), (".tab", as_csv("\t")),
        (".jsonl", as_json_lines()), (".ndjson", as_json_lines()),
    ],
)  # fmt: skip
def test_every_text_format_gives_the_same_rows(tmp_path, suffix, content, end, mark):
    path = write(tmp_path / f"articles{suffix}{end}", mark + content.encode())
    values = [(row[2], row[0], row[1]) for row in rows(path, Columns(category="category", id="id"))]
    assert values == THREE


def test_parquet_gives_the_same_rows(tmp_path):
    path = as_parquet(tmp_path / "articles.parquet")
    values = [(row[2], row[0], row[1]) for row in rows(path, Columns(category="category", id="id"))]
    assert values == THREE


def test_a_column_that_is_not_named_is_none_in_every_row(tmp_path):
    path = write(tmp_path / "a.csv", "text,category\nhello,x\n")
    assert rows(path, Columns()) == [("hello", *[None] * 7, "line 2")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,id\nhello,\n"),
        ("a.jsonl", '{"text": "hello", "id": null}\n'),
        ("b.jsonl", '{"text": "hello", "id": NaN}'),
    ],
)
def test_a_missing_value_is_the_empty_string(tmp_path, name, content):
    assert rows(write(tmp_path / name, content), ID)[0][2] == ""


def test_a_key_that_some_objects_omit_is_the_empty_string(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "x"}\n{"text": "y", "id": "1"}\n')
    assert [row[2] for row in rows(path, ID)] == ["", "1"]


@pytest.mark.parametrize(
    "text", ["  kept  ", "tab\there", "a\r\nb", "a\rb", "a\n\nb", "é漢😀", "NA", "null", "nan", "1.0"]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_text_is_read_exactly_as_written(tmp_path, suffix, text):
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.table({"text": [text]}), path)
    else:
        write(path, json.dumps({"text": text}) if suffix == ".jsonl" else f'text\n"{text}"\n')
    assert texts(path) == [text]


class TestPositions:
    def test_a_row_is_named_by_the_line_it_starts_on(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text\none\n"two\nlines"\n\nthree\n')
        assert positions(path) == ["line 2", "line 3", "line 6"]

    def test_bad_rows_do_not_shift_the_lines_of_good_ones(self, tmp_path):
        path = write(tmp_path / "a.csv", 'id,text\n1,a\n2\n3,"x"y\n4,d,e\n5,f\n')
        assert positions(path) == ["line 2", "line 6"]
        assert [row.position for row in rejections(path)] == ["line 3", "line 4", "line 5"]

    def test_blank_lines_of_json_lines_are_counted_and_skipped(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '\n{"text": "a"}\n \r\n{"text": "b"}')
        assert positions(path) == ["line 2", "line 4"]

    def test_parquet_rows_are_counted_across_batches(self, tmp_path):
        parquet.write_table(pa.table({"text": list("abcde")}), tmp_path / "a.parquet", row_group_size=2)
        chunks = list(read_file(tmp_path / "a.parquet", Columns(), chunk_rows=3))
        assert [p for chunk in chunks for p in chunk.frame["position"]] == [f"row {n}" for n in range(1, 6)]


class TestChunks:
    @pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7, 10, 11])
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_a_chunk_has_at_most_the_rows_asked_for(self, tmp_path, suffix, chunk_rows):
        path, words = tmp_path / f"a{suffix}", [f"word {n}" for n in range(10)]
        if suffix == ".parquet":
            parquet.write_table(pa.table({"text": words}), path, row_group_size=4)
        else:
            lines = [json.dumps({"text": word}) for word in words] if suffix == ".jsonl" else ["text", *words]
            write(path, "\n".join(lines))
        chunks = list(read_file(path, Columns(), chunk_rows=chunk_rows))
        assert all(len(chunk.frame) <= chunk_rows for chunk in chunks)
        assert len(chunks) == math.ceil(10 / chunk_rows)
        assert [text for chunk in chunks for text in chunk.frame["text"]] == words

    def test_rejected_rows_fill_a_chunk_too(self, tmp_path):
        path = write(tmp_path / "a.csv", "text\n" + "a,b\n" * 10)
        assert [len(chunk.rejected) for chunk in read_file(path, Columns(), chunk_rows=4)] == [4, 4, 2]

    def test_long_texts_end_a_chunk_early(self, tmp_path, monkeypatch):
        monkeypatch.setattr(columns, "CHUNK_BYTES", 300)
        path = write(tmp_path / "a.csv", "text\n" + ("x" * 60 + "\n") * 6)
        assert [len(chunk.frame) for chunk in read_file(path, Columns())] == [2, 2, 2]

    def test_the_file_is_streamed(self, tmp_path):
        path = write(tmp_path / "a.csv", "text\n" + "fine\n" * 10 + '"' + "unclosed\n" * 200)
        chunks = read_file(path, Columns(), chunk_rows=5)
        assert len(next(chunks).frame) == 5
        assert len(next(chunks).frame) == 5
        with pytest.raises(SourceError, match="never closed"):
            next(chunks)


class TestDelimitedRejections:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("2,b,c", "3 columns, but the header has 2"),
            ("2", "1 column, but the header has 2"),
            (",,,", "4 columns, but the header has 2"),
            ('2,"b"c', "a quote inside a quoted value is not doubled, or a quote is missing"),
            ('2,"she said "hello", twice"', "a quote inside a quoted value is not doubled, or a quote is missing"),
        ],
    )
    def test_an_invalid_row_is_rejected_alone(self, tmp_path, line, reason):
        path = write(tmp_path / "a.csv", f"id,text\n1,before\n{line}\n3,after\n")
        assert texts(path) == ["before", "after"]
        assert [(row.position, row.reason) for row in rejections(path)] == [("line 3", reason)]

    def test_an_invalid_row_may_also_have_bytes_that_are_not_utf8(self, tmp_path):
        path = write(tmp_path / "a.csv", b"id,text\n1,before\n2,\xff\xfe,c\n3,after\n")
        assert texts(path) == ["before", "after"]
        assert rejections(path)[0].row == json.dumps(["2", r"\udcff\udcfe", "c"])

    def test_undecodable_bytes_in_an_unused_column_are_harmless(self, tmp_path):
        path = write(tmp_path / "a.csv", b"notes,text\n\xff,fine\n")
        assert texts(path) == ["fine"]

    def test_a_row_that_contains_further_lines_names_them(self, tmp_path):
        path = write(tmp_path / "a.csv", 'id,text\n1,"open\n2,b\n3,"c"\n4,after\n')
        (row,) = rejections(path)
        assert row.position == "line 2"
        assert row.reason.endswith("; lines 2 to 4 were read as one row")
        assert texts(path) == ["after"]

    def test_an_unclosed_quote_near_the_end_rejects_only_its_lines(self, tmp_path):
        path = write(tmp_path / "a.csv", 'id,text\n1,a\n2,"open\n3,c\n')
        (row,) = rejections(path)
        assert row.reason == "a quote that opens in this row is never closed; lines 3 to 4 were read as one row"
        assert texts(path) == ["a"]

    @pytest.mark.parametrize("closing", ["", '9,"end"\n'])
    def test_a_quote_that_contains_much_of_the_file_is_an_error(self, tmp_path, closing):
        lines = "2,b\n" * csv_files.MAX_LINES_OF_A_BAD_ROW
        path = write(tmp_path / "a.csv", f'id,text\n1,"open\n{lines}{closing}')
        with pytest.raises(SourceError, match=r"a\.csv, line 2: .*quote.*; lines 2 to 10\d were read as one row"):
            list(read_file(path, Columns()))

    def test_a_ten_megabyte_text_does_not_stop_the_rows_around_it(self, tmp_path):
        path = write(tmp_path / "a.csv", f'id,text\n1,a\n2,"{"x" * 10_000_000}"\n3,c\n')
        assert [len(text) for text in texts(path)] == [1, 10_000_000, 1]

    @pytest.mark.parametrize("content", ['text\n"' + "x\n" * 60, "text\n" + "x" * 200])
    def test_a_row_too_long_for_memory_is_an_error(self, tmp_path, monkeypatch, content):
        monkeypatch.setattr(csv_files, "MAX_RECORD", 100)
        with pytest.raises(SourceError, match="line 2: a row has more than"):
            list(read_file(write(tmp_path / "a.csv", content), Columns()))


class TestJsonLinesRejections:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"{", "not JSON: "),
            (b'{"text": "x"', "not JSON: "),
            (b'{"text": "x"} {"text": "y"}', "not JSON: Extra data"),
            (b'["x"]', "not a JSON object"),
            (b'"x"', "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"3", "not a JSON object"),
            (b'{"text": "\xff"}', "byte 0xff is not UTF-8"),
            (b'{"text": 3}', "text is a number, but must be a string"),
            (b'{"text": ["x"]}', "text is a list, but must be a string"),
            (b'{"text": "x", "id": {"a": 1}}', "id is an object with keys, but must be a string"),
            (b'{"text": "x", "id": true}', "id is true or false, but must be a string"),
            (b'{"text": "x", "id": ' + b"1" * 5000 + b"}", "not JSON: a number is too long"),
            (b"[" * 100_000, "not JSON: nested too deeply"),
        ],
    )
    def test_an_invalid_line_is_rejected_alone(self, tmp_path, line, reason):
        good = b'{"id": "1", "text": "before"}\n%b\n{"id": "3", "text": "after"}\n'
        path = write(tmp_path / "a.jsonl", good % line)
        assert texts(path, ID) == ["before", "after"]
        (row,) = rejections(path, ID)
        assert row.position == "line 2"
        assert row.reason.startswith(reason)

    @pytest.mark.parametrize(("value", "expected"), [("7", "7"), ("7.0", "7"), ("7.5", "7.5"), ('"7"', "7")])
    def test_a_number_may_be_an_id(self, tmp_path, value, expected):
        path = write(tmp_path / "a.jsonl", f'{{"text": "x", "id": {value}}}')
        assert rows(path, ID)[0][2] == expected

    def test_a_line_too_long_for_memory_is_an_error(self, tmp_path, monkeypatch):
        from classifier.ingest import json_lines

        monkeypatch.setattr(json_lines, "MAX_RECORD", 100)
        with pytest.raises(SourceError, match="line 1: a row has more than"):
            list(read_file(write(tmp_path / "a.jsonl", '{"text": "' + "x" * 200 + '"}'), Columns()))


class TestParquet:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (pa.array([1, None]), ["1", ""]),
            (pa.array([1.0, None]), ["1", ""]),
            (pa.array([1.0, math.nan], from_pandas=False), ["1", ""]),
            (pa.array(["a", None]), ["a", ""]),
            (pa.array(["a", None], pa.large_string()), ["a", ""]),
            (pa.array(["a", None], pa.string_view()), ["a", ""]),
            (pa.array(["a", None]).dictionary_encode(), ["a", ""]),
            (pa.array([b"a", b"\xff"]), ["a", "\udcff"]),
            (pa.array([datetime(2024, 3, 31, 10, tzinfo=UTC), None]), ["2024-03-31 10:00:00.000000Z", ""]),
        ],
    )
    def test_a_typed_column_becomes_strings(self, tmp_path, values, expected):
        parquet.write_table(pa.table({"text": ["x", "y"], "id": values}), tmp_path / "a.parquet")
        assert [row[2] for row in rows(tmp_path / "a.parquet", ID)] == expected

    def test_a_string_column_with_bytes_that_are_not_utf8_is_read(self, tmp_path):
        broken = pa.array([b"fine", b"\xff"]).view(pa.string())
        parquet.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
        assert texts(tmp_path / "a.parquet") == ["fine", "\udcff"]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"text": [1, 2], "id": ["a", "b"]}, "'text' has the type int64, which cannot be read as text"),
            ({"text": [["x"]], "id": ["a"]}, "'text' has the type list"),
            ({"text": ["x"], "id": [True]}, "'id' has the type bool"),
            ({"text": ["x"], "id": [{"a": 1}]}, "'id' has the type struct"),
            ({"text": ["x"]}, "no column 'id'; its columns are 'text'"),
        ],
    )
    def test_a_column_of_an_unusable_type_is_an_error(self, tmp_path, table, message):
        parquet.write_table(pa.table(table), tmp_path / "a.parquet")
        with pytest.raises(SourceError, match=message):
            list(read_file(tmp_path / "a.parquet", ID))

    def test_long_rows_are_decoded_a_few_at_a_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(readers.parquet_files, "CHUNK_BYTES", 20_000)
        letters = [letter * 10_000 for letter in "abcdefgh"]
        parquet.write_table(pa.table({"text": letters}), tmp_path / "a.parquet", use_dictionary=False)
        asked = []
        truly = parquet.ParquetFile.iter_batches

        def iter_batches(self, batch_size, **options):
            asked.append(batch_size)
            return truly(self, batch_size, **options)

        monkeypatch.setattr(parquet.ParquetFile, "iter_batches", iter_batches)
        assert texts(tmp_path / "a.parquet") == letters
        assert asked == [1]

    def test_a_cut_off_file_is_an_error(self, tmp_path):
        path = as_parquet(tmp_path / "a.parquet")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(SourceError, match="cannot be read as Parquet"):
            list(read_file(path, Columns()))

    def test_damaged_pages_are_an_error(self, tmp_path):
        path = tmp_path / "a.parquet"
        parquet.write_table(pa.table({"text": [f"text {n}" for n in range(1000)]}), path)
        data = bytearray(path.read_bytes())
        data[4:200] = b"\xff" * 196
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.parquet: cannot be read.* \(.*\)$"):
            list(read_file(path, Columns()))


class TestUnreadableFiles:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", b"", "a.csv: the file is empty"),
            ("a.jsonl", b"", "a.jsonl: the file is empty"),
            ("a.csv.gz", b"", "a.csv.gz: the file is empty"),
            ("a.parquet", b"", "cannot be read as Parquet"),
            ("a.csv", b"text\n", "a.csv: no rows"),
            ("a.csv", b"text", "a.csv: no rows"),
            ("a.csv", b"\xef\xbb\xbf", "no column 'text'"),
            ("a.csv", b"\n\n\n", "no column 'text'"),
            ("a.jsonl", b"\n\n", "a.jsonl: no rows"),
            ("a.csv", b"id,body\n1,x\n", "no column 'text'; its columns are 'id', 'body'"),
            ("a.csv", b"text,text\n1,x\n", "more than one column 'text'"),
            ("a.csv", b"Text\nx\n", "no column 'text'; its columns are 'Text'"),
            ("a.csv", b'"te"xt,x\n', "its header cannot be read: a quote inside"),
            ("a.csv", "text\nx\n".encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
            ("a.csv", b"\xff\xfe", "the file is UTF-16"),
            ("a.jsonl", b'{"body": "x"}\n', r"none of the first rows has 'text'; their keys are 'body'"),
            ("a.jsonl", b"[\n1\n]\n", "no record is a JSON object"),
            ("a.jsonl", b"text\nx\n", "no line is a JSON object"),
            ("a.jsonl", b"\x00\x01\x02", "no line is a JSON object"),
            ("a.csv", b"\x00\x01\x02", r"no column 'text'; its columns are '\\x00\\x01\\x02'"),
            ("a.csv", b"\x80\x81", r"no column 'text'; its columns are '\\udc80\\udc81'"),
            ("a.parquet", b"text\nx\n", "cannot be read as Parquet"),
            ("a.txt", b"text", "unknown kind of file; supported are .csv"),
            ("a.json", b"[]", "a.json: no rows"),
            ("a", b"text", "unknown kind of file"),
            ("a.gz", b"text", "unknown kind of file"),
            ("a.parquet.gz", b"text", "unknown kind of file"),
        ],
    )
    def test_the_error_names_the_file_and_the_problem(self, tmp_path, name, content, message):
        path = write(tmp_path / name, content)
        with pytest.raises(SourceError, match=message) as caught:
            list(read_file(path, Columns()))
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        str(caught.value).encode()  # the message can be printed

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
    @pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[: len(d) // 2], lambda d: d[:-4] + b"\0\0\0\0"])
    def test_damaged_gzip_data_is_an_error(self, tmp_path, name, damage):
        lines = "".join(f'{{"text": "text {n * n}"}}\n' for n in range(5000))
        path = write(tmp_path / name, lines if "jsonl" in name else "text\n" + lines.replace('"', ""))
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(SourceError, match="damaged or cut off gzip data"):
            list(read_file(path, Columns()))

    def test_a_file_that_is_not_gzipped_but_named_so_is_an_error(self, tmp_path):
        (tmp_path / "a.csv.gz").write_text("text\nx\n")
        with pytest.raises(SourceError, match="damaged or cut off gzip data"):
            list(read_file(tmp_path / "a.csv.gz", Columns()))

    def test_a_missing_file_is_an_error_at_once(self, tmp_path):
        with pytest.raises(SourceError, match=r"a\.csv: no such file"):
            read_file(tmp_path / "a.csv", Columns())

    def test_a_directory_is_an_error(self, tmp_path):
        (tmp_path / "a.csv").mkdir()
        with pytest.raises(SourceError, match=r"a\.csv: is a directory"):
            list(read_file(tmp_path / "a.csv", Columns()))

    def test_a_mistyped_key_is_noticed_before_the_first_chunk(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": "x", "label": "a"}\n' * 10)
        with pytest.raises(SourceError, match="none of the first rows has 'category'; their keys are 'text', 'label'"):
            next(read_file(path, Columns(category="category"), chunk_rows=2))

    def test_a_long_header_is_cut_in_the_message(self, tmp_path):
        path = write(tmp_path / "a.csv", ",".join(f"c{n}" for n in range(1000)))
        with pytest.raises(SourceError, match=r"'c29' and 970 more$"):
            list(read_file(path, Columns()))

    def test_a_file_that_cannot_be_opened_is_an_error(self, tmp_path, monkeypatch):
        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        path = write(tmp_path / "a.csv", "text\nx\n")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(SourceError, match=r"a\.csv: cannot be read \(Permission denied\)"):
            list(read_file(path, Columns()))


class TestExpand:
    def test_a_path_is_itself(self, tmp_path):
        path = write(tmp_path / "a.csv", "x")
        assert expand_pattern(str(path)) == [path]

    def test_a_glob_is_its_files_sorted_without_directories(self, tmp_path):
        (tmp_path / "b.csv").mkdir()
        paths = [write(tmp_path / name, "x") for name in ("c.csv", "a.csv", "d.tsv")]
        assert expand_pattern(str(tmp_path / "*.csv")) == [paths[1], paths[0]]

    def test_the_order_does_not_depend_on_the_file_system(self, tmp_path, monkeypatch):
        paths = [str(write(tmp_path / name, "x")) for name in ("c.csv", "a.csv", "b.csv")]
        monkeypatch.setattr(readers.glob, "glob", lambda *_args, **_options: paths)
        assert [path.name for path in expand_pattern("*.csv")] == ["a.csv", "b.csv", "c.csv"]

    def test_two_stars_reach_into_folders(self, tmp_path):
        (tmp_path / "x" / "y").mkdir(parents=True)
        path = write(tmp_path / "x" / "y" / "a.csv", "x")
        assert expand_pattern(str(tmp_path / "**" / "*.csv")) == [path]

    def test_a_name_with_brackets_is_a_path_if_it_exists(self, tmp_path):
        path = write(tmp_path / "a[1].csv", "x")
        assert expand_pattern(str(path)) == [path]

    @pytest.mark.parametrize("name", ["missing.csv", "*.csv", "missing/**/*.csv", "[", "x" * 300])
    def test_no_match_is_an_error_that_names_the_pattern(self, tmp_path, name):
        pattern = str(tmp_path / name)
        with pytest.raises(SourceError) as caught:
            expand_pattern(pattern)
        assert str(caught.value).startswith(pattern + ": ")

    def test_a_directory_is_a_folder_of_text_files(self, tmp_path):
        assert expand_pattern(f"{tmp_path}/") == [tmp_path]


@needs_articles
@pytest.mark.parametrize(
    ("name", "category", "count", "categories"),
    [
        ("bbc-text.csv", "category", 2225, 5),
        ("c50_train.csv.gz", "author", 2500, 50),
        ("c50_test.csv.gz", "author", 2500, 50),
    ],
)
def test_real_articles_are_read_completely(name, category, count, categories):
    chunks = list(read_file(DATA / name, Columns(category=category)))
    assert sum(len(chunk.frame) for chunk in chunks) == count
    assert not any(chunk.rejected for chunk in chunks)
    assert len({value for chunk in chunks for value in chunk.frame["category"]}) == categories
