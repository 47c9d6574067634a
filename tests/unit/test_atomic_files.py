"""A file is there whole or not at all, however many write it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classifier import atomic_files


def test_several_may_write_one_file_at_once_and_it_is_always_whole(tmp_path):
    path = tmp_path / "m1.evaluation.json"
    contents = [bytes([letter]) * 5000 for letter in b"abcd"]

    def write(content):
        for _ in range(100):
            atomic_files.write(path, content)
            assert path.read_bytes() in contents

    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(write, contents))
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_renamed_leaves_nothing_behind(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_files.write(tmp_path / "model", b"x")
    with atomic_files.temporary(tmp_path / "gone") as aside:
        aside.write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_pipe_is_written_to_directly():
    reading, writing = os.pipe()
    atomic_files.write(Path(f"/dev/fd/{writing}"), b"a page")
    os.close(writing)
    assert os.read(reading, 99) == b"a page"
    os.close(reading)
