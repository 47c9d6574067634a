"""For any delimiter, header, encoding and JSON shape, what is read equals what was written, or is one clear line."""

from __future__ import annotations

import csv
import io
import json
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError
from classifier.ingest import json_documents
from classifier.ingest.columns import join_texts
from classifier.ingest.file_format import FileFormat
from classifier.ingest.readers import Columns, read_file

QUICK = settings(max_examples=60, deadline=None)
DELIMITERS = [",", ";", "\t", "|"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "koi8-r", "shift_jis"]

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=15)
awkward = st.text(st.sampled_from(',;\t|"\n\r ab='), max_size=8)
rows = st.lists(st.tuples(cells | awkward, cells | awkward, cells | awkward), min_size=1, max_size=8)
keys = st.text(string.ascii_letters + " ;|é", min_size=1, max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | cells,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=3),
    max_leaves=5,
)
texts = st.lists(cells | awkward, min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("generated")


def read(path, columns, file_format):
    """Return category and text of each row; all must be readable."""
    result = []
    for chunk in read_file(path, columns, chunk_rows=3, file_format=file_format):
        assert chunk.rejected == []
        result += zip(chunk.frame.category, chunk.frame.text, strict=True)
    return result


def as_written(table, quoting):
    """Return the rows without carriage returns, which Python's writer does not quote, unless all cells are quoted."""
    return table if quoting == csv.QUOTE_ALL else [[cell.replace("\r", " ") for cell in row] for row in table]


def as_csv(table, delimiter, quoting, line_end):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerows(as_written(table, quoting))
    return file.getvalue()


@QUICK
@given(
    rows=rows,
    delimiter=st.sampled_from(DELIMITERS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    more=st.lists(keys, max_size=2, unique=True),
    preamble=st.lists(st.text('ab ,;|"', max_size=9), max_size=2),
    separator_line=st.booleans(),
)
def test_a_table_of_any_delimiter_is_read_as_it_was_written(
    folder, rows, delimiter, quoting, line_end, more, preamble, separator_line
):
    assume(not {"category", "text"} & set(more))
    header = ["category", *more, "text"]
    table = [[row[0], *row[2:] * len(more), row[1]] for row in rows]
    content = "".join(line + line_end for line in preamble)
    content += f"sep={delimiter}{line_end}" if separator_line else ""
    content += as_csv([header, *table], delimiter, quoting, line_end)
    (folder / "a.csv").write_bytes(content.encode())
    file_format = FileFormat(skip_lines=len(preamble))
    expected = [(row[0], row[1]) for row in as_written(rows, quoting)]
    assert read(folder / "a.csv", Columns(category="category"), file_format) == expected


@QUICK
@given(rows=rows, delimiter=st.sampled_from(DELIMITERS), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@pytest.mark.parametrize("names", [(), ("a", "b", "c")])
def test_a_table_without_a_header_is_read_as_it_was_written_or_refused(folder, rows, delimiter, quoting, names):
    (folder / "a.csv").write_bytes(as_csv(rows, delimiter, quoting, "\n").encode())
    columns = Columns("b,c", "a") if names else Columns("2,3", "1")
    expected = [(row[0], join_texts(row[1:])) for row in as_written(rows, quoting)]
    named = FileFormat(header=False, column_names=names, delimiter=delimiter)
    assert read(folder / "a.csv", columns, named) == expected
    try:
        assert read(folder / "a.csv", columns, FileFormat(header=False, column_names=names)) == expected
    except SourceError as error:
        assert "its delimiter may be" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


@QUICK
@given(texts=texts, encoding=st.sampled_from(ENCODINGS), delimiter=st.sampled_from(DELIMITERS))
def test_a_table_of_a_named_encoding_is_read_as_it_was_written(folder, texts, encoding, delimiter):
    try:
        content = as_csv([["text", "x"], *([text, "1"] for text in texts)], delimiter, csv.QUOTE_ALL, "\n")
        data = content.encode(encoding)
        assume(data.decode(encoding) == content)
    except UnicodeError:
        assume(False)
    (folder / "a.csv").write_bytes(data)
    named = FileFormat(encoding=encoding)
    assert [text for _, text in read(folder / "a.csv", Columns(), named)] == texts


def write_lines(records, indent):
    return "".join(json.dumps(record, ensure_ascii=not indent) + "\n" for record in records)


def write_array(records, indent):
    return json.dumps(records, indent=indent, ensure_ascii=not indent)


def write_object(records, indent):
    before = {"status": "ok", "count": 2, "tags": ["x"], "nested": {"items": [{}]}}
    return json.dumps({**before, "rows": records, "after": None}, indent=indent, ensure_ascii=not indent)


@QUICK
@given(
    records=st.lists(
        st.fixed_dictionaries({"category": st.none() | cells, "text": cells | awkward}, optional={"x": json_values}),
        min_size=1,
        max_size=6,
    ),
    indent=st.sampled_from([None, 0, 2]),
    suffix=st.sampled_from(["json", "jsonl", "ndjson"]),
    block=st.sampled_from([1, 5, 2**18]),
)
@pytest.mark.parametrize("write", [write_lines, write_array, write_object])
def test_json_of_any_shape_is_read_as_it_was_written(folder, write, records, indent, suffix, block):
    path = folder / f"a.{suffix}"
    path.write_bytes(write(records, indent).encode())
    expected = [(record["category"] or "", record["text"]) for record in records]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_documents, "_BLOCK_BYTES", block)
        assert read(path, Columns(category="category"), FileFormat()) == expected
        if write is write_object:
            assert read(path, Columns(category="category"), FileFormat(records="rows")) == expected


@QUICK
@given(value=json_values, indent=st.sampled_from([None, 1]), cut=st.integers(0, 5), records=st.none() | keys)
def test_json_of_another_shape_is_refused_in_one_line_or_rejected(folder, value, indent, cut, records):
    content = json.dumps(value, indent=indent)
    (folder / "b.json").write_text(content[: len(content) - cut])
    try:
        chunks = list(read_file(folder / "b.json", Columns(), file_format=FileFormat(records=records)))
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert sum(len(chunk.frame) + len(chunk.rejected) for chunk in chunks) > 0


@QUICK
@given(
    names=st.lists(
        st.text(string.ascii_lowercase + " -_é", min_size=1, max_size=8), min_size=1, max_size=4, unique=True
    ),
    contents=st.lists(cells, min_size=1, max_size=4),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_a_folder_is_read_as_it_was_written(tmp_path_factory, names, contents, encoding):
    root = tmp_path_factory.mktemp("folder")
    expected = {}
    for number, name in enumerate(names):
        (root / f"c{name}").mkdir()
        for index, content in enumerate(contents):
            (root / f"c{name}" / f"{number}{index}.txt").write_bytes(content.encode(encoding))
            expected[f"c{name}/{number}{index}.txt"] = (f"c{name}", content.replace("\r\n", "\n"))
    read_back = {}
    for chunk in read_file(root, Columns()):
        assert chunk.rejected == []
        read_back |= dict(zip(chunk.frame.id, zip(chunk.frame.category, chunk.frame.text, strict=True), strict=True))
    assert read_back == expected
