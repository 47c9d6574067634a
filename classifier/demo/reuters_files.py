"""Write Reuters R8 as the files that the demo ingests.

500 training articles are held back. They arrive as rows without a category, and their categories, in a file of their
own, show how many labels of the model are correct. No text of theirs is also in the training or the test file, which
would give its category away.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier import atomic_files
from classifier.ingest.fingerprints import fold

HELD_BACK = 500

_TYPE_ROWS = 2
"""Under the header, Orange writes a row of types and a row of roles."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of R8. A line without a text stays a row, so that the ingest rejects and reports it."""

    id: str
    category: str
    text: str


@dataclass(frozen=True, slots=True)
class Files:
    """The files to ingest, the file of the held-back categories, and the number of rows of each file."""

    train: Path
    test: Path
    incoming: Path
    answers: Path
    rows: dict[str, int]


def parse(tab: str, *, prefix: str) -> list[Row]:
    """Return the rows of an Orange file (tab-separated, unquoted), with ids made of their numbers."""
    # not splitlines: it would also split at rarer line separators, which texts contain
    lines = [line.rstrip("\r") for line in tab.split("\n")[1 + _TYPE_ROWS :]]
    cells = [line.partition("\t") for line in lines if line]
    return [
        Row(f"{prefix}-{number:05}", category.strip(), text)
        for number, (category, _, text) in enumerate(cells, start=1)
    ]


def hold_back(train: Sequence[Row], test: Sequence[Row], count: int) -> list[Row]:
    """Return `count` training rows whose text occurs once in all files, chosen by the hash of their text."""
    occurrences = Counter(fold(row.text) for row in (*train, *test))
    unique = [row for row in train if fold(row.text) and row.category and occurrences[fold(row.text)] == 1]
    return sorted(unique, key=lambda row: hashlib.sha256(row.text.encode()).digest())[:count]


def write_files(train: Sequence[Row], test: Sequence[Row], directory: Path, *, held_back: int = HELD_BACK) -> Files:
    """Write the files, each atomically."""
    incoming = hold_back(train, test, held_back)
    incoming_ids = {row.id for row in incoming}
    remaining = [row for row in train if row.id not in incoming_ids]
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(
        train=directory / "r8-train.csv",
        test=directory / "r8-test.csv",
        incoming=directory / "r8-incoming.csv",
        answers=directory / "r8-incoming-answers.csv",
        rows={"train": len(remaining), "test": len(test), "incoming": len(incoming)},
    )
    _write(files.train, ("id", "category", "text"), ((row.id, row.category, row.text) for row in remaining))
    with_split = ((row.id, row.category, row.text, "test") for row in test)
    _write(files.test, ("id", "category", "text", "split"), with_split)
    _write(files.answers, ("id", "category"), ((row.id, row.category) for row in incoming))
    _write(files.incoming, ("id", "text"), ((row.id, row.text) for row in incoming))
    return files


def read_answers(path: Path) -> dict[str, str]:
    """Return the held-back category of each incoming row, by the row's id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["category"] for row in csv.DictReader(file)}


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic_files.temporary(path) as aside:
        with aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
        aside.replace(path)
