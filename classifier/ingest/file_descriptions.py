"""Describe how a file is read, so that users can check it before they ingest it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from classifier.exceptions import SourceError
from classifier.ingest import csv_files, csv_layout, excel_files, json_documents, parquet_files, readers
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat, show_delimiter
from classifier.ingest.text_files import SourceFile, resolve_encoding


@dataclass(frozen=True, slots=True)
class FileDescription:
    """How a file is read: its encoding and delimiter, None if it has none, and the names of its columns."""

    encoding: str | None = None
    delimiter: str | None = None
    columns: tuple[str, ...] = ()


def describe_file(path: SourceFile, columns: Columns, file_format: FileFormat) -> FileDescription:
    """Return the description of a file. It is empty for an archive, and for a file that cannot be read."""
    with suppress(SourceError):
        return _describe(path, columns, file_format)
    return FileDescription()


def _describe(path: SourceFile, columns: Columns, file_format: FileFormat) -> FileDescription:
    if path.is_dir():
        encoding = "detected for each file" if file_format.text_encoding == "auto" else file_format.encoding
        return FileDescription(encoding)
    kind = readers.find_kind(path.name)
    match kind:
        case ".json" | ".jsonl" | ".ndjson":
            encoding = resolve_encoding(path, file_format.table_encoding)
            return FileDescription(encoding, columns=tuple(json_documents.find_keys(path, columns, file_format)))
        case ".parquet":
            return FileDescription(columns=tuple(parquet_files.read_column_names(path)))
        case ".xlsx":
            records = excel_files.read_records(path, file_format.skip_lines)
            return FileDescription(columns=tuple(csv_files.name_columns(path, file_format, records)[0]))
        case ".zip" | None:
            return FileDescription()
    layout = csv_layout.find_layout(path, columns, file_format, readers.DELIMITERS[kind])
    records = csv_files.read_records(path, layout.delimiter, layout.encoding, layout.skip_lines)
    names = tuple(csv_files.name_columns(path, file_format, records)[0])
    return FileDescription(layout.encoding, show_delimiter(layout.delimiter), names)
