"""Small files that could need gigabytes: each is read in bounded memory, refused with one line, or loses a row."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile

import pyarrow as pa
import pytest
from pyarrow import parquet

from classifier.exceptions import SourceError
from classifier.ingest import feeds, http_documents, json_lines, parquet_files, parquet_pages, readers, zip_files
from classifier.ingest.columns import Columns
from classifier.ingest.validation import validate_chunk
from tests.support.memory import measured

TOO_MUCH = "unpacks to more than 200 times its size; if that is meant, unpack it first"


def count_rows(path, category=None):
    """Return the number of valid rows of a file, and the reasons of the others or the file's error."""
    good, reasons = 0, []
    try:
        for file in readers.expand_pattern(path):
            for raw in readers.read_file(file, Columns(category=category)):
                chunk = validate_chunk(raw, default_source="x")
                good += len(chunk.rows)
                reasons += [row.reason for row in chunk.rejected]
    except SourceError as error:
        return [good, str(error).partition(": ")[2]]
    return [good, sorted(set(reasons))]


def shared_text(path, *, rows, size):
    """Write rows that all refer to one text, in a file of a few kilobytes."""
    indices = pa.array([0] * rows, pa.int32())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(["x y z " * (size // 6)]))
    parquet.write_table(pa.table({"text": text}), path, compression="zstd")
    return path


class TestParquet:
    def test_one_text_in_a_dictionary_does_not_become_gigabytes(self, tmp_path):
        path = shared_text(tmp_path / "a.parquet", rows=7000, size=900_000)
        assert path.stat().st_size < 100_000
        used = measured(count_rows, str(path))
        assert used.result[1] == TOO_MUCH
        assert used.mib < 200

    def test_texts_that_share_their_beginning_do_not_become_gigabytes(self, tmp_path):
        table = pa.table({"text": ["x y z " * 150_000] * 200})
        options = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}
        parquet.write_table(table, tmp_path / "a.parquet", compression="zstd", **options)
        used = measured(count_rows, str(tmp_path / "a.parquet"))
        assert used.result[1] == TOO_MUCH
        assert used.mib < 200

    def test_rows_of_a_shared_text_are_read_within_the_limits(self, tmp_path):
        path = shared_text(tmp_path / "a.parquet", rows=60, size=900_000)
        assert count_rows(str(path)) == [60, []]

    def test_the_size_of_a_page_is_checked_before_it_is_decompressed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parquet_pages, "MAX_PAGE", 2 * 2**20)
        path = tmp_path / "a.parquet"
        parquet.write_table(pa.table({"text": ["x" * 5 * 2**20]}), path, use_dictionary=False)
        assert count_rows(str(path)) == [0, "a page has 5 MiB, more than the maximum of 2; write smaller row groups"]

    def test_pages_of_every_version_encoding_and_compression_are_checked(self, tmp_path):
        texts = [f"text {number} " * 5 for number in range(3000)]
        for number, options in enumerate(
            {"data_page_version": version, "compression": packing, "use_dictionary": shared, "data_page_size": 1000}
            for version in ("1.0", "2.0")
            for packing in ("none", "snappy", "gzip", "zstd")
            for shared in (True, False)
        ):
            path = tmp_path / f"{number}.parquet"
            table = pa.table({"text": texts, "other": [{"a": [1, 2]}] * 3000})
            parquet.write_table(table, path, row_group_size=1000, write_statistics=True, **options)
            assert count_rows(str(path)) == [3000, []]
            with parquet.ParquetFile(path) as file, path.open("rb") as opened:
                size = parquet_pages.estimate_row_bytes(path, opened, file.metadata, ["text"])
            assert 40 < size < (100_000 if options["use_dictionary"] else 200)

    def test_a_value_that_is_too_long_rejects_only_its_row(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parquet_files, "MAX_CELL", 1000)
        table = pa.table({"text": ["one", "x" * 1001, None, "four"], "category": ["a", None, "b", "y" * 2000]})
        parquet.write_table(table, tmp_path / "a.parquet")
        good, reasons = count_rows(str(tmp_path / "a.parquet"), "category")
        assert good == 1
        assert reasons == [
            "category has 2,000 bytes, more than the maximum of 1,000",
            "text has 1,001 bytes, more than the maximum of 1,000",
            "text is empty",
        ]


def wide_rows(path, rows, megabytes):
    """Write a CSV file with large categories."""
    with path.open("w") as file:
        file.write("text,category\n")
        for number in range(rows):
            file.write(f"text {number},{'c' * (megabytes * 2**20)}\n")
    return path


class TestRows:
    def test_every_column_counts_towards_a_chunk(self, tmp_path):
        few = measured(count_rows, str(wide_rows(tmp_path / "a.csv", 4, 8)), "category")
        many = measured(count_rows, str(wide_rows(tmp_path / "b.csv", 12, 8)), "category")
        assert few.result == [0, ["category is longer than 200 characters"]] == many.result
        assert many.mib < few.mib + 40
        assert many.mib < 250

    def test_a_long_line_of_json_rejects_only_its_row_and_is_not_parsed(self, tmp_path):
        lines = [b'{"text": "one"}', b'{"text": "two", "more": [' + b"{}," * 3 * 2**20 + b"{}]}", b'{"text": "three"}']
        (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
        used = measured(count_rows, str(tmp_path / "a.jsonl"))
        assert used.result == [2, [f"the line has {len(lines[1]) + 1:,} bytes, more than the maximum of 8,388,608"]]
        assert used.mib < 120

    @pytest.mark.parametrize("wrap", ["[{}]", '{{"ok": 1, "rows": [{}]}}'])
    def test_the_array_of_a_document_is_not_read_at_once(self, tmp_path, wrap):
        record = json.dumps({"text": "a b c " * 2000, "nested": [[]] * 500})
        (tmp_path / "a.json").write_text(wrap.format(",\n".join([record] * 3000)))
        used = measured(count_rows, str(tmp_path / "a.json"))
        assert used.result == [3000, []]
        assert used.mib < 120

    def test_a_value_of_a_document_that_takes_too_much_memory_is_refused(self, tmp_path):
        (tmp_path / "a.json").write_text('[{"text": "' + "x" * 9_000_000 + '"}]')
        used = measured(count_rows, str(tmp_path / "a.json"))
        assert used.result[1].startswith("not JSON at character 2: a value has more than 8,388,608 characters")
        assert used.mib < 120

    def test_the_number_of_collected_keys_is_limited(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_lines, "_MAX_KEYS", 100)
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps({f"key {number}": 1, "text": "x"}) for number in range(1000)))
        keys = {}
        with path.open("rb") as file:
            rows = list(json_lines._rows(path, Columns(), json_lines._lines(path, file), keys))
        assert (len(rows), len(keys)) == (1000, 100)
        path.write_text("\n".join([*[json.dumps({f"key {n}": 1}) for n in range(300)], '{"text": "x"}']))
        assert count_rows(str(path))[0] == 1  # a required key is noticed among any number of keys


