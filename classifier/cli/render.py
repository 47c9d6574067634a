"""Print reports: tables for users, one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from classifier.plurals import plural, verb

if TYPE_CHECKING:
    from classifier.pipeline.ingest.checks import UnitCheck
    from classifier.pipeline.ingest.declared_sources import SourceCheck
    from classifier.pipeline.ingest.rejected_rows import RejectedRowDetails
    from classifier.pipeline.labelling.dead_letters import DeadLetter
    from classifier.pipeline.monitoring.status import ModelStatus, RunStatus
    from classifier.pipeline.review.conflicts import Conflict
    from classifier.review.sheet import InvalidRow
    from classifier.training.recipes.files import DescribedRecipe
    from classifier.training.recipes.hyper_parameters import HyperParameter


class OutputConsole(Console):
    """Standard output. A table's names are never cut: if necessary, the table is wider than the terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print text or a table."""
        if len(objects) == 1 and isinstance(objects[0], Table):
            _print_table(objects[0], self.width)
        else:
            super().print(*objects, **options)


STDOUT = OutputConsole(soft_wrap=True, highlight=False, markup=False, emoji=False)
"""Without markup, because a category may be "[/news]" or ":key:"."""

_ANY_WIDTH = 100_000

MAX_ROWS = 50
"""Rows of a table that has a row for each category; JSON has all of them."""

MAX_NAMES = 20
"""Names in one cell."""

MAX_QUOTED = 5
"""Problems of a file that an error line quotes."""

COUNTS = ("files", "read", "new", "changed", "unchanged", "rejected", "duplicates")


def show(report: Any, as_json: bool, *, title: str | None = None, **more: Any) -> None:
    """Print the fields of a report, one on each line."""
    values = {**(dict(report) if isinstance(report, Mapping) else asdict(report)), **more}
    if as_json:
        print_json(values)
        return
    table = make_table(title, "", "")
    table.show_header = False
    for name, value in values.items():
        table.add_row(name.replace("_", " "), format_value(value))
    STDOUT.print(table)
    _name_commands(values.get("rejected"), values.get("dead_letters"))


def _name_commands(rejected_rows: object, failed: object) -> None:
    """Print which command lists the rows that were rejected, and the articles that could not be labelled."""
    if isinstance(rejected_rows, int) and rejected_rows:
        was = verb(rejected_rows, "was", "were")
        STDOUT.print(f"{plural(rejected_rows, 'row')} {was} rejected; for the reasons, run: classifier rejected")
    if isinstance(failed, int) and failed:
        articles = plural(failed, "article")
        STDOUT.print(f"{articles} could not be labelled; for the reasons, run: classifier dead-letters")


def print_list(
    rows: Sequence[Any], as_json: bool, title: str, columns: Mapping[str, str], *, empty: str = "none"
) -> None:
    """Print a table with a row for each entry, or why there is none; `columns` are titles with names of attributes."""
    if as_json:
        print_json([asdict(row) for row in rows])
    elif not rows:
        STDOUT.print(f"{title}: {empty}")
    else:
        table = make_table(title, *columns)
        for row in rows:
            table.add_row(*(_format_attribute(row, name) for name in columns.values()))
        print_wide(table)


def _format_attribute(row: Any, name: str) -> str:
    """Return an attribute as text; an id has no separators, so that users can copy it."""
    value = getattr(row, name)
    return str(value) if name.endswith("_id") else format_value(value)


def warn(line: str) -> None:
    """Print a warning in red."""
    STDOUT.print(Text(f"WARNING: {line}", style="bold red"))


def conflicts(rows: Sequence[Conflict], as_json: bool) -> None:
    """Print the annotations of articles on which annotators disagree, one on each line."""
    if as_json or not rows:
        print_list(rows, as_json, "Conflicts", {})
        return
    table = make_table(
        "Conflicts", "article", "source", "id", "title", "counts", "annotator", "category", "when", "comment"
    )
    for conflict in rows:
        article = (str(conflict.article_id), conflict.source, conflict.external_id, conflict.title or "-")
        identity = (*article, conflict.effective_category or "-")
        for opinion in conflict.opinions:
            when = format_value(opinion.annotated_at)
            annotation = (opinion.annotator, opinion.category, when, opinion.comment or "")
            table.add_row(*identity, *annotation)
    print_wide(table)


def quote_problems(problems: Sequence[str]) -> str:
    """Return the first problems of a file for the error line; the output has more of them."""
    more = ["and more"] if len(problems) > MAX_QUOTED else []
    return "; ".join([*problems[:MAX_QUOTED], *more])


def invalid_rows(rows: Sequence[InvalidRow]) -> None:
    """Print the rows of a sheet that were not imported."""
    for row in rows:
        STDOUT.print(f"line {row.line}: {row.reason}")


def dead_letters(letters: Sequence[DeadLetter], as_json: bool) -> None:
    """Print the articles that a model could not label, with the reasons."""
    columns = {"article": "article_id", "source": "source", "id": "external_id", "model": "model"}
    print_list(letters, as_json, "Dead letters", {**columns, "when": "failed_at", "reason": "reason"})


def runs(rows: Sequence[RunStatus], as_json: bool) -> None:
    """Print ingest runs with their counts, and the errors of those that failed below the table."""
    columns = {"source": "source", "status": "status", "began": "started_at", **{name: name for name in COUNTS}}
    empty = "none yet; run: classifier ingest FILES, or classifier sources ingest"
    print_list(rows, as_json, "Ingests", columns, empty=empty)
    if not as_json:
        _name_commands(sum(run.rejected for run in rows), None)
    for run in () if as_json else rows:
        if run.error:
            # most errors of a file begin with its path, which is also the source's name
            STDOUT.print(f"{run.source}: {run.error.removeprefix(f'{run.source}: ')}")


