"""R8 is written as files to ingest; the held-back articles are always the same and occur nowhere else."""

from __future__ import annotations

import csv

from hypothesis import given
from hypothesis import strategies as st

from classifier.demo import reuters_files
from classifier.demo.reuters_files import Row
from classifier.ingest import readers
from classifier.ingest.fingerprints import fold
from classifier.ingest.readers import Columns
from classifier.ingest.validation import validate_chunk

TAB = "Category\tText\nd\tstring\nclass\t\n\nearn\tnet shr\u2028up\nacq\nship\tport  closed\tagain\n"


def rows(*texts, prefix="train"):
    return [Row(f"{prefix}-{number}", f"c{number % 3}", text) for number, text in enumerate(texts)]


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_orange_file_is_read_without_its_type_rows():
    assert reuters_files.parse(TAB, prefix="train") == [
        Row("train-00001", "earn", "net shr\u2028up"),
        Row("train-00002", "acq", ""),
        Row("train-00003", "ship", "port  closed\tagain"),
    ]


def test_windows_line_ends_give_the_same_rows():
    assert reuters_files.parse(TAB.replace("\n", "\r\n"), prefix="train") == reuters_files.parse(TAB, prefix="train")


def test_every_row_is_written_once(tmp_path):
    train, test = rows(*(f"text {n}" for n in range(20))), rows("one", "two", prefix="test")
    written = reuters_files.write_files(train, test, tmp_path / "demo", held_back=5)
    assert written.rows == {"train": 15, "test": 2, "incoming": 5}
    written_rows = {row["id"]: row for path in (written.train, written.incoming) for row in read(path)}
    assert {key: row["text"] for key, row in written_rows.items()} == {row.id: row.text for row in train}
    answers = reuters_files.read_answers(written.answers)
    assert answers == {row.id: row.category for row in train if row.id in answers}
    assert set(answers) == {row["id"] for row in read(written.incoming)}
    assert list(read(written.incoming)[0]) == ["id", "text"]
    assert {row["split"] for row in read(written.test)} == {"test"}
    assert sorted(path.suffix for path in (tmp_path / "demo").iterdir()) == [".csv"] * 4


def test_the_same_input_gives_the_same_files(tmp_path):
    train, test = rows(*(f"text {n}" for n in range(20))), rows("one", prefix="test")
    first = reuters_files.write_files(train, test, tmp_path / "a", held_back=5)
    second = reuters_files.write_files(train, test, tmp_path / "b", held_back=5)
    assert first.incoming.read_bytes() == second.incoming.read_bytes()
    assert first.train.read_bytes() == second.train.read_bytes()


def test_the_order_of_the_rows_does_not_change_which_are_held_back():
    train = rows(*(f"text {n}" for n in range(20)))
    assert reuters_files.hold_back(train, [], 5) == reuters_files.hold_back(train[::-1], [], 5)


@given(
    st.lists(st.sampled_from(["a", "A", " a", "b", "b  c", "B C", "d", "e", "", " ", "ß", "SS"])),
    st.lists(st.sampled_from(["a", "B c", "d ", "f"])),
    st.integers(0, 5),
)
def test_no_held_back_text_occurs_a_second_time(train_texts, test_texts, count):
    train, test = rows(*train_texts), rows(*test_texts, prefix="test")
    held_back = reuters_files.hold_back(train, test, count)
    ids = {row.id for row in held_back}
    elsewhere = {fold(row.text) for row in (*train, *test) if row.id not in ids}
    folded = [fold(row.text) for row in held_back]
    assert len(held_back) <= count
    assert len(set(folded)) == len(folded)
    assert not elsewhere.intersection(folded)
    assert all(folded)


def test_a_row_without_a_text_is_rejected_by_the_ingest(tmp_path):
    written = reuters_files.write_files(reuters_files.parse(TAB, prefix="train"), [], tmp_path, held_back=1)
    chunks = list(readers.read_file(written.train, Columns("text", "category", "id")))
    rejected = [row for chunk in chunks for row in validate_chunk(chunk, default_source="r8").rejected]
    assert [row.reason for row in rejected] == ["text is empty"]
