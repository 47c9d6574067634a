r"""Read CSV and TSV files row by row, with Python's own parser in strict mode.

pyarrow's parser is faster, but one invalid row can fail the whole file, an unclosed quote silently swallows the rows
after it, `"b"c` counts as a value, and rows have no line numbers. Here each such row is rejected alone, with its line.

A row with invalid quotes ends where the parser notices it. It may contain further rows, so its reason names every line
of it. If it has more than `MAX_LINES_OF_A_BAD_ROW` lines, the file is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from itertools import chain, islice
from operator import itemgetter
from typing import TextIO

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.columns import Columns, RawChunk, Row, chunk_file, join_texts, require_columns
from classifier.ingest.csv_layout import find_layout
from classifier.ingest.file_format import FileFormat
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.text_files import MAX_RECORD, SourceFile, open_text, record_too_long
from classifier.plurals import plural

MAX_LINES_OF_A_BAD_ROW = 100

_MAX_TITLE_LENGTH = 60
_NUMBER = re.compile(r"\s*[-+]?\d+(?:[.,]\d+)?\s*")
"""A cell that is a number, or longer than `_MAX_TITLE_LENGTH`, is rarely a column's name."""

_REASONS = {"unexpected end of data": "a quote that opens in this row is never closed"}
_QUOTE_INSIDE = "a quote inside a quoted value is not doubled, or a quote is missing"

Record = tuple[int, list[str] | RejectedRow]
"""The line on which a record starts, and its cells or why it is rejected."""


class _Lines:
    """The lines of a file. `record` has the lines of the present row."""

    def __init__(self, path: SourceFile, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._size = 0
        self.number = 0
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD)
        if not line:
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if self._size >= MAX_RECORD:
            raise record_too_long(self._path, self.number - len(self.record))
        self.record.append(line)
        return line

    def start_record(self) -> None:
        self.record.clear()
        self._size = 0


def read_csv(
    path: SourceFile, columns: Columns, chunk_rows: int, file_format: FileFormat, default: str | None
) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`; `default` is the delimiter of its suffix, if any."""
    layout = find_layout(path, columns, file_format, default)
    records = read_records(path, layout.delimiter, layout.encoding, layout.skip_lines)
    yield from chunk_file(path, select_cells(path, columns, file_format, records), chunk_rows, columns.fields)


def read_records(path: SourceFile, delimiter: str, encoding: str = "utf-8", skip_lines: int = 0) -> Iterator[Record]:
    """Yield the file's records after `skip_lines` lines; a byte that is not UTF-8 is a lone surrogate.

    Raises:
        SourceError: the file cannot be read, or a row with invalid quotes is too long.
    """
    # this limit is global to the process, so it is only ever raised; _Lines limits the row
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))
    # newline="" preserves line endings inside quoted texts
    with (
        open_text(path, encoding) as file,
        TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        lines = _Lines(path, text)
        for _ in islice(lines, skip_lines):
            lines.start_record()
        yield from _records(path, lines, delimiter)


def select_cells(
    path: SourceFile, columns: Columns, file_format: FileFormat, records: Iterator[Record], unit: str = "line"
) -> Iterator[Row | RejectedRow]:
    """Yield each row's values in the order of the columns' fields; `unit` is what the records' numbers count.

    Raises:
        SourceError: a wanted column is missing.
    """
    header, records = name_columns(path, file_format, records)
    _require_columns(path, columns, file_format, header)
    owner = "the header has" if file_format.has_header else "the first row has"
    pick = _cell_picker(columns, header)
    for line, cells in records:
        if isinstance(cells, RejectedRow):
            yield cells
        elif len(cells) == len(header):
            yield (*pick(cells), f"{unit} {line}")
        elif cells:  # a blank line has no cells
            reason = f"{plural(len(cells), 'column')}, but {owner} {len(header)}"
            yield reject_row(path, f"{unit} {line}", reason, cells)


def _cell_picker(columns: Columns, header: list[str]) -> Callable[[list[str]], tuple[str | None, ...]]:
    """Return a function that returns a row's values in the order of the fields, None for a missing column."""
    parts = [header.index(part) for part in columns.text_parts(header)]
    # each row gets its text and a None at its end: index -1 stands for a column that the file does not have
    others = itemgetter(*(-1 if name is None else header.index(name) for name in columns.names[1:]))
    if len(parts) == 1:
        return lambda cells: (cells[parts[0]], *others([*cells, None]))
    join = itemgetter(*parts)
    return lambda cells: (join_texts(join(cells)), *others([*cells, None]))


def _require_columns(path: SourceFile, columns: Columns, file_format: FileFormat, header: list[str]) -> None:
    """Raise `SourceError` unless the header has the columns; if it looks like a row, say which option reads it."""
    try:
        require_columns(path, columns, header)
    except SourceError as error:
        if file_format.has_header and any(len(cell) > _MAX_TITLE_LENGTH or _NUMBER.fullmatch(cell) for cell in header):
            raise SourceError(f"{error}; if the file has no header, add --no-header or --columns") from error
        raise


def name_columns(
    path: SourceFile, file_format: FileFormat, records: Iterator[Record]
) -> tuple[list[str], Iterator[Record]]:
    """Return the names of a file's columns, and the records below its header, if it has one.

    Raises:
        SourceError: the header cannot be read, or the first row has another number of columns than `column_names`.
    """
    if file_format.has_header:
        return header_of(path, records), records
    names = file_format.column_names
    leading: list[Record] = []
    for record in islice(records, MAX_LINES_OF_A_BAD_ROW):
        leading.append(record)
        if record[1] and not isinstance(record[1], RejectedRow):
            break
    cells = leading[-1][1] if leading else []
    if isinstance(cells, RejectedRow):
        raise SourceError(f"{path}: its first rows cannot be read: {cells.reason}")
    if names and cells and len(cells) != len(names):
        raise SourceError(
            f"{path}: its first row has {len(cells)} columns, but --columns names {len(names)}: {', '.join(names)}"
        )
    return list(names or map(str, range(1, len(cells) + 1))), chain(leading, records)


def header_of(path: SourceFile, records: Iterator[Record]) -> list[str]:
    """Consume the first record that is not blank, and return its cells.

    Raises:
        SourceError: the record cannot be read.
    """
    cells = next((cells for _, cells in records if cells), [])
    if isinstance(cells, RejectedRow):
        raise SourceError(f"{path}: its header cannot be read: {cells.reason}")
    return cells


def _records(path: SourceFile, lines: _Lines, delimiter: str) -> Iterator[Record]:
    """Yield the line on which each record starts, and the record."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.number + 1
        lines.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _reject_record(path, line, lines.record, error)
        else:
            yield line, cells


def _reject_record(path: SourceFile, line: int, record: list[str], error: csv.Error) -> RejectedRow:
    """Return a row with invalid quotes as a rejected row; raise `SourceError` if it has too many lines."""
    reason = _REASONS.get(str(error), _QUOTE_INSIDE)
    if len(record) > 1:
        reason += f"; lines {line} to {line + len(record) - 1} were read as one row"
    if len(record) > MAX_LINES_OF_A_BAD_ROW:
        raise SourceError(f"{path}, line {line}: {reason}")
    return reject_row(path, f"line {line}", reason, "".join(record))
