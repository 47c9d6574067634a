"""The options of `classifier ingest` that say how files are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import progress, render
from classifier.cli.common import named_task, workspace
from classifier.exceptions import SettingsError, SourceError

if TYPE_CHECKING:
    from classifier.ingest.category_columns import CategoryColumns
    from classifier.ingest.file_format import FileFormat
    from classifier.pipeline.ingest.units import IngestOptions

Files = Annotated[
    list[str],
    typer.Argument(
        help="Paths, or globs in quotes: CSV, TSV, JSON, Parquet, Excel, or a folder of text files.", show_default=False
    ),
]
Category = Annotated[
    list[str] | None,
    typer.Option(
        help="Column of the category, stored as an annotation; with several tasks, TASK=COLUMN for each. "
        "If the name of the only column has a =, write another = before it.",
        show_default=False,
    ),
]
Separator = Annotated[
    str | None, typer.Option(help="Characters between several categories in one text, such as ; or |.")
]
NoneValue = Annotated[
    str | None, typer.Option(help='Text of a category that means "none of them" in a multi-label task, such as NONE.')
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help='Encoding of text files; "auto" detects it.', show_default="utf-8; for folders of text files auto"
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="Delimiter of CSV files: a character, or tab; by default, detected among comma, ; tab and |."),
]
SkipLines = Annotated[int, typer.Option(min=0, help="Lines of a table before its header.")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The tables have no header; columns are numbers from 1.")]
ColumnNames = Annotated[
    str | None, typer.Option("--columns", help="Names of the columns of tables without a header, such as class,text.")
]
Records = Annotated[
    str | None, typer.Option(help="Key of the array in a JSON object, such as items or data.items; by default, found.")
]
SplitFolders = Annotated[
    bool,
    typer.Option("--split-folders", help="Folders named for a split, such as train or C50test, give the split."),
]

DateFormat = Annotated[
    str | None,
    typer.Option(help="Form of the publication times, such as %d/%m/%Y; by default, ISO 8601 or that of e-mails."),
]
StrictDates = Annotated[
    bool,
    typer.Option(
        "--strict-dates",
        help="Reject rows whose publication time cannot be read or is in the future; by default, it is left out.",
    ),
]

Anyway = Annotated[
    bool, typer.Option("--anyway", help="Add texts that the source already has under another kind of id.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read the files, and show what would be ingested. Nothing is written.")
]


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """The values of the options."""

    encoding: str | None
    delimiter: str | None
    skip_lines: int
    no_header: bool
    columns: str | None
    records: str | None
    split_folders: bool
    date_format: str | None
    strict_dates: bool
    separator: str | None
    none_value: str | None

    def check(self) -> FileFormat:
        """Return the format.

        Raises:
            SettingsError: a value is invalid.
        """
        from classifier.ingest import file_format, timestamps

        return file_format.FileFormat(
            encoding=self.encoding and file_format.parse_encoding(self.encoding),
            delimiter=None if self.delimiter is None else file_format.parse_delimiter(self.delimiter),
            skip_lines=self.skip_lines,
            header=not self.no_header,
            column_names=() if self.columns is None else file_format.parse_column_names(self.columns),
            records=self.records or None,
            split_folders=self.split_folders,
            date_format=None if self.date_format is None else timestamps.parse_date_format(self.date_format),
            strict_dates=self.strict_dates,
            separator=None if self.separator is None else file_format.parse_separator(self.separator),
            none_value=self.none_value or None,
        )


def category_columns(values: list[str], separator: str | None, none_value: str | None) -> CategoryColumns:
    """Return the columns of categories: of the only task, or of the one that --task names, and those of named tasks.

    Raises:
        SettingsError: a value cannot be read, two columns are for one task, or no column is for the other options.
    """
    from classifier.ingest.category_columns import parse_category_columns

    for option, value in (("--separator", separator), ("--none-value", none_value)):
        if value is not None and not values:
            raise SettingsError(f"{option}: is for categories; name their column with --category")
    return parse_category_columns(values, named_task())


def show_dry_run(files: list[str], options: IngestOptions, json: bool) -> None:
    """Print what an ingest of the files would do. Only if a task is named, its database is asked.

    Raises:
        SourceError: a file would not be ingested.
        TaskError: a task that is named does not exist or is archived.
    """
    from classifier.pipeline.ingest import category_tasks, checks

    is_named = options.columns.categories or named_task() is not None
    tasks = category_tasks.find_tasks(workspace().database, options.columns) if is_named else {}

    with progress.counter("rows", quiet=json) as on_rows:
        checked = checks.check_files(files, options, on_rows, tasks=tasks)
    render.checked_files(checked, json)
    problems = [f"{file.name}: {file.problem}" for file in checked if file.problem]
    if problems:
        raise SourceError(f"{len(problems)} of {len(checked)} files would not be ingested: {'; '.join(problems)}")
