"""Read a folder of text files, one file an article and one folder a category.

Corpora such as Reuter_50_50 and 20 Newsgroups are distributed so. An article's category is the first folder below the
given one, and its id is the path below the given one. Hidden files and folders are ignored. Files next to the category
folders, such as a README, are no articles; a warning names them. A folder without folders has articles without
categories.

Folders for the splits (`train/sport/1.txt`, `C50test/…`) are only taken for splits on request, because they might be
categories. A folder whose folders look like splits is refused without that request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.articles import RejectedRow, Split
from classifier.exceptions import SourceError
from classifier.ingest.columns import FIELDS, RawChunk, Row, chunk_file
from classifier.ingest.decoding import detect_encoding
from classifier.ingest.file_format import FileFormat
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.text_files import name_file_in_errors, open_unpacked
from classifier.names import shorten_name

log = logging.getLogger(__name__)

MAX_TEXT = 8 * 2**20
"""Bytes. A longer file is rejected; an article's text has at most a megabyte."""

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".zip")
"""Files that hold many articles, so that they are no text files."""

_SPLITS: dict[Split, str] = {
    "train": "train|training",
    "test": "test|testing",
    "validation": "validation|valid|val|dev",
}
_MAX_NAMES = 5
_MAX_POSITION_BYTES = 1000
_MAX_ID_BYTES = 400

Folder = Any
"""A `Path`, or another object with its `iterdir`, `is_dir`, `is_file` and `name`: a folder in an object store."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """A folder whose own folders are categories. `prefix` comes before the paths below it in the articles' ids."""

    folder: Folder
    prefix: str
    split: Split | None = None


def read_folder(folder: Folder, chunk_rows: int, file_format: FileFormat) -> Iterator[RawChunk]:
    """Yield the articles of a folder in chunks of at most `chunk_rows`.

    Raises:
        SourceError: the folder has no text files, or files of another kind, or folders for splits that are not
            requested, or requested and not found.
    """
    with name_file_in_errors(folder):
        yield from chunk_file(folder, _rows(folder, file_format), chunk_rows)


def find_split(name: str) -> Split | None:
    """Return the split that a folder's name stands for: "train", "C50test", "20news-bydate-train"; None for others."""
    for split, words in _SPLITS.items():
        # the word stands at an end of the name: "contest" and "training_sessions" are no splits
        if re.search(rf"(?:^|[^a-z])(?:{words})$|^(?:{words})(?=[^a-z]+$)", name.lower()):
            return split
    return None


def list_files(folder: Folder) -> Iterator[Folder]:
    """Yield all files below a folder that are not hidden, in the order of their paths."""
    for entry in _entries(folder):
        if entry.is_dir():
            yield from list_files(entry)
        elif entry.is_file():
            yield entry


def _entries(folder: Folder) -> list[Folder]:
    """Return a folder's entries by name, without hidden ones and without links to folders, which may be endless."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    entries = [entry for entry in entries if not (isinstance(entry, Path) and entry.is_symlink() and entry.is_dir())]
    return sorted(entries, key=lambda entry: str(entry.name))


def _rows(folder: Folder, file_format: FileFormat) -> Iterator[Row | RejectedRow]:
    """Yield the values of each article in the order of `FIELDS`."""
    is_empty = True
    for branch in _find_branches(folder, split_folders=file_format.split_folders):
        for category, file in _find_articles(branch):
            is_empty = False
            name = f"{branch.prefix}{_relative(branch.folder, file)}"
            yield _read_article(file, name, category, branch.split, file_format)
    if is_empty:
        raise SourceError(f"{folder}: is a directory without text files; name its files, for example {folder}/*.csv")


def _relative(folder: Folder, file: Folder) -> str:
    return str(file)[len(str(folder)) :].replace("\\", "/").strip("/")


def _find_branches(folder: Folder, *, split_folders: bool) -> list[_Branch]:
    """Return the folders of the splits, or the folder itself if it has none."""
    folders = [entry for entry in _entries(folder) if entry.is_dir()]
    splits = {entry.name: find_split(entry.name) for entry in folders}
    is_split = bool(folders) and all(splits.values())
    if not split_folders:
        if is_split and (len(set(splits.values())) > 1 or any(map(_has_folders, folders))):
            raise SourceError(
                f"{folder}: its folders {_join_names(splits)} look like splits; add --split-folders, or name one"
            )
        return [_Branch(folder, "")]
    if is_split:
        _warn_of_loose_files(folder)
        return [_Branch(entry, f"{entry.name}/", splits[entry.name]) for entry in folders]
    if split := find_split(folder.name):
        # the ids are the same as if the folder above it had been named
        return [_Branch(folder, f"{folder.name}/", split)]
    other = [name for name, split in splits.items() if split is None]
    raise SourceError(
        f"{folder}: --split-folders: {_join_names(other) or 'its name'} stands for no split; name folders such as "
        "train and test, or leave the option out"
    )


def _has_folders(folder: Folder) -> bool:
    return any(entry.is_dir() for entry in _entries(folder))


def _join_names(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(repr(name) for name in names[:_MAX_NAMES]) + more


def _find_articles(branch: _Branch) -> Iterator[tuple[str | None, Folder]]:
    """Yield each article's category, None if the folder has no folders, and its file."""
    entries = _entries(branch.folder)
    categories = [entry for entry in entries if entry.is_dir()]
    if not categories:
        for entry in entries:
            yield None, _check_kind(branch.folder, entry)
        return
    _warn_of_loose_files(branch.folder)
    for category in categories:
        for file in list_files(category):
            yield category.name, _check_kind(category, file)


def _warn_of_loose_files(folder: Folder) -> None:
    loose = [entry.name for entry in _entries(folder) if entry.is_file()]
    if loose:
        log.warning("%s: files next to its folders are ignored: %s", folder, _join_names(loose))


def _check_kind(folder: Folder, file: Folder) -> Folder:
    """Return a text file; raise `SourceError` if its suffix is that of a table."""
    name = file.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith(TABLE_SUFFIXES):
        suffix = file.name[name.rindex(".") :]
        raise SourceError(
            f"{folder}: is a directory; name its files, for example {folder}/*{suffix} ({file.name} is no text file)"
        )
    return file


def _read_article(
    file: Folder, name: str, category: str | None, split: Split | None, file_format: FileFormat
) -> Row | RejectedRow:
    position = shorten_name(name, _MAX_POSITION_BYTES)
    try:
        text = _read_text(file, file_format.text_encoding)
    except SourceError as error:
        return reject_row(str(file), position, str(error).removeprefix(f"{file}: "), name)
    values = {"text": text, "category": category, "id": shorten_name(name, _MAX_ID_BYTES), "split": split}
    return *(values.get(field) for field in FIELDS), position


def _read_text(file: Folder, encoding: str) -> str:
    """Return a file's text, with line feeds as line ends. A byte that the encoding does not define is a surrogate."""
    with name_file_in_errors(file), open_unpacked(file) as opened:
        data = opened.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise SourceError(f"{file}: has more than {MAX_TEXT:,} bytes")
    if encoding == "auto":
        encoding = detect_encoding(str(file), [data])
    try:
        text = data.decode(encoding, "surrogateescape")
    except UnicodeError as error:
        raise SourceError(f"{file}: not {encoding}, or damaged; check the encoding") from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
