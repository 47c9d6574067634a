"""Read what an ingest would read, and say what it would do. Nothing is written, and files need no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from classifier.articles import LABEL_SEPARATOR, Task
from classifier.exceptions import SourceError, UserError
from classifier.ingest import file_descriptions, readers
from classifier.ingest.columns import category_fields
from classifier.ingest.file_descriptions import FileDescription
from classifier.ingest.text_files import SourceFile
from classifier.ingest.validation import ValidatedChunk
from classifier.pipeline.ingest.unit_rules import UnitRules, validate_chunks
from classifier.pipeline.ingest.units import FileReader, IngestOptions, name_source

MAX_EXAMPLES = 5
"""Rows that a check shows."""

MAX_EXAMPLE_LENGTH = 60
"""Characters of a value that a check shows."""

_MAX_REASONS = 3
EXAMPLE_COLUMNS = ("external_id", "category", "split", "published_at", "title", "url", "text")
"""The columns of the rows that a check shows, in their order. The columns of named tasks follow the category."""

NONE_OF_THEM = "(none of them)"
"""The answer of a row with a list of categories that has no values."""

NO_TASKS: Mapping[str, Task] = {}


@dataclass(frozen=True, slots=True)
class UnitCheck:
    """What an ingest of a file, a feed's document or a query's rows would do.

    It has `rows` valid rows, `undated` of them without their publication time, and `rejected` invalid rows. `more` says
    that the check stopped before the last row. `reasons` counts the most frequent reasons of the invalid rows.
    `examples` are the first valid rows, with short values. `problem` is the error that the ingest would end with.
    """

    name: str
    rows: int = 0
    rejected: int = 0
    undated: int = 0
    more: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)
    examples: tuple[dict[str, str], ...] = ()
    problem: str | None = None


def check_files(
    patterns: Sequence[str],
    options: IngestOptions,
    on_rows: Callable[[int], None] = lambda _: None,
    *,
    tasks: Mapping[str, Task] = NO_TASKS,
) -> list[UnitCheck]:
    """Read all rows of the files of paths or globs, and return what an ingest would do with each file.

    `tasks` are the tasks of the fields that hold categories, if these are known.
    """
    rules = options.unit_rules(tasks)
    checks: dict[str, UnitCheck] = {}
    for pattern in patterns:
        try:
            for path in readers.expand_pattern(pattern):
                if str(path) not in checks:
                    checks[str(path)] = _check_file(path, pattern, options, rules, on_rows)
        except UserError as error:
            checks[pattern] = UnitCheck(pattern, problem=str(error).removeprefix(f"{pattern}: "))
    return list(checks.values())


def _check_file(
    path: SourceFile, pattern: str, options: IngestOptions, rules: UnitRules, on_rows: Callable[[int], None]
) -> UnitCheck:
    reader = FileReader(path, options.columns, options.file_format)

    def chunks() -> Iterator[ValidatedChunk]:
        for chunk in validate_chunks(reader(), name_source(path, options, pattern), rules):
            on_rows(len(chunk.rows) + len(chunk.rejected))
            yield chunk

    return check_unit(str(path), chunks(), rules, describe_reader(reader))


def describe_reader(reader: object) -> FileDescription:
    """Return how a file is read; an empty description for the rows of feeds and queries."""
    if not isinstance(reader, FileReader):
        return FileDescription()
    return file_descriptions.describe_file(reader.path, reader.columns, reader.file_format)


def check_unit(
    name: str,
    chunks: Iterator[ValidatedChunk],
    rules: UnitRules,
    description: FileDescription,
    max_rows: float = float("inf"),
) -> UnitCheck:
    """Read at most about `max_rows` rows of a unit, and return what an ingest would do with it."""
    rows = rejected = undated = 0
    reasons: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    problem = None
    try:
        for chunk in chunks:
            examples += _examples(chunk, MAX_EXAMPLES - len(examples))
            rows, rejected = rows + len(chunk.rows), rejected + len(chunk.rejected)
            undated += len(chunk.bad_dates)
            reasons.update(row.reason for row in chunk.rejected)
            if rows + rejected >= max_rows:
                break
    except SourceError as error:
        problem = str(error).removeprefix(f"{name}: ")
    more = rows + rejected >= max_rows
    if problem is None and rules.refuses(rows + rejected, rejected):
        counted = f"{rejected:,} of {'its first ' if more else ''}{rows + rejected:,} rows are invalid"
        problem = f"would be refused: {counted}, more than {rules.max_rejected:.0%}"
    return UnitCheck(
        name,
        rows,
        rejected,
        undated,
        more,
        description.encoding,
        description.delimiter,
        description.columns,
        dict(reasons.most_common(_MAX_REASONS)),
        tuple(examples),
        problem,
    )


def order_columns(names: Collection[str]) -> list[str]:
    """Return the columns of a check's rows in the order in which they are shown."""
    of_tasks = sorted(name for name in names if name not in EXAMPLE_COLUMNS)
    after = EXAMPLE_COLUMNS.index("category") + 1
    return [name for name in (*EXAMPLE_COLUMNS[:after], *of_tasks, *EXAMPLE_COLUMNS[after:]) if name in names]


def _examples(chunk: ValidatedChunk, count: int) -> list[dict[str, str]]:
    """Return the first rows with their values, cut and without line breaks and control characters."""
    names = order_columns({*EXAMPLE_COLUMNS, *category_fields(chunk.rows)})
    rows = chunk.rows.head(max(count, 0))[names].to_dict("records")
    return [{str(name): _shorten(_show(value)) for name, value in row.items() if value is not None} for row in rows]


def _show(value: object) -> object:
    """Return several categories as one text."""
    return (LABEL_SEPARATOR.join(value) or NONE_OF_THEM) if isinstance(value, tuple) else value


def _shorten(value: object) -> str:
    text = str(value)[: 4 * MAX_EXAMPLE_LENGTH]
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= MAX_EXAMPLE_LENGTH else f"{text[: MAX_EXAMPLE_LENGTH - 1]}…"
