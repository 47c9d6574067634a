"""Read articles from tables, JSON, and folders of text files, a chunk of rows at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from classifier.exceptions import SourceError
from classifier.ingest import (
    csv_files,
    excel_files,
    json_documents,
    object_store,
    parquet_files,
    text_folders,
    zip_files,
)
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.file_format import FileFormat
from classifier.ingest.text_files import SourceFile, name_file_in_errors

__all__ = ["Columns", "RawChunk", "SourceFile", "expand_pattern", "read_file"]

DEFAULT_FORMAT = FileFormat()

FORMATS = (
    ".csv, .tsv, .tab, .json, .jsonl and .ndjson (each also with .gz or .zst), .parquet, .xlsx, .zip of these, and "
    "folders of text files"
)

DELIMITERS = {".csv": None, ".tsv": "\t", ".tab": "\t"}
"""The delimiter for which a suffix stands; None if it must be detected."""

_JSON = {".json", ".jsonl", ".ndjson"}
_TABLES = {*DELIMITERS, ".xlsx"}
_FOLDER = "folder"
_KINDS_WITH = {
    "delimiter": {*DELIMITERS},
    "skip_lines": _TABLES,
    "header": _TABLES,
    "column_names": _TABLES,
    "records": _JSON,
    "separator": {*_TABLES, *_JSON, ".parquet"},
    "none_value": {*_TABLES, *_JSON, ".parquet"},
    "split_folders": {_FOLDER},
}
"""The kinds of files for which a key of the format has a meaning."""

_OPTIONS = {"header": "--no-header", "column_names": "--columns"}


def expand_pattern(pattern: str) -> list[SourceFile]:
    """Return the files that match a path, a URL of an object store, or a glob of either, sorted.

    A path may be that of a folder of text files; a glob only matches files.

    Raises:
        SourceError: no file matches.
    """
    files = find_files(pattern)
    if not files:
        raise SourceError(f"{pattern}: no such file{_hint(pattern)}")
    return files


def _hint(pattern: str) -> str:
    if object_store.is_url(pattern) or not glob.has_magic(pattern):
        return ""
    folders = any(Path(match).is_dir() for match in glob.iglob(pattern, recursive=True))  # noqa: PTH207
    return "; name folders of text files without a glob" if folders else ""


def find_files(pattern: str) -> list[SourceFile]:
    """Return the files that match, sorted, or an empty list."""
    return object_store.expand(pattern) if object_store.is_url(pattern) else _find_local(pattern)


def read_file(
    path: SourceFile, columns: Columns, *, chunk_rows: int = 5000, file_format: FileFormat = DEFAULT_FORMAT
) -> Iterator[RawChunk]:
    """Return an iterator over the file's rows, in chunks of at most `chunk_rows`.

    Memory holds one chunk, whatever the size of the file. An invalid row is in its chunk's `rejected`.

    Raises:
        SourceError: the file cannot be read. It may also be raised by the iterator.
    """
    _check_format(path, file_format)
    if path.is_dir():
        if columns.categories:
            named = "=".join(columns.categories[0])
            raise SourceError(f"{path}: a folder has no columns; leave --category {named} out, and name its --task")
        return text_folders.read_folder(path, chunk_rows, file_format)
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    kind = find_kind(path.name)
    match kind:
        case ".json" | ".jsonl" | ".ndjson":
            return json_documents.read_json(path, columns, chunk_rows, file_format)
        case ".xlsx":
            return excel_files.read_excel(path, columns, chunk_rows, file_format)
        case ".parquet":
            return parquet_files.read_parquet(path, columns, chunk_rows)
        case ".zip":
            return zip_files.read_zip(
                path,
                lambda name: find_kind(name) not in {None, ".zip"},
                lambda member: read_file(member, columns, chunk_rows=chunk_rows, file_format=file_format),
            )
        case None:
            raise SourceError(f"{path}: unknown kind of file; supported are {FORMATS}")
    return csv_files.read_csv(path, columns, chunk_rows, file_format, DELIMITERS[kind])


def _check_format(path: SourceFile, file_format: FileFormat) -> None:
    """Raise `SourceError` if the format has a key that means nothing for this kind of file."""
    kind = _FOLDER if path.is_dir() else find_kind(path.name)
    if kind in {None, ".zip"}:
        return
    for key, kinds in _KINDS_WITH.items():
        if getattr(file_format, key) != getattr(DEFAULT_FORMAT, key) and kind not in kinds:
            option = _OPTIONS.get(key, f"--{key.replace('_', '-')}")
            files = "folders of text files" if kinds == {_FOLDER} else f"{', '.join(sorted(kinds))} files"
            raise SourceError(f"{path}: {option} is for {files}; read this one without it")


def find_kind(name: str) -> str | None:
    """Return the suffix that decides how a file is read, or None if it is unknown."""
    name = name.lower()
    plain = name.removesuffix(".gz").removesuffix(".zst")
    suffix = PurePosixPath(plain).suffix
    if suffix in DELIMITERS or suffix in _JSON or (suffix in {".parquet", ".xlsx", ".zip"} and plain == name):
        return suffix
    return None


def _find_local(pattern: str) -> list[SourceFile]:
    path = Path(pattern)
    with name_file_in_errors(path):
        if path.is_dir():  # "." and ".." have no name, which the source needs
            return [path.resolve() if path.name in {"", ".."} else path]
        # a file's name may have brackets without being a glob; Path.glob accepts no absolute pattern
        names = [pattern] if path.exists() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    return [*sorted(match for match in map(Path, names) if not match.is_dir())]
