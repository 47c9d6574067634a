"""Find where the records of a CSV file begin, and which delimiter separates its cells.

Both are decided from the first 64 KiB. A delimiter fits if the header then has every wanted column. A file without a
header must have the same number of cells in nearly every row. If several delimiters fit, none is chosen: a wrong one
would turn texts into columns without any error.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from classifier.exceptions import SourceError
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat, show_delimiter
from classifier.ingest.text_files import SourceFile, open_text, resolve_encoding

CANDIDATES = (",", ";", "\t", "|")
"""The delimiters that are detected. The first is taken if a file has a single column."""

MAX_PREAMBLE_LINES = 20
"""A header is looked for in at most this many lines, to say how many lines must be skipped."""

_SAMPLE_BYTES = 2**16
_SAMPLE_RECORDS = 200
_MIN_SHARE = 0.8
"""In a file without a header, at least this share of the rows must have the same number of cells."""

_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n"])"?[\r\n]*', re.IGNORECASE)
"""The line by which Excel learns a file's delimiter; other programs read it as data."""


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How a CSV file is read: its delimiter, the lines before its first record, and its encoding."""

    delimiter: str
    skip_lines: int
    encoding: str


def find_layout(path: SourceFile, columns: Columns, file_format: FileFormat, default: str | None) -> CsvLayout:
    """Return the layout of a file; `default` is the delimiter that its suffix stands for, None if it must be detected.

    Raises:
        SourceError: the file cannot be read, its header is below other lines, or several delimiters fit.
    """
    encoding = resolve_encoding(path, file_format.table_encoding)
    skip_lines, delimiter = file_format.skip_lines, file_format.delimiter or default
    lines = _read_sample(path, encoding, skip_lines)
    if lines and (separator := _SEPARATOR_LINE.fullmatch(lines[0])):
        skip_lines, lines = skip_lines + 1, lines[1:]
        delimiter = file_format.delimiter or separator[1]
    if file_format.has_header:
        delimiter = _choose_by_header(path, lines, columns, skip_lines, [delimiter] if delimiter else CANDIDATES)
    elif delimiter is None:
        delimiter = _choose_by_rows(
            path, lines, _find_width(columns, file_format), exact=bool(file_format.column_names)
        )
    return CsvLayout(delimiter, skip_lines, encoding)


def _read_sample(path: SourceFile, encoding: str, skip_lines: int) -> list[str]:
    """Return the first lines of a file after the skipped ones, without a last line that is cut off."""
    with (
        open_text(path, encoding) as file,
        io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        for _ in range(skip_lines):
            text.readline(_SAMPLE_BYTES)
        sample = text.read(_SAMPLE_BYTES)
    lines = list(io.StringIO(sample, newline=""))
    return lines[:-1] if len(sample) == _SAMPLE_BYTES and len(lines) > 1 else lines


def _records(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the records of a sample that are not blank, up to the first one that is invalid."""
    try:
        yield from filter(None, csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return


def _choose_by_header(
    path: SourceFile, lines: list[str], columns: Columns, skip_lines: int, candidates: Sequence[str]
) -> str:
    headers = {delimiter: next(_records(lines, delimiter), []) for delimiter in candidates}
    if fitting := _find_fitting(columns, headers):
        return _choose_only(path, fitting, headers)
    for line in range(1, min(MAX_PREAMBLE_LINES, len(lines) - 1) + 1):
        below = {delimiter: next(_records(lines[line:], delimiter), []) for delimiter in candidates}
        if _find_fitting(columns, below) and lines[line].strip():
            missing = columns.required_in(max(headers.values(), key=len))[0]
            raise SourceError(
                f"{path}: no column {missing!r} in line {skip_lines + 1}; "
                f"line {skip_lines + line + 1} looks like the header: add --skip-lines {skip_lines + line}"
            )
    return max(candidates, key=lambda delimiter: len(headers[delimiter]))  # the reader names its columns


def _find_fitting(columns: Columns, headers: dict[str, list[str]]) -> list[str]:
    """Return the delimiters with which a header has every wanted column."""
    return [name for name, header in headers.items() if set(columns.required_in(header)) <= set(header)]


def _choose_only(path: SourceFile, fitting: list[str], records: dict[str, list[str]]) -> str:
    """Return the first delimiter if all of them give the same cells; otherwise raise `SourceError`."""
    if any(records[delimiter] != records[fitting[0]] for delimiter in fitting):
        names = " or ".join(repr(show_delimiter(delimiter)) for delimiter in fitting)
        raise SourceError(f"{path}: its delimiter may be {names}; name it with --delimiter")
    return fitting[0]


def _find_width(columns: Columns, file_format: FileFormat) -> int:
    """Return how many cells a row must have at least."""
    numbers = [int(name) for name in columns.required_in([]) if name.isdecimal()]
    return len(file_format.column_names) or max(numbers, default=1)


def _choose_by_rows(path: SourceFile, lines: list[str], width: int, *, exact: bool) -> str:
    """Return the delimiter that gives nearly every row the same number of cells."""
    fitting, first = [], {}
    for delimiter in CANDIDATES:
        rows = list(islice(_records(lines, delimiter), _SAMPLE_RECORDS))
        if not rows:
            continue
        (cells, count), *_ = Counter(map(len, rows)).most_common(1)
        if count >= _MIN_SHARE * len(rows) and cells > 1 and (cells == width if exact else cells >= width):
            fitting.append(delimiter)
            first[delimiter] = rows[0]
    return _choose_only(path, fitting, first) if fitting else CANDIDATES[0]
