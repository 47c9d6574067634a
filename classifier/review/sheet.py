"""The CSV that goes to people and comes back: articles to review, with columns to fill in.

A spreadsheet takes a cell that begins with =, +, - or @ for a formula, which may send what it sees elsewhere. Such
a cell gets an apostrophe in front, and so does one that begins with an apostrophe, so that reading gives every
cell back as it was. Of what comes back only id, revision, category, annotator and comment are read: a program
that has cut or recoded the texts does no harm.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest import csv_files
from classifier.ingest.columns import format_column_names
from classifier.ingest.validation import MAX_LENGTHS, find_unstorable
from classifier.names import control_character, normalize_category

COLUMNS = (
    "id", "revision", "source", "external_id", "text", "suggested", "confidence", "reason",
    "category", "annotator", "comment",
)  # fmt: skip
REQUIRED_COLUMNS = ("id", "revision", "category", "annotator")
MAX_LENGTHS = {"category": MAX_LENGTHS["category"], "annotator": 200, "comment": 2000}
"""Characters."""

SOURCE_ANNOTATOR_PREFIX = "source:"
"""What the annotators of sources' own categories begin with."""

_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_GUARDED = (*_FORMULA, "'")


@dataclass(frozen=True, slots=True)
class SheetQuestion:
    """An article that a human is asked about. `suggested` and `confidence` are None where they might sway him."""

    id: int
    revision: int
    source: str
    external_id: str
    text: str
    suggested: str | None
    confidence: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class SheetAnswer:
    """A row that was filled in, and the line it began on."""

    line: int
    article_id: int
    revision: int
    category: str
    annotator: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be taken in, and why. It never quotes a text."""

    line: int
    reason: str


def encode_sheet(articles: Iterable[SheetQuestion]) -> bytes:
    """Return the sheet as UTF-8, with the mark by which spreadsheets know it, every cell quoted."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for one in articles:
        confidence = "" if one.confidence is None else f"{one.confidence:.4f}"
        cells = (one.source, one.external_id, one.text, one.suggested or "", confidence, one.reason)
        writer.writerow([str(one.id), str(one.revision), *map(escape_formula, cells), "", "", ""])
    return file.getvalue().encode("utf-8-sig")


def escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_GUARDED) else cell


def unescape_formula(cell: str) -> str:
    """Return what `guard` was given; what people type is left as it is."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_GUARDED) else cell


def read_sheet(path: Path, *, annotator: str | None = None) -> Iterator[SheetAnswer | InvalidRow | None]:
    """Yield the rows of a sheet; None for one that nobody has filled in.

    `annotator` is whose the rows are that name nobody.

    Raises:
        SourceError: the file cannot be read, or a column is missing.
    """
    records = csv_files.read_records(path, ",")
    header = csv_files.header_of(path, records)
    for name in REQUIRED_COLUMNS:
        if header.count(name) != 1:
            raise SourceError(
                f"{path}: the column {name!r} has to be there once; its columns are {format_column_names(header)}; "
                "a review's sheet has commas between the columns and their names in the first line"
            )
    seen: dict[tuple[int, str], int] = {}
    for line, cells in records:
        if isinstance(cells, RejectedRow):
            yield InvalidRow(line, cells.reason)
        elif len(cells) == len(header):
            yield _row(line, dict(zip(header, cells, strict=True)), annotator, seen)
        elif any(cells):
            yield InvalidRow(line, f"columns: {len(cells)}, where the header has {len(header)}")


def _row(
    line: int, cells: Mapping[str, str], annotator: str | None, seen: dict[tuple[int, str], int]
) -> SheetAnswer | InvalidRow | None:
    values = {name: unescape_formula(cells.get(name, "").strip()) for name in (*REQUIRED_COLUMNS, "comment")}
    values["category"] = normalize_category(values["category"])
    if not values["category"]:
        return None
    values["annotator"] = values["annotator"] or annotator or ""
    if reason := find_problem(values):
        return InvalidRow(line, reason)
    article_id, revision = int(values["id"]), int(values["revision"])
    first = seen.setdefault((article_id, values["annotator"]), line)
    if first != line:
        return InvalidRow(line, f"article {article_id} stands twice by {values['annotator']!r}, first on line {first}")
    return SheetAnswer(line, article_id, revision, values["category"], values["annotator"], values["comment"] or None)


def find_problem(values: Mapping[str, str]) -> str | None:
    """Return the first thing wrong with an answer's values, those that forbid quoting them first.

    They are those of the needed columns, and comment.
    """
    for name, value in values.items():
        found = find_unstorable(value)
        if found is None and name == "category" and (control := control_character(value)):
            found = f"the control character {control}"
        if found:
            return f"{name} has {found}"
    for name in ("id", "revision"):
        if not (values[name].isascii() and values[name].isdigit() and len(values[name]) < 19):
            return f"{name} {values[name][:40]!r} is not a whole number"
    for name, limit in MAX_LENGTHS.items():
        if len(values[name]) > limit:
            return f"{name} is longer than {limit} characters"
    if not values["annotator"]:
        return "annotator is empty"
    if values["annotator"].startswith(SOURCE_ANNOTATOR_PREFIX):
        return f"annotator {values['annotator'][:40]!r} is a source's; a person has to be named"
    return None
