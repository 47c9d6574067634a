"""Read must-pass examples from a folder: CSV and JSON Lines, in the folder or below it.

Columns: `text`, `label` or `not_label` or both, and optionally `title`, `name`, `task` and `comment`. A row belongs to
the task that it names, else to the task that its first sub-folder is named for, else to the only task. An invalid row
or file is a problem of its own; the other rows are read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from classifier.articles import RejectedRow, Task
from classifier.evaluation.examples import Example
from classifier.exceptions import ReviewError, SourceError
from classifier.ingest import csv_files, csv_layout, json_lines
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat
from classifier.ingest.scalars import as_string
from classifier.ingest.validation import find_unstorable
from classifier.names import MAX_CATEGORY_LENGTH, control_character, normalize_category
from classifier.plurals import plural
from classifier.review import category_lists
from classifier.value_kinds import describe_kind

SUFFIXES = (".csv", ".jsonl")
COLUMNS = ("text", "label", "not_label", "title", "name", "task", "comment")
MAX_NAME_LENGTH = 200
MAX_TEXT_BYTES = 1_000_000
"""As in the articles of an ingest."""

_UNREAD_SUFFIXES = (".tsv", ".tab", ".json", ".ndjson", ".xlsx", ".xls", ".ods", ".parquet", ".zip", ".gz", ".zst")
"""Endings of tables that are not read: a table among the examples is not ignored silently."""

_TEXTS = ("title", "name", "task")
_LISTS = ("label", "not_label")

_Values = Mapping[str, object]


class _BadRowError(Exception):
    """A row is no example."""


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """The examples of a task, and the rows and files that cannot be read, each with its place and reason."""

    examples: tuple[Example, ...]
    problems: tuple[str, ...]

    def sha256(self, *more: object) -> str:
        """Return the hash of all examples and problems, and of further values."""
        content = [*map(asdict, self.examples), self.problems, more]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def read_examples(folder: Path, task: Task, tasks: Sequence[Task]) -> ExampleSet:
    """Return the examples of a task; `tasks` are all tasks. Nothing is raised: what cannot be read is a problem."""
    examples: list[Example] = []
    problems: list[str] = []
    for path in _find_paths(folder):
        relative = path.relative_to(folder)
        if path.is_dir():
            if not os.access(path, os.R_OK | os.X_OK):
                problems.append(f"{_show(path)}: cannot be read; give the right to read the folder")
        elif path.suffix.lower() in {*SUFFIXES, *_UNREAD_SUFFIXES} and _show(relative) != str(relative):
            problems.append(f"{_show(relative)}: the name is not UTF-8; rename the file or its folder")
        elif path.suffix.lower() in _UNREAD_SUFFIXES:
            problems.append(f"{relative}: unknown kind of file; save it as {' or '.join(SUFFIXES)}")
        elif path.suffix.lower() in SUFFIXES:
            for result in _read_file(path, relative, task, tasks):
                if isinstance(result, Example):
                    examples.append(result)
                else:
                    problems.append(result)
    return ExampleSet(tuple(examples), tuple(problems))


def _find_paths(folder: Path) -> Iterator[Path]:
    """Yield the folder, and all files and folders below it, sorted.

    Hidden files and the lock files of office programs are no examples.
    """
    yield folder
    if os.access(folder, os.R_OK | os.X_OK):
        yield from (path for path in sorted(folder.rglob("*")) if not _is_hidden(path.relative_to(folder)))


def _show(path: Path) -> str:
    """Return a path with an escape for each byte that is not UTF-8, since the database cannot store such a byte."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith((".", "~$")) for part in relative.parts)


def _read_file(path: Path, relative: Path, task: Task, tasks: Sequence[Task]) -> Iterator[Example | str]:
    """Yield the examples of the task in a file, and the problems of rows of any or no task."""
    try:
        rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
        for position, values in rows:
            if isinstance(values, str):
                yield f"{relative}, {position}: {values}" if position else f"{relative}: {values}"
                continue
            try:
                if (example := _parse(relative, position, values, task, tasks)) is not None:
                    yield example
            except _BadRowError as error:
                yield f"{relative}, {position}: {error}"
    except SourceError as error:  # it names the whole path
        yield str(error).replace(str(path), str(relative), 1)


def _csv_rows(path: Path) -> Iterator[tuple[str, _Values | str]]:
    """Yield the position of each row and its values, or why it is invalid; without a position, of the whole file."""
    try:
        layout = csv_layout.find_layout(path, Columns("text"), FileFormat(), None)
    except SourceError as error:
        if "--" not in str(error):
            raise
        # the advice names an option of `classifier ingest`, which examples do not have
        raise SourceError(f"{path}: the first line must name the columns, separated by commas") from error
    records = csv_files.read_records(path, layout.delimiter, layout.encoding, layout.skip_lines)
    header = [name.strip() for name in csv_files.header_of(path, records)]
    yield from _column_problems(path, header)
    for line, cells in records:
        if isinstance(cells, RejectedRow):
            yield f"line {line}", cells.reason
        elif len(cells) == len(header):
            yield f"line {line}", dict(zip(header, cells, strict=True))
        elif any(cells):
            yield f"line {line}", f"{plural(len(cells), 'column')}, but the header has {len(header)}"


