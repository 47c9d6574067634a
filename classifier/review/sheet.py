"""Write and read review sheets: CSV files with articles, and columns that annotators fill in.

A spreadsheet program evaluates a cell that starts with =, +, - or @ as a formula, which may leak data. So such a cell
gets an apostrophe in front, and so does a cell that starts with an apostrophe: reading restores every cell exactly.
Only id, revision, category, annotator and comment are read back, so a program that cuts or recodes texts is harmless.
In a multi-label task, the column category holds a list: see `category_lists`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.articles import RejectedRow, TaskKind
from classifier.exceptions import ReviewError, SourceError
from classifier.ingest import csv_files
from classifier.ingest.columns import format_column_names
from classifier.ingest.validation import find_unstorable
from classifier.names import MAX_CATEGORY_LENGTH, control_character, normalize_category
from classifier.plurals import plural
from classifier.review import category_lists

COLUMNS = (
    "id", "revision", "source", "external_id", "url", "title", "text", "suggested", "confidence", "reason",
    "category", "annotator", "comment",
)  # fmt: skip
REQUIRED_COLUMNS = ("id", "revision", "category", "annotator")
MAX_LENGTHS = {"category": MAX_CATEGORY_LENGTH, "annotator": 200, "comment": 2000}
"""In characters."""

SOURCE_ANNOTATOR_PREFIX = "source:"
"""The start of the annotator's name in annotations that come from a source."""

_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_GUARDED = (*_FORMULA, "'")


@dataclass(frozen=True, slots=True)
class SheetQuestion:
    """An article to annotate. `suggested` and `confidence` are None if they could bias the annotator."""

    id: int
    revision: int
    source: str
    external_id: str
    text: str
    suggested: tuple[str, ...] | None
    confidence: float | None
    reason: str
    title: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class SheetAnswer:
    """A filled row, and the line on which it starts; no categories are the answer "none of them"."""

    line: int
    article_id: int
    revision: int
    categories: tuple[str, ...]
    annotator: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be imported, and why. The reason never quotes an article's text."""

    line: int
    reason: str


def encode_sheet(articles: Iterable[SheetQuestion], *, kind: TaskKind = "single") -> bytes:
    """Return the sheet as UTF-8 with a byte order mark, which spreadsheet programs need, and with every cell quoted.

    Suggested categories are written as annotators write their answers in a task of this kind.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for article in articles:
        confidence = "" if article.confidence is None else f"{article.confidence:.4f}"
        cells = (
            article.source,
            article.external_id,
            article.url or "",
            article.title or "",
            article.text,
            _format_suggested(article.suggested, kind),
            confidence,
            article.reason,
        )
        writer.writerow([str(article.id), str(article.revision), *map(escape_formula, cells), "", "", ""])
    return file.getvalue().encode("utf-8-sig")


def _format_suggested(categories: Sequence[str] | None, kind: TaskKind) -> str:
    if categories is None:
        return ""
    return category_lists.format_categories(categories) if kind == "multi" else "".join(categories)


def escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet program evaluates as a formula."""
    return f"'{cell}" if cell.startswith(_GUARDED) else cell


def unescape_formula(cell: str) -> str:
    """Return the argument of `escape_formula`. A cell that a person typed is returned unchanged."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_GUARDED) else cell


def read_sheet(
    path: Path, *, annotator: str | None = None, kind: TaskKind = "single"
) -> Iterator[SheetAnswer | InvalidRow | None]:
    """Yield the rows of a sheet of a task of this kind, None for a row without an answer.

    `annotator` is the annotator of rows that name none.

    Raises:
        SourceError: the file cannot be read, or a column is missing.
    """
    records = csv_files.read_records(path, ",")
    header = csv_files.header_of(path, records)
    for name in REQUIRED_COLUMNS:
        if header.count(name) != 1:
            raise SourceError(
                f"{path}: the column {name!r} must be there exactly once; its columns are "
                f"{format_column_names(header)}; "
                "export the sheet as CSV with commas, and with the names of the columns in the first line"
            )
    seen: dict[tuple[int, str], int] = {}
    for line, cells in records:
        if isinstance(cells, RejectedRow):
            yield InvalidRow(line, cells.reason)
        elif len(cells) == len(header):
            yield _parse_row(line, dict(zip(header, cells, strict=True)), annotator, kind, seen)
        elif any(cells):
            yield InvalidRow(line, f"{plural(len(cells), 'column')}, but the header has {len(header)}")


def _parse_row(
    line: int, cells: Mapping[str, str], annotator: str | None, kind: TaskKind, seen: dict[tuple[int, str], int]
) -> SheetAnswer | InvalidRow | None:
    values = {name: unescape_formula(cells.get(name, "").strip()) for name in (*REQUIRED_COLUMNS, "comment")}
    cell = normalize_category(values.pop("category"))
    if not cell:
        return None
    try:
        categories = category_lists.parse_categories(cell) if kind == "multi" else (cell,)
    except ReviewError as error:
        return InvalidRow(line, str(error))
    values["annotator"] = values["annotator"] or annotator or ""
    if reason := find_problem(values, categories):
        return InvalidRow(line, reason)
    article_id, revision = int(values["id"]), int(values["revision"])
    first = seen.setdefault((article_id, values["annotator"]), line)
    if first != line:
        return InvalidRow(
            line, f"article {article_id} has two answers by {values['annotator']!r}, the first on line {first}"
        )
    return SheetAnswer(line, article_id, revision, categories, values["annotator"], values["comment"] or None)


def find_problem(values: Mapping[str, str], categories: Sequence[str]) -> str | None:
    """Return the first problem of an answer, or None.

    The values are id, revision, annotator and comment. Problems of values that cannot be quoted come first.
    """
    id_and_revision = [(name, values[name]) for name in ("id", "revision")]
    people = [(name, values[name]) for name in ("annotator", "comment")]
    texts = [*id_and_revision, *(("category", name) for name in categories), *people]
    for name, value in texts:
        defect = find_unstorable(value)
        if defect is None and name == "category" and (control := control_character(value)):
            defect = f"the control character {control}"
        if defect:
            return f"{name} has {defect}"
    for name, value in id_and_revision:
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return f"{name} {value[:40]!r} is not a whole number"
    for name, value in texts:
        if name in MAX_LENGTHS and len(value) > MAX_LENGTHS[name]:
            return f"{name} is longer than {MAX_LENGTHS[name]} characters"
    return category_lists.find_repeated(categories) or _find_annotator_problem(values["annotator"])


def _find_annotator_problem(annotator: str) -> str | None:
    if not annotator:
        return "annotator is empty"
    if annotator.startswith(SOURCE_ANNOTATOR_PREFIX):
        return f"annotator {annotator[:40]!r} belongs to a source; must be the name of a person"
    return None
