"""Read the first sheet of an Excel workbook, row by row. It needs the extra `excel`.

openpyxl streams the rows, but holds the workbook's table of strings in memory, so the size of that table is limited.
Formulas give the values that Excel last computed.
"""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from classifier.exceptions import SourceError
from classifier.ingest import zip_files
from classifier.ingest.columns import Columns, RawChunk, chunk_file
from classifier.ingest.csv_files import Record, select_cells
from classifier.ingest.file_format import FileFormat
from classifier.ingest.scalars import as_string
from classifier.ingest.text_files import SourceFile, name_file_in_errors

log = logging.getLogger(__name__)

MAX_STRINGS = 256 * 2**20
"""Bytes of a workbook's table of strings, uncompressed; Python needs about twice as much."""

MAX_ROWS = 2**20
"""Rows of a sheet, as in Excel."""

_STRINGS = "xl/sharedStrings.xml"
_OTHER_FORMAT = "save it as CSV"


def read_excel(path: SourceFile, columns: Columns, chunk_rows: int, file_format: FileFormat) -> Iterator[RawChunk]:
    """Yield the rows of the first sheet in chunks of at most `chunk_rows`."""
    records = read_records(path, file_format.skip_lines)
    yield from chunk_file(path, select_cells(path, columns, file_format, records, "row"), chunk_rows, columns.fields)


def read_records(path: SourceFile, skip_rows: int = 0) -> Iterator[Record]:
    """Yield the number and the cells of each row after `skip_rows`, all as wide as the first one that is not blank.

    Raises:
        SourceError: the file is no workbook, or the extra `excel` is not installed.
    """
    openpyxl = _import_openpyxl(path)
    with name_file_in_errors(path), path.open("rb") as file, _translate_errors(path):
        _check_size(path, file)
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = _choose_sheet(path, workbook)
        sheet.reset_dimensions()  # programs other than Excel write wrong ones
        width = 0
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number > MAX_ROWS:
                raise SourceError(f"{path}: has more than {MAX_ROWS:,} rows; {_OTHER_FORMAT}")
            if number > skip_rows:
                cells = _cells(values)
                width = width or len(cells)
                yield number, cells and cells + [""] * (width - len(cells))


def _import_openpyxl(path: SourceFile) -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise SourceError(f"{path}: needs openpyxl; install article-classifier[excel], or {_OTHER_FORMAT}") from error
    # it warns of styles and extensions that it does not keep, which no reader needs
    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
    return openpyxl


def _check_size(path: SourceFile, file: IO[Any]) -> None:
    with zip_files.open_archive(file) as archive:
        for member in archive.infolist():
            zip_files.check_member(path, member)
            if member.filename == _STRINGS and member.file_size > MAX_STRINGS:
                raise SourceError(f"{path}: has more than {MAX_STRINGS // 2**20} MiB of strings; {_OTHER_FORMAT}")
    file.seek(0)


def _choose_sheet(path: SourceFile, workbook: Any) -> Any:
    first, *others = workbook.worksheets or [None]
    if first is None:
        raise SourceError(f"{path}: has no sheet; {_OTHER_FORMAT}")
    if others:
        log.warning("%s: only its first sheet %r is read; it has %d more", path, first.title, len(others))
    return first


def _cells(values: tuple[object, ...]) -> list[str]:
    """Return a row's cells as strings, without empty ones at its end."""
    cells = [str(value).upper() if isinstance(value, bool) else as_string(value) or "" for value in values]
    while cells and not cells[-1]:
        cells.pop()
    return cells


@contextmanager
def _translate_errors(path: SourceFile) -> Iterator[None]:
    """Turn the errors by which openpyxl refuses a file into a `SourceError`."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path}: cannot be read as Excel (no .xlsx file, or damaged); {_OTHER_FORMAT}") from error
    # the errors of XML parsers are SyntaxErrors
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError) as error:
        problem = type(error).__name__ if isinstance(error, AttributeError | TypeError) else str(error)
        line = problem.partition("\n")[0][:200]
        raise SourceError(f"{path}: cannot be read as Excel ({line}); {_OTHER_FORMAT}") from error
