r"""Read CSV and TSV files row by row, with Python's own parser in strict mode.

pyarrow's parser is faster, but one invalid row can fail the whole file, an unclosed quote silently swallows the rows
after it, `"b"c` counts as a value, and rows have no line numbers. Here each such row is rejected alone, with its line.

A row with invalid quotes ends where the parser notices it. It may contain further rows, so its reason names every line
of it. If it has more than `MAX_LINES_OF_A_BAD_ROW` lines, the file is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from operator import itemgetter
from typing import TextIO

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest.columns import Columns, RawChunk, Row, chunk_file, require_columns
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.text_files import MAX_RECORD, SourceFile, open_text, record_too_long
from classifier.plurals import plural

MAX_LINES_OF_A_BAD_ROW = 100

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
        self._number = 0
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD)
        if not line:
            raise StopIteration
        self._number += 1
        self._size += len(line)
        if self._size >= MAX_RECORD:
            raise record_too_long(self._path, self._number - len(self.record))
        self.record.append(line)
        return line

    def start_record(self) -> None:
        self.record.clear()
        self._size = 0


def read_csv(path: SourceFile, columns: Columns, chunk_rows: int, delimiter: str, encoding: str) -> Iterator[RawChunk]:
    """Yield the file's rows in chunks of at most `chunk_rows`."""
    yield from chunk_file(path, _rows(path, columns, read_records(path, delimiter, encoding)), chunk_rows)


def read_records(path: SourceFile, delimiter: str, encoding: str = "utf-8") -> Iterator[Record]:
    """Yield the file's records, with blank lines; a byte that is not UTF-8 is a lone surrogate.

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
        yield from _records(path, _Lines(path, text), delimiter)


def _rows(path: SourceFile, columns: Columns, records: Iterator[Record]) -> Iterator[Row | RejectedRow]:
    """Yield each row's values in the order of `FIELDS`."""
    header = header_of(path, records)
    require_columns(path, columns, header)
    # each row gets a None at its end: index -1 stands for a column that the file does not have
    pick = itemgetter(*(header.index(name) if name is not None else -1 for name in columns.names))
    for line, cells in records:
        if isinstance(cells, RejectedRow):
            yield cells
        elif len(cells) == len(header):
            yield (*pick([*cells, None]), f"line {line}")
        elif cells:  # a blank line has no cells
            yield reject_row(
                path, f"line {line}", f"{plural(len(cells), 'column')}, but the header has {len(header)}", cells
            )


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
        line = reader.line_num + 1
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