def checked_sources(sources: Sequence[SourceCheck], as_json: bool) -> None:
    """Print what a run of each source would ingest, and why it would reject rows."""
    if as_json:
        print_json([asdict(source) for source in sources])
        return
    table = make_table("Sources", "name", "kind", "group", "unread", "rows", "bad", "encoding", "delimiter", "")
    for source in sources:
        rows = f"{source.rows:,}{'+' if source.more else ''}"
        cells = (source.units, rows, source.rejected, source.encoding, source.delimiter)
        table.add_row(
            source.name, source.kind, source.group, *map(format_value, cells), _format_outcome(source.problem)
        )
    STDOUT.print(table)
    for source in sources:
        _print_details(source)


def checked_files(files: Sequence[UnitCheck], as_json: bool) -> None:
    """Print what an ingest of each file would do, and the file's first rows."""
    if as_json:
        print_json([asdict(file) for file in files])
        return
    for file in files:
        table = make_table(file.name, "", "")
        table.show_header = False
        is_refused = (file.problem or "").startswith("would be refused")
        outcome = "cannot be read" if file.problem and not is_refused else file.problem or "would be ingested"
        table.add_row("outcome", outcome)
        for name in ("rows", "rejected", "undated", "encoding", "delimiter"):
            table.add_row(name, format_value(getattr(file, name)))
        STDOUT.print(table)
        _print_details(file)


def _format_outcome(problem: str | None) -> str:
    if problem is None:
        return "ok"
    return "refused" if "would be refused" in problem else "cannot read"


def _print_details(check: SourceCheck | UnitCheck) -> None:
    """Print the columns of a source or file, why rows are invalid, and its first rows."""
    if check.columns:
        STDOUT.print(f"{check.name}: its columns are {', '.join(map(repr, check.columns[:MAX_NAMES]))}")
    if check.undated:
        STDOUT.print(f"{check.name}: {plural(check.undated, 'row')} without a publication time that can be read")
    for reason, count in (check.reasons or {}).items():
        STDOUT.print(f"{check.name}: {plural(count, 'row')}: {reason}")
    if not check.examples:
        return
    from classifier.pipeline.ingest.checks import order_columns

    names = order_columns({name for row in check.examples for name in row})
    table = Table()
    for name in names:
        table.add_column(name.replace("external_id", "id"))
    for row in check.examples:
        table.add_row(*(row.get(name, "-") for name in names))
    print_wide(table)


def rejected(rows: Sequence[RejectedRowDetails], as_json: bool) -> None:
    """Print rejected rows with their reasons; the rows themselves, which may be long, only as JSON."""
    columns = {"source": "source", "file": "unit", "position": "position", "reason": "reason"}
    print_list(rows, as_json, "Rejected rows", columns)


def recipes(rows: Sequence[DescribedRecipe], as_json: bool) -> None:
    """Print the recipes, their purpose, and the values by which they differ."""
    if as_json:
        print_json([{"description": row.description, **asdict(row.recipe)} for row in rows])
        return
    fields = ("epochs", "batch_size", "learning_rate", "max_length", "patience")
    table = make_table("Recipes", "name", *(name.replace("_", " ") for name in fields), "for")
    for row in rows:
        table.add_row(row.name, *(f"{getattr(row.recipe, name):g}" for name in fields), row.description)
    print_wide(table)


def hyper_parameters(rows: Sequence[HyperParameter], as_json: bool) -> None:
    """Print the hyper-parameters of a recipe with their defaults, allowed values and meaning."""
    print_list(
        rows, as_json, "Hyper-parameters", {"key": "key", "default": "default", "allowed": "allowed", "meaning": "help"}
    )


def models(rows: Sequence[ModelStatus], as_json: bool, *, title: str = "Models") -> None:
    """Print a list of models of one task with their figures."""
    accuracy = "exact matches" if rows and rows[0].kind == "multi" else "accuracy"
    figures = {accuracy: "accuracy", "macro-F1": "macro_f1", "abstains below": "threshold", "promoted": "promoted_at"}
    columns = {"name": "name", "status": "status", **figures}
    print_list(rows, as_json, title, columns, empty="none yet; run: classifier train")


def print_json(values: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(values, default=_to_plain, ensure_ascii=False))  # noqa: T201


def print_wide(table: Table) -> None:
    """Print a table that needs more than 80 columns; the terminal may wrap its lines."""
    _print_table(table, max(STDOUT.width, 120))


def _print_table(table: Table, width: int) -> None:
    """Print a table in this width, or in the width that its longest names need."""
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = not any(" " in str(cell) for cell in column.cells)
    console = Console(highlight=False, markup=False, emoji=False, width=_ANY_WIDTH)
    console.width = max(width, Measurement.get(console, console.options, table).minimum)
    console.print(table)


def make_table(title: str | None, *columns: str) -> Table:
    """Return an empty table whose first column is aligned left and the others right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def format_value(value: Any) -> str:
    """Return a value as text for a table cell."""
    match value:
        case None | bool():
            return {None: "-", True: "yes", False: "no"}[value]
        case datetime():
            return format_time(value)
        case float():
            return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case list() | tuple():
            more = f" and {len(value) - MAX_NAMES:,} more" if len(value) > MAX_NAMES else ""
            return ", ".join(map(str, value[:MAX_NAMES])) + more
        case _:
            return str(value)


def format_time(moment: datetime) -> str:
    """Return a time in UTC, to the minute; a time without a zone is in UTC."""
    return f"{(moment.astimezone(UTC) if moment.tzinfo else moment):%Y-%m-%d %H:%M} UTC"


def _to_plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
