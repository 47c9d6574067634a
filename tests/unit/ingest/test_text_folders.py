"""Folders of text files: one folder a category, the path as id, and the folders of splits."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from pathlib import Path

import pytest

from classifier.exceptions import SourceError
from classifier.ingest import object_store
from classifier.ingest.columns import FIELDS, Columns
from classifier.ingest.file_format import FileFormat
from classifier.ingest.readers import expand_pattern, read_file
from classifier.ingest.text_folders import find_split
from classifier.ingest.validation import validate_chunk

CASE = Path(__file__).parents[2] / "data" / "cases" / "folders"
SPLIT = FileFormat(split_folders=True)


def write(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def chunks(path, file_format=FileFormat()):  # noqa: B008
    return [
        validate_chunk(raw, default_source="s")
        for file in expand_pattern(str(path))
        for raw in read_file(file, Columns(), file_format=file_format, chunk_rows=2)
    ]


def read(path, file_format=FileFormat()):  # noqa: B008
    """Return id, category, split and text of each article; an invalid one raises."""
    read_chunks = chunks(path, file_format)
    assert [row for chunk in read_chunks for row in chunk.rejected] == []
    columns = ["external_id", "category", "split", "text"]
    return [tuple(row) for chunk in read_chunks for row in chunk.rows[columns].itertuples(index=False)]


def rejections(path, file_format=FileFormat()):  # noqa: B008
    return [(row.position, row.reason) for chunk in chunks(path, file_format) for row in chunk.rejected]


def test_the_case_of_train_and_test_folders_is_read_with_its_splits():
    rows = read(CASE, SPLIT)
    assert [row[:3] for row in rows] == [
        ("test/sport/9.txt", "sport", "test"),
        ("train/business/1.txt", "business", "train"),
        ("train/business/2.txt", "business", "train"),
        ("train/sport/1.txt", "sport", "train"),
    ]
    assert all("\ufffd" not in row[3] for row in rows)


def test_the_latin_1_file_of_the_case_is_decoded():
    latin = [path for path in CASE.rglob("*.txt") if b"\xe9" in path.read_bytes()]
    assert len(latin) == 1
    assert latin[0].read_bytes().decode("cp1252") in [row[3] for row in read(CASE, SPLIT)]


@pytest.mark.parametrize("train", ["train", "C50train", "20news-bydate-train", "Train", "train-1"])
@pytest.mark.parametrize("test", ["test", "C50test", "20news-bydate-test", "TESTING"])
def test_folders_named_for_a_split_give_the_split(tmp_path, train, test):
    write(tmp_path, **{f"{train}__a__1_txt": "one", f"{test}__a__1_txt": "two", "dev__b__3": "three"})
    assert {row[:3] for row in read(tmp_path, SPLIT)} == {
        (f"{train}/a/1.txt", "a", "train"),
        (f"{test}/a/1.txt", "a", "test"),
        ("dev/b/3", "b", "validation"),
    }


@pytest.mark.parametrize("name", ["contest", "training_sessions", "latest", "developers", "sport", "pretrain", "a"])
def test_other_names_stand_for_no_split(name):
    assert find_split(name) is None


def test_a_folder_named_for_a_split_gives_the_same_ids_alone(tmp_path):
    write(tmp_path, C50train__a__1_txt="one", C50test__a__1_txt="two")
    together = read(tmp_path, SPLIT)
    assert sorted(read(tmp_path / "C50train", SPLIT) + read(tmp_path / "C50test", SPLIT)) == sorted(together)


def test_folders_that_look_like_splits_are_no_categories(tmp_path):
    write(tmp_path, train__a__1_txt="one", test__a__1_txt="two")
    with pytest.raises(SourceError, match="its folders 'test', 'train' look like splits; add --split-folders"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(SourceError, match="its folders 'train' look like splits"):
        read(tmp_path)
    assert [row[:3] for row in read(tmp_path / "train")] == [("a/1.txt", "a", None)]


def test_folders_without_splits_are_refused_if_splits_are_requested(tmp_path):
    write(tmp_path, sport__1_txt="one", train__1_txt="two")
    with pytest.raises(SourceError, match="--split-folders: 'sport' stands for no split; name folders such as train"):
        read(tmp_path, SPLIT)


def test_a_category_has_all_files_below_its_folder(tmp_path):
    write(tmp_path, sport__2024__1_txt="one", sport__2="two", news__deep__er__x_md="three")
    assert [row[:2] for row in read(tmp_path)] == [
        ("news/deep/er/x_md", "news"),
        ("sport/2", "sport"),
        ("sport/2024/1.txt", "sport"),
    ]


def test_files_of_a_folder_without_folders_have_no_category(tmp_path):
    write(tmp_path, b_txt="two", a_txt="one")
    assert read(tmp_path) == [("a.txt", None, None, "one"), ("b.txt", None, None, "two")]


def test_files_next_to_the_categories_are_ignored_with_a_warning(tmp_path, caplog):
    write(tmp_path, sport__1_txt="one", README="about", index_csv="x")
    assert len(read(tmp_path)) == 1
    assert "files next to its folders are ignored: 'README', 'index_csv'" in caplog.text
    assert "about" not in caplog.text


def test_hidden_files_and_folders_and_linked_folders_are_ignored(tmp_path):
    write(tmp_path, sport__1_txt="one", **{".git__x": "no", "sport__.DS_Store": "no", "sport__.x__y": "no"})
    (tmp_path / "sport" / "loop").symlink_to(tmp_path)
    assert [row[0] for row in read(tmp_path)] == ["sport/1.txt"]


def test_line_ends_marks_and_compression_do_not_change_a_text(tmp_path):
    write(tmp_path, a__1="\ufeffone\r\ntwo", a__2=gzip.compress(b"three"), a__3="\ufeffdéjà".encode("utf-16-le"))
    (tmp_path / "a" / "2").rename(tmp_path / "a" / "2.txt.gz")
    assert [row[3] for row in read(tmp_path)] == ["one\ntwo", "three", "déjà"]


def test_an_encoding_that_is_named_is_used(tmp_path):
    write(tmp_path, a__1="Жук".encode("koi8-r"))
    assert [row[3] for row in read(tmp_path, FileFormat(encoding="koi8-r"))] == ["Жук"]


def test_a_file_that_is_no_article_is_rejected_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("classifier.ingest.text_folders.MAX_TEXT", 100)
    write(
        tmp_path,
        a__1="fine",
        a__2="",
        a__3=b"P\0NG",
        a__4="x" * 101,
        a__5=b"\xff\xfea",
        a__6="caf\xe9 ".encode("cp1252"),
    )
    assert rejections(tmp_path, FileFormat(encoding="utf-8")) == [
        ("a/2", "text is empty"),
        ("a/4", "has more than 100 bytes"),
        ("a/3", "text has a NUL character"),
        ("a/5", "text has byte 0xff, which is not UTF-8"),
        ("a/6", "text has byte 0xe9, which is not UTF-8"),
    ]
    assert ("a/5", "not utf-16, or damaged; check the encoding") in rejections(tmp_path)


def test_a_long_path_is_shortened_to_an_id(tmp_path):
    write(tmp_path, **{"a__" + "b" * 200 + "__" + "c" * 240: "one", "a__" + "b" * 200 + "__" + "c" * 241: "two"})
    ids = [row[0] for row in read(tmp_path)]
    assert len(set(ids)) == 2
    assert max(map(len, ids)) <= 400


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf_8_is_rejected_alone(tmp_path):
    write(tmp_path, a__1="fine")
    (tmp_path / "a" / os.fsdecode(b"\xff.txt")).write_text("x")
    assert [reason for _, reason in rejections(tmp_path)] == ["id has byte 0xff, which is not UTF-8"]


def test_folders_of_tables_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"is a directory without text files; name its files, for example .*csv"):
        read(tmp_path)
    (tmp_path / "a.csv.gz").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"is a directory; name its files, for example .*/\*\.csv\.gz \(a\.csv\.gz"):
        read(tmp_path)


def test_a_glob_of_folders_says_how_to_name_them(tmp_path):
    write(tmp_path, C50train__a__1_txt="one")
    with pytest.raises(SourceError, match="no such file; name folders of text files without a glob"):
        expand_pattern(f"{tmp_path}/C50*")


def test_the_present_folder_has_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, a__1="x"))
    assert [path.name for path in expand_pattern(".")] == [tmp_path.name]


def test_a_folder_of_an_object_store_is_read(tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    for name, text in {"train/a/1.txt": b"one", "test/a/2.txt": b"two", "test/.x/3.txt": b"no"}.items():
        store.pipe(f"/corpus/{name}", text)
    try:
        assert [row[:3] for row in read("memory://corpus", SPLIT)] == [
            ("test/a/2.txt", "a", "test"),
            ("train/a/1.txt", "a", "train"),
        ]
    finally:
        store.rm("/corpus", recursive=True)


def test_a_change_of_any_file_changes_the_state_of_the_folder(tmp_path):
    write(tmp_path, a__1="one", a__2="two")
    before = object_store.hash_file(tmp_path), object_store.read_stamp(tmp_path).size
    (tmp_path / "a" / "2").write_bytes(b"owt")
    assert object_store.hash_file(tmp_path) != before[0]
    (tmp_path / "a" / "3").write_bytes(b"more")
    assert object_store.read_stamp(tmp_path).size == before[1] + 4


def test_the_fields_of_an_article_are_those_of_all_readers(tmp_path):
    write(tmp_path, a__1="x")
    (chunk,) = read_file(tmp_path, Columns())
    assert [*chunk.frame.columns] == [*FIELDS, "position"]
