# ruff: noqa: RUF001
"""Files in other encodings, compressed files, archives and object stores."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from classifier.exceptions import SourceError
from classifier.ingest import decoding, object_store
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat
from classifier.ingest.readers import expand_pattern, read_file
from classifier.ingest.text_files import detect_file_encoding
from classifier.ingest.validation import validate_chunk

ID = Columns(id="id")

LANGUAGES = [
    ("cp1252", "L’été à la plage, les élèves français étaient invités : « déjà »."),
    ("cp1252", "Un café fermé à Besançon"),
    ("cp1252", "Die Bundesregierung hat größere Änderungen für Bürger beschlossen – „sofort“."),
    ("cp1252", "The Prime Minister said it was “a good day” – and won’t resign."),
    ("cp1250", "Vláda schválila nový zákon o důchodech, který začne platit příští rok."),
    ("cp1251", "ТАСС сообщает: «Правительство» утвердило новый закон о связи."),
    ("koi8-r", "Правительство утвердило новый закон о связи и другие важные меры."),
    ("cp1253", "Η κυβέρνηση ανακοίνωσε νέα μέτρα για την οικονομία της χώρας."),
    ("shift_jis", "政府は水曜日に新しい法律を承認しました。とても大切なことです。"),
    ("gb18030", "政府周三批准了新的法律，引起广泛关注。经济将会更好。"),
    ("utf-16", "Ελληνικά και français"),
    ("utf-8-sig", "Ελληνικά και français"),
    ("utf-8", "Ελληνικά και français"),
    ("utf-8", "plain ASCII"),
]


def texts(path, columns=Columns(), **options):  # noqa: B008
    return [text for chunk in read_file(path, columns, **options) for text in chunk.frame["text"]]


def read_valid(path, columns=Columns(), **options):  # noqa: B008
    """Return the valid texts, and the reasons of the rejected rows."""
    chunks = [validate_chunk(raw, default_source="s") for raw in read_file(path, columns, **options)]
    return (
        [text for chunk in chunks for text in chunk.rows["text"]],
        [(bad.position, bad.reason) for chunk in chunks for bad in chunk.rejected],
    )


def zstandard(data):
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as file:
        file.write(data)
    return packed.getvalue().to_pybytes()


class TestEncodings:
    @pytest.mark.parametrize(("encoding", "text"), LANGUAGES)
    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_are_detected(self, tmp_path, encoding, text, kind):
        row = f'id,text\n1,"{text}"\n' if kind == "csv" else f'{{"id": 1, "text": "{text}"}}\n'
        path = tmp_path / f"a.{kind}"
        path.write_bytes(row.encode(encoding))
        assert texts(path, file_format=FileFormat(encoding="auto")) == [text]

    @pytest.mark.parametrize("encoding", ["latin-1", "cp1254", "utf-16", "utf-16-le", "utf-32", "iso8859-7", "big5"])
    @pytest.mark.parametrize("end", ["", ".gz"])
    def test_may_be_named(self, tmp_path, encoding, end):
        text = {"iso8859-7": "καλημέρα", "big5": "政府"}.get(encoding, "déjà")
        data = f"text\n{text}\n".encode(encoding)
        path = tmp_path / f"a.csv{end}"
        path.write_bytes(gzip.compress(data) if end else data)
        assert texts(path, file_format=FileFormat(encoding=encoding)) == [text]

    def test_the_first_foreign_byte_may_come_late(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"text\n" + b"plain words\n" * 300_000 + "déjà vu à l’été\n".encode("cp1252"))
        assert detect_file_encoding(tmp_path / "a.csv") == "cp1252"

    def test_in_a_mixed_file_the_rows_that_are_not_utf8_are_rejected(self, tmp_path):
        lines = [*["déjà vu, naïve façade".encode()] * 20, "été".encode("latin-1")]
        (tmp_path / "a.csv").write_bytes(b"\n".join([b"text", *[b'"' + line + b'"' for line in lines]]))
        good, bad = read_valid(tmp_path / "a.csv", file_format=FileFormat(encoding="auto"))
        assert len(good) == 20
        assert bad == [("line 22", "text has byte 0xe9, which is not UTF-8")]

    def test_a_row_with_a_byte_that_the_named_encoding_lacks_is_rejected(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"text\nfine\nbad \x81\n")
        assert read_valid(tmp_path / "a.csv", file_format=FileFormat(encoding="cp1252")) == (
            ["fine"],
            [("line 3", "text has byte 0x81, which is not UTF-8")],
        )

    def test_a_file_that_does_not_have_the_named_encoding_is_refused(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("text\nx".encode("utf-16") + b"\x00")
        with pytest.raises(SourceError, match=r"a\.csv: not utf-16, or damaged"):
            texts(tmp_path / "a.csv", file_format=FileFormat(encoding="utf-16"))

    def test_an_undetectable_encoding_must_be_named(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"text\n" + bytes(range(128, 256)) * 3)
        with pytest.raises(SourceError, match="unknown encoding; name it, for example"):
            texts(tmp_path / "a.csv", file_format=FileFormat(encoding="auto"))

    @settings(max_examples=200, deadline=None)
    @given(data=st.binary(max_size=400), encoding=st.sampled_from(["auto", "utf-16", "cp1252", "shift_jis", "utf-7"]))
    def test_noise_raises_nothing_but_a_source_error(self, tmp_path_factory, data, encoding):
        path = tmp_path_factory.getbasetemp() / "noise.csv"
        path.write_bytes(b"text\n" + data)
        try:
            read_valid(path, file_format=FileFormat(encoding=encoding))
        except SourceError as error:
            assert "\n" not in str(error)  # noqa: PT017

    @settings(max_examples=100, deadline=None)
    @given(text=st.text(max_size=300), size=st.integers(1, 50))
    def test_transcoding_gives_the_same_bytes_however_it_is_read(self, text, size):
        file = decoding.Utf8Stream("x", io.BytesIO(text.encode("utf-16")), "utf-16")
        with io.BufferedReader(file, size) as reader:
            assert reader.read() == text.encode()


class TestZstandard:
    def test_is_decompressed(self, tmp_path):
        (tmp_path / "a.csv.zst").write_bytes(zstandard(b"id,text\n1,hello\n"))
        assert texts(tmp_path / "a.csv.zst") == ["hello"]

    def test_with_several_frames_is_read_to_its_end(self, tmp_path):
        (tmp_path / "a.jsonl.zst").write_bytes(zstandard(b'{"text": "a"}\n') + zstandard(b'{"text": "b"}\n'))
        assert texts(tmp_path / "a.jsonl.zst") == ["a", "b"]

    @pytest.mark.parametrize("cut", [lambda data: data[:-5], lambda data: data[: len(data) // 2], lambda _: b"junk"])
    def test_that_is_damaged_is_refused(self, tmp_path, cut):
        (tmp_path / "a.csv.zst").write_bytes(cut(zstandard(b"text\n" + b"hello\n" * 9999)))
        with pytest.raises(
            SourceError, match=r"a\.csv\.zst: damaged or cut off zstandard data .*; fetch the file again"
        ):
            texts(tmp_path / "a.csv.zst")


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return path


class TestZip:
    def test_with_one_member(self, tmp_path):
        path = zipped(tmp_path / "a.zip", news_csv=b"id,text\n1,hello\n")
        assert texts(path) == ["hello"]

    def test_with_several_members_names_each_in_the_positions(self, tmp_path):
        path = zipped(tmp_path / "a.zip", x__a_csv=b"text\none\n\xff\n", b_jsonl=b'{"text": "two"}', readme_md=b"hi")
        good, bad = read_valid(path)
        assert good == ["two", "one"]
        assert bad == [("x/a.csv, line 3", "text has byte 0xff, which is not UTF-8")]

    def test_with_parquet_and_compressed_members(self, tmp_path):
        table = io.BytesIO()
        parquet.write_table(pa.table({"text": ["from parquet"]}), table)
        path = zipped(tmp_path / "a.zip", a_parquet=table.getvalue(), b_csv_gz=gzip.compress(b"text\nfrom gzip\n"))
        assert texts(path) == ["from parquet", "from gzip"]

    def test_in_another_encoding(self, tmp_path):
        path = zipped(tmp_path / "a.zip", news_csv="text\ndéjà vu à l’été\n".encode("cp1252"))
        assert texts(path, file_format=FileFormat(encoding="auto")) == ["déjà vu à l’été"]

    def test_without_a_readable_member_lists_its_members(self, tmp_path):
        with pytest.raises(SourceError, match=r"no member can be read; it has readme\.md"):
            texts(zipped(tmp_path / "a.zip", readme_md=b"hi"))

    @pytest.mark.parametrize("cut", [lambda data: data[:-30], lambda _: b"junk", lambda _: b""])
    def test_that_is_damaged_is_refused(self, tmp_path, cut):
        path = zipped(tmp_path / "a.zip", news_csv=b"text\n" + b"hello\n" * 9999)
        path.write_bytes(cut(path.read_bytes()))
        with pytest.raises(SourceError, match="damaged or cut off zip data"):
            texts(path)

    def test_whose_member_is_damaged_is_refused(self, tmp_path):
        path = zipped(tmp_path / "a.zip", news_csv=b"text\n" + bytes(range(32, 127)) * 99)
        data = bytearray(path.read_bytes())
        data[60:80] = bytes(20)
        path.write_bytes(data)
        with pytest.raises(SourceError, match="damaged or cut off"):
            texts(path)

    def test_with_a_password_is_refused(self, tmp_path):
        path = zipped(tmp_path / "a.zip", news_csv=b"text\nhello\n")
        data = bytearray(path.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + offset] |= 1
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.zip/news\.csv: cannot be unpacked .*encrypted"):
            texts(path)


def test_a_parquet_column_of_a_wrong_type_is_refused(tmp_path):
    parquet.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(
        SourceError, match=r"column 'text' has the type int64, which cannot be read as text; write strings"
    ):
        texts(tmp_path / "a.parquet")


class TestObjectStores:
    @pytest.fixture(autouse=True)
    def store(self):
        store = fsspec.filesystem("memory")
        store.store.clear()
        store.pipe("/news/a.csv", b"text\none\n")
        store.pipe("/news/deep/b.csv.gz", gzip.compress(b"text\ntwo\n"))
        table = io.BytesIO()
        parquet.write_table(pa.table({"text": ["three"]}), table)
        store.pipe("/news/c.parquet", table.getvalue())
        store.pipe("/news/d.zip", _zip_bytes())
        return store

    def test_a_glob_matches_files_of_every_depth(self):
        assert [str(file) for file in expand_pattern("memory://news/**/*.csv*")] == [
            "memory://news/a.csv",
            "memory://news/deep/b.csv.gz",
        ]

    @pytest.mark.parametrize(
        ("name", "text"), [("a.csv", "one"), ("deep/b.csv.gz", "two"), ("c.parquet", "three"), ("d.zip", "four")]
    )
    def test_every_kind_of_file_is_read(self, name, text):
        (file,) = expand_pattern(f"memory://news/{name}")
        assert texts(file) == [text]

    def test_a_file_has_a_stamp_and_a_hash(self):
        (file,) = expand_pattern("memory://news/a.csv")
        stamp = object_store.read_stamp(file)
        assert stamp.size == 9
        assert stamp.modified_at.tzinfo
        assert object_store.hash_file(file) == object_store.hash_file(expand_pattern("memory://news/a.csv")[0])

    @pytest.mark.parametrize("pattern", ["memory://news/none.csv", "memory://nowhere/*.csv"])
    def test_a_missing_file_is_one_line(self, pattern):
        with pytest.raises(SourceError, match="no such file"):
            expand_pattern(pattern)

    def test_a_store_without_its_library_names_the_extra(self):
        with pytest.raises(SourceError, match=r"Install .* article-classifier\[object-stores\]"):
            expand_pattern("s3://bucket/*.csv" if _lacks("s3fs") else "oci://bucket/*.csv")

    @pytest.mark.parametrize(
        "pattern",
        [
            "http://127.0.0.1:1/a.csv", "HTTPS://host/*.csv", "simplecache::https://host/a.csv", "ftp://host/a.csv",
            "zip://a.csv::http://169.254.169.254/a.zip", "reference://x::s3://bucket/references.json",
        ],
    )  # fmt: skip
    def test_files_are_not_fetched_from_the_web(self, pattern):
        with pytest.raises(SourceError, match=r"files are not fetched over \w+; download it first"):
            expand_pattern(pattern)

    def test_an_unknown_store_is_one_line(self):
        with pytest.raises(SourceError, match="cannot be read"):
            expand_pattern("nonsense://bucket/*.csv")

    def test_every_error_of_a_client_is_one_line(self, store, monkeypatch):
        (file,) = expand_pattern("memory://news/a.csv")

        class NoCredentialsError(Exception):
            pass

        def refuse(*_, **__):
            raise NoCredentialsError("Unable to locate credentials\nat all")

        monkeypatch.setattr(type(store), "_open", refuse)
        with pytest.raises(SourceError, match=r"NoCredentialsError: Unable to locate credentials\)$"):
            texts(file)


def _lacks(library):
    import importlib.util

    return importlib.util.find_spec(library) is None


def _zip_bytes():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.csv", "text\nfour\n")
    return buffer.getvalue()


def test_a_local_stamp_is_in_utc(tmp_path):
    (tmp_path / "a").write_bytes(b"xyz")
    assert object_store.read_stamp(tmp_path / "a").size == 3
    assert object_store.read_stamp(Path(tmp_path / "a")).modified_at.utcoffset().total_seconds() == 0
