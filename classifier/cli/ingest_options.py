"""The options of `classifier ingest` that say how files are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import progress, render
from classifier.exceptions import SourceError

if TYPE_CHECKING:
    from classifier.ingest.file_format import FileFormat
    from classifier.pipeline.ingest.units import IngestOptions

Files = Annotated[
    list[str],
    typer.Argument(
        help="Paths, or globs in quotes: CSV, TSV, JSON, Parquet, Excel, or a folder of text files.", show_default=False
    ),
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
        )


def show_dry_run(files: list[str], options: IngestOptions, json: bool) -> None:
    """Print what an ingest of the files would do.

    Raises:
        SourceError: a file would not be ingested.
    """
    from classifier.pipeline.ingest import checks

    with progress.counter("rows", quiet=json) as on_rows:
        checked = checks.check_files(files, options, on_rows)
    render.checked_files(checked, json)
    problems = [f"{file.name}: {file.problem}" for file in checked if file.problem]
    if problems:
        raise SourceError(f"{len(problems)} of {len(checked)} files would not be ingested: {'; '.join(problems)}")