def zstandard_of(lines):
    """Return a Zstandard frame whose lines of 128 KiB take eight bytes each: blocks of one repeated byte."""

    def repeated(byte, times, *, last=False):
        return ((times << 3) | (1 << 1) | last).to_bytes(3, "little") + byte

    header = b"\x28\xb5\x2f\xfd\x00" + bytes([(17 - 10) << 3])
    line = repeated(b"x", 2**17) + repeated(b"\n", 1)
    return header + line * lines + repeated(b"x", 1, last=True)


class TestPackedFiles:
    def test_gzip_is_decompressed_up_to_a_limit(self, tmp_path):
        with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
            file.write(b"text\n")
            for _ in range(1000):
                file.write(b"x" * 2**17 + b"\n")
        used = measured(count_rows, str(tmp_path / "a.csv.gz"))
        assert used.result[1] == TOO_MUCH
        assert used.mib < 150

    def test_zstandard_is_decompressed_up_to_a_limit(self, tmp_path):
        (tmp_path / "a.jsonl.zst").write_bytes(zstandard_of(1000))
        used = measured(count_rows, str(tmp_path / "a.jsonl.zst"))
        assert used.result[1] == TOO_MUCH
        assert used.mib < 150

    def test_zstandard_with_a_window_of_gigabytes_is_refused(self, tmp_path):
        frame = bytearray(zstandard_of(10))
        frame[5] = (31 - 10) << 3
        (tmp_path / "a.csv.zst").write_bytes(bytes(frame))
        used = measured(count_rows, str(tmp_path / "a.csv.zst"))
        assert "damaged or cut off zstandard data" in used.result[1]
        assert used.mib < 60

    def test_an_endless_row_is_refused_in_bounded_memory(self, tmp_path):
        with gzip.open(tmp_path / "a.jsonl.gz", "wb") as file:
            for _ in range(60):
                file.write(b"x" * 2**20)
        used = measured(count_rows, str(tmp_path / "a.jsonl.gz"))
        assert used.result[1] == "a row has more than 32 MiB; add the missing line end or closing quote"
        assert used.mib < 150

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_a_zip_member_with_an_unlimited_compression_method_is_refused(self, tmp_path, method):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive, archive.open("a.csv", "w") as member:
            member.write(b"text\n")
            for _ in range(50):
                member.write(b"\n" * 2**20)
        used = measured(count_rows, str(tmp_path / "a.zip"))
        assert used.result == [0, f"cannot be unpacked (method {method}); compress it with deflate"]
        assert used.mib < 30

    def test_a_zip_member_is_decompressed_up_to_a_limit(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", b"text\n" + b"\n" * 70 * 2**20)
        assert count_rows(str(tmp_path / "a.zip")) == [0, TOO_MUCH]

    def test_a_bomb_inside_a_bomb_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv.gz", gzip.compress(b"text\n" + b"\n" * 2**20) * 3000)
        assert "unpacks to more than 10 times its size" in count_rows(str(tmp_path / "a.zip"))[1]

    def test_a_zip_member_with_a_false_size_is_damaged(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", b"text\n" + b"hello\n" * 100_000)
        data = bytearray(path.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            start = data.index(mark) + offset
            data[start : start + 4] = struct.pack("<I", 1000)
        path.write_bytes(data)
        assert "Bad CRC-32 for file" in count_rows(str(path))[1]

    def test_a_zip_file_with_too_many_members_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(zip_files, "MAX_DIRECTORY", 2**20)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for number in range(500):
                archive.writestr(zipfile.ZipInfo(f"{number}{'x' * 3000}"), b"")
        assert "its directory has more than 1 MiB" in count_rows(str(tmp_path / "a.zip"))[1]


def parsed(kind, count):
    """Read a feed that is expensive to parse."""
    head, tail = b'<rss version="2.0"><channel><title>t</title>', b"</channel></rss>"
    item = b"<item><guid>1</guid><title>%b</title></item>"
    doctype = b'<?xml version="1.0"?>\n<!DOCTYPE rss [\n<!ENTITY a "%b">\n]>\n' % (b"y" * 100_000)
    body = {
        "entities": doctype + head + item % (b"&a;" * count) + tail,
        "loose entities": doctype + head + item % (b"&a; <br> & " * count) + tail,
        "entries": head + b"<item/>" * count + tail,
        "attributes": head + b"<item %b/>" % b" ".join(b'a%d=""' % number for number in range(count)) + tail,
        "markup": head + item % (b"&lt;p>" * count) + tail,
    }[kind]
    document = http_documents.Document("http://example.org/feed", body, "application/xml", None, None)
    try:
        return [len(raw.frame) for raw in feeds.read_feed(document, Columns(id="id"))]
    except SourceError as error:
        return str(error).partition(": ")[2]


class TestFeeds:
    @pytest.mark.parametrize("kind", ["entities", "loose entities"])
    def test_a_documents_own_entities_do_not_become_gigabytes(self, kind):
        used = measured(parsed, kind, 1000)
        assert used.result == "the feed is refused (its entities add more than 20 MiB)"
        assert used.mib < 30

    def test_a_documents_own_entities_are_read_within_the_limit(self):
        assert parsed("entities", 10) == [1]

    @pytest.mark.parametrize(
        ("kind", "excess"),
        [
            ("entries", "it has 500,007 tags and references; at most 500,000 are read"),
            ("markup", "it has 500,013 tags and references; at most 500,000 are read"),
            ("attributes", "it has a tag of more than 300 attributes"),
        ],
    )
    def test_markup_that_takes_hours_is_refused(self, kind, excess):
        assert parsed(kind, 500_000) == f"the feed is refused ({excess})"

    def test_an_encoding_with_its_own_error_is_one_line(self):
        body = b"<?xml version='1.0' encoding='undefined'?><rss version='2.0'>\xff</rss>"
        document = http_documents.Document("http://example.org/feed", body, "application/xml", None, None)
        with pytest.raises(SourceError, match="its encoding cannot be read"):
            list(feeds.read_feed(document, Columns(id="id")))
