"""Turn Reuters R8, as it comes, into the files that the demo ingests.

500 training articles are kept back: they arrive as rows without a category, and how many of them the
model labels rightly is counted against the categories kept in a file of their own. None of them stands
a second time in the training or the test file, which would give its category away.
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

KEPT_BACK = 500

_TYPE_ROWS = 2
"""Orange writes, under the header, a row of kinds and a row of roles."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of R8. A line without a text keeps its place: the ingest is to say that it is bad."""

    id: str
    category: str
    text: str


@dataclass(frozen=True, slots=True)
class Files:
    """The files that are ingested, the kept-back categories, and the rows of each file."""

    train: Path
    test: Path
    incoming: Path
    answers: Path
    rows: dict[str, int]


def parse(tab: str, *, prefix: str) -> list[Row]:
    """Return the rows of an Orange file: tab-separated, unquoted, named by their number."""
    # not splitlines: a text may hold one of the rarer characters that it takes for a line's end
    lines = [line.rstrip("\r") for line in tab.split("\n")[1 + _TYPE_ROWS :]]
    cells = [line.partition("\t") for line in lines if line]
    return [
        Row(f"{prefix}-{number:05}", category.strip(), text)
        for number, (category, _, text) in enumerate(cells, start=1)
    ]


def keep_back(train: Sequence[Row], test: Sequence[Row], count: int) -> list[Row]:
    """Return `count` training rows, by the hash of their text; no text that stands twice anywhere."""
    times = Counter(fold(row.text) for row in (*train, *test))
    once = [row for row in train if fold(row.text) and row.category and times[fold(row.text)] == 1]
    return sorted(once, key=lambda row: hashlib.sha256(row.text.encode()).digest())[:count]


def write_files(train: Sequence[Row], test: Sequence[Row], directory: Path, *, kept_back: int = KEPT_BACK) -> Files:
    """Write the files, each aside first and then into place."""
    incoming = keep_back(train, test, kept_back)
    gone = {row.id for row in incoming}
    rest = [row for row in train if row.id not in gone]
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(
        train=directory / "r8-train.csv",
        test=directory / "r8-test.csv",
        incoming=directory / "r8-incoming.csv",
        answers=directory / "r8-incoming-answers.csv",
        rows={"train": len(rest), "test": len(test), "incoming": len(incoming)},
    )
    _write(files.train, ("id", "category", "text"), ((row.id, row.category, row.text) for row in rest))
    with_split = ((row.id, row.category, row.text, "test") for row in test)
    _write(files.test, ("id", "category", "text", "split"), with_split)
    _write(files.answers, ("id", "category"), ((row.id, row.category) for row in incoming))
    _write(files.incoming, ("id", "text"), ((row.id, row.text) for row in incoming))
    return files


def read_answers(path: Path) -> dict[str, str]:
    """Return the kept-back category of each incoming row, by its id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["category"] for row in csv.DictReader(file)}


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic_files.temporary(path) as aside:
        with aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
        aside.replace(path)
