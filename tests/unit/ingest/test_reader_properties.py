"""For any content of a file, each row is either valid or rejected, and only `SourceError` is raised."""

from __future__ import annotations

import csv
import io
import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError
from classifier.ingest.fingerprints import fold
from classifier.ingest.readers import Columns, read_file
from classifier.ingest.validation import validate_chunk

COLUMNS = Columns(category="category", id="id", split="split", published_at="published_at")
HEADER = ["id", "text", "category", "split", "published_at"]

QUICK = settings(max_examples=150, deadline=None)

any_text = st.text(st.characters(exclude_categories=[]), max_size=20)
"""With surrogates and NUL."""

scraps = st.lists(
    st.sampled_from([b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"id", b"text",
                     b"{", b"}", b'{"text": ', b'"x"', b":", b"null", b"[", b"\\ud800", b" ", "é".encode()]),
    max_size=40,
).map(b"".join)  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(any_text, children, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("generated")


def count_rows(path: Path, data: bytes, columns: Columns, chunk_rows: int = 5000) -> tuple[int, int]:
    """Check all rows of a file, and return the numbers of valid and rejected rows."""
    path.write_bytes(data)
    valid = rejected = 0
    for raw in read_file(path, columns, chunk_rows=chunk_rows):
        assert 0 < len(raw.frame) + len(raw.rejected) <= chunk_rows
        chunk = validate_chunk(raw, default_source="feed")
        assert len(raw.frame) + len(raw.rejected) == len(chunk.rows) + len(chunk.rejected)
        for row in chunk.rows.itertuples():
            stored = "".join(filter(None, (row.source, row.external_id, row.text, row.category, row.split)))
            assert "\0" not in stored
            stored.encode()
        for bad in chunk.rejected:
            kept = bad.source + bad.position + bad.reason + bad.row
            assert "\0" not in kept
            kept.encode()
        valid, rejected = valid + len(chunk.rows), rejected + len(chunk.rejected)
    return valid, rejected


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("start", [b"", b"text,id\n", b"text\tid\n1\t", b'{"text": "x"}\n'])
@QUICK
@given(data=scraps, chunk_rows=st.integers(1, 5))
def test_fragments_of_a_format_raise_only_source_errors(folder, name, start, data, chunk_rows):
    try:
        count_rows(folder / name, start + data, Columns(), chunk_rows)
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017
        str(error).encode()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz", "a.parquet"])
@QUICK
@given(data=st.binary(max_size=200))
def test_noise_raises_only_source_errors(folder, name, data):
    with pytest.raises(SourceError):
        count_rows(folder / name, data, COLUMNS)


@QUICK
@given(rows=st.lists(st.lists(any_text, min_size=1, max_size=7), min_size=1, max_size=20), chunk_rows=st.integers(1, 7))
def test_each_row_of_a_csv_is_valid_or_rejected(folder, rows, chunk_rows):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    data = file.getvalue().encode("utf-8", "surrogatepass")
    assert sum(count_rows(folder / "rows.csv", data, COLUMNS, chunk_rows)) == len(rows)


@QUICK
@given(
    items=st.lists(st.dictionaries(st.sampled_from(HEADER), json_values) | json_values, max_size=20),
    chunk_rows=st.integers(1, 7),
)
def test_each_line_of_a_json_lines_file_is_valid_or_rejected(folder, items, chunk_rows):
    complete = dict.fromkeys(HEADER, "")  # so that no column counts as missing from the first chunk
    lines = [json.dumps(item) for item in [complete, *items]]
    assert sum(count_rows(folder / "rows.jsonl", "\n".join(lines).encode(), COLUMNS, chunk_rows)) == len(lines)


@QUICK
@given(texts=st.lists(st.text(string.printable + "é漢😀", max_size=30), min_size=1, max_size=10))
def test_a_text_is_read_from_a_csv_unchanged(folder, texts):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    (folder / "texts.csv").write_bytes(file.getvalue().encode())
    read = [text for raw in read_file(folder / "texts.csv", Columns()) for text in raw.frame["text"]]
    assert read == texts


@QUICK
@given(text=st.text())
def test_folding_is_idempotent(text):
    assert fold(fold(text)) == fold(text)