def _json_rows(path: Path) -> Iterator[tuple[str, _Values | str]]:
    keys: dict[str, None] = {}
    for line, item in json_lines.read_objects(path):
        if isinstance(item, RejectedRow):
            yield f"line {line}", item.reason
        else:
            keys.update(dict.fromkeys(item))
            yield f"line {line}", item
    yield from _column_problems(path, list(keys))


def _column_problems(path: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the problems of a file's columns.

    Raises:
        SourceError: a column is missing or there twice, so that no row can be read.
    """
    columns = ", ".join(COLUMNS)
    for name in COLUMNS:
        if names.count(name) > 1:
            raise SourceError(f"{path}: more than one column {name!r}; name each once")
    if "text" not in names or not {*_LISTS} & {*names}:
        missing = "text" if "text" not in names else "label"
        raise SourceError(f"{path}: no column {missing!r}; examples have the columns {columns}")
    if unknown := [name for name in names if name not in COLUMNS]:
        yield "", f"unknown column {unknown[0][:40]!r}; examples have the columns {columns}"


def _parse(relative: Path, position: str, values: _Values, task: Task, tasks: Sequence[Task]) -> Example | None:
    """Return a row as an example, or None if it belongs to another task."""
    texts = {name: _text(name, values.get(name)) for name in ("text", *_TEXTS)}
    owner = _find_task(relative, texts["task"], tasks)
    if owner.id != task.id:
        return None
    if not texts["text"].strip():
        raise _BadRowError("text is empty")
    if len(texts["text"].encode()) > MAX_TEXT_BYTES:
        raise _BadRowError(f"text has more than the maximum of {MAX_TEXT_BYTES:,} bytes")
    if len(texts["name"]) > MAX_NAME_LENGTH:
        raise _BadRowError(f"name is longer than {MAX_NAME_LENGTH} characters")
    expected = _labels("label", values.get("label"), task, single=task.kind == "single")
    forbidden = _labels("not_label", values.get("not_label"), task)
    if forbidden == ():
        raise _BadRowError(f"not_label is {category_lists.NONE}; name the labels that must not be given")
    if expected is None and forbidden is None:
        raise _BadRowError("neither label nor not_label has a value")
    if both := {*(expected or ())} & {*(forbidden or ())}:
        raise _BadRowError(f"{min(both)!r} is in label and in not_label; leave it in one of them")
    title = texts["title"] or None
    return Example(str(relative), position, texts["name"], texts["text"], title, expected, forbidden or ())


def _text(name: str, value: object) -> str:
    """Return a value as text; of all but the article's text, white space becomes single spaces."""
    text = value if name == "text" else as_string(value)
    if (text is None and value is not None) or not isinstance(text or "", str):
        raise _BadRowError(f"{name} is {describe_kind(value)}, but must be a string")
    text = str(text or "")
    if problem := find_unstorable(text):
        raise _BadRowError(f"{name} has {problem}")
    if name == "text":
        return text
    text = " ".join(text.split())
    if control := control_character(text):
        raise _BadRowError(f"{name} has the control character {control}")
    return text


def _find_task(relative: Path, name: str, tasks: Sequence[Task]) -> Task:
    by_name = {task.name: task for task in tasks}
    active = [task for task in tasks if task.archived_at is None]
    if name:
        if name not in by_name:
            raise _BadRowError(f"task {name[:40]!r}: no such task; there are: {', '.join(by_name)}")
        return by_name[name]
    if len(relative.parts) > 1 and relative.parts[0] in by_name:
        return by_name[relative.parts[0]]
    if len(active) == 1:
        return active[0]
    raise _BadRowError("names no task; fill the column task, or move the file to a folder that is named for its task")


def _labels(name: str, value: object, task: Task, *, single: bool = False) -> tuple[str, ...] | None:
    """Return the labels of a cell or a list, None if there is no value; with `single`, only one is allowed."""
    if isinstance(value, list):
        labels = tuple(normalize_category(_text(name, item)) for item in value)
    else:
        cell = normalize_category(_text(name, value))
        if not cell:
            return None
        try:
            labels = (cell,) if single else category_lists.parse_categories(cell)
        except ReviewError as error:
            raise _BadRowError(f"{name}: {error}") from error
    if single and len(labels) != 1:
        raise _BadRowError(f"{name} has {len(labels):,} values; the task {task.name} takes one")
    for label in labels:
        if not label or len(label) > MAX_CATEGORY_LENGTH:
            raise _BadRowError(f"{name} has a value that is empty or longer than {MAX_CATEGORY_LENGTH} characters")
    if problem := category_lists.find_repeated(labels):
        raise _BadRowError(f"{name}: {problem}")
    return tuple(sorted(labels))
