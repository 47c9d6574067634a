"""Print reports: tables for users, one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from classifier.pipeline.ingest.declared_sources import CheckedSource
    from classifier.pipeline.ingest.rejected_rows import RejectedRowDetails
    from classifier.pipeline.labelling.dead_letters import DeadLetter
    from classifier.pipeline.monitoring.status import Backlog, ModelStatus, RunStatus, Status, TrainingStatus
    from classifier.pipeline.review.conflicts import Conflict
    from classifier.pipeline.review.review_queue import ReviewStatus
    from classifier.review.sheet import InvalidRow
    from classifier.training.recipes.files import DescribedRecipe

STDOUT = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)  # a category may be "[/news]" or ":key:"

MAX_ROWS = 50
"""Rows of a table that has a row for each category; JSON has all of them."""

MAX_NAMES = 20
"""Names in one cell."""

SILENT_S = 120
"""Seconds without a heartbeat after which a training may have been killed."""

COUNTS = ("files", "read", "new", "changed", "unchanged", "rejected", "duplicates")

T = TypeVar("T")


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


def print_list(
    rows: Sequence[T],
    as_json: bool,
    *,
    title: str,
    columns: Sequence[str],
    cells: Callable[[T], Iterable[str]],
    empty: str = "none",
) -> None:
    """Print a table with a row for each entry; if there is none, print why."""
    if as_json:
        print_json([asdict(row) for row in rows])  # type: ignore[call-overload]
    elif not rows:
        STDOUT.print(f"{title}: {empty}")
    else:
        table = make_table(title, *columns)
        for row in rows:
            table.add_row(*map(escape, cells(row)))
        print_wide(table)


def warn(line: str) -> None:
    """Print a warning in red."""
    STDOUT.print(Text(f"WARNING: {line}", style="bold red"))


def status(report: Status, as_json: bool) -> None:
    """Print the state of the articles, the backlog, the champion, the trainings and the last runs."""
    if as_json:
        backlog = {"new_seconds": report.backlog.new_seconds, "seconds": report.backlog.seconds}
        print_json({**asdict(report), "waiting": report.waiting, "backlog": {**asdict(report.backlog), **backlog}})
        return
    _print_articles(report)
    _print_backlog(report.backlog)
    models([report.champion] if report.champion else [], as_json=False, title="Champion")
    if watched := report.watched:
        alarms = f"alarm: {', '.join(watched.alarms)}; see: classifier drift" if watched.alarms else "no alarm"
        STDOUT.print(f"Drift check {format_value(watched.ran_at)}: {alarms}")
    for training in report.trainings:
        STDOUT.print(_describe_training(training))
    if report.review:
        review_status(report.review, as_json=False)
    runs(report.runs, as_json=False)


def _print_articles(report: Status) -> None:
    note = "" if report.counted == 1 else f", estimated from {report.counted:.1%} of them"
    table = make_table(f"Articles{note}", "split", "articles", "annotated")
    for name, (total, annotated) in sorted(report.splits.items()):
        table.add_row(name, f"{total:,}", f"{annotated:,}")
    STDOUT.print(table)
    table = make_table("Labels", "", "articles")
    for name, count in sorted(report.labels.items()):
        table.add_row({"none": "no label yet"}.get(name, f"by {name}"), f"{count:,}")
    table.add_row("dead letters", f"{report.dead_letters:,}")
    table.add_row("rejected rows", f"{report.rejected_rows:,}")
    STDOUT.print(table)


def _print_backlog(backlog: Backlog) -> None:
    table = make_table("Backlog", "", "waiting", "time left")
    table.add_row("new articles", f"{backlog.new:,}", _format_duration(backlog.new_seconds))
    table.add_row("backfill", f"{backlog.backfill:,}", "")
    table.add_row("backfill, not checked yet", f"≤ {backlog.unseen:,}" if backlog.unseen else "0", "")
    table.add_row("all", "", _format_duration(backlog.seconds))
    STDOUT.print(table)
    if backlog.rate:
        STDOUT.print(f"Recent rate: {backlog.rate:,.1f} articles a second.")


def _describe_training(training: TrainingStatus) -> str:
    """Return the progress of a training in a line."""
    loss = "" if training.loss is None else f", loss {training.loss:.4f}"
    score = "" if training.macro_f1 is None else f", validation macro-F1 {training.macro_f1:.4f}"
    left = "" if training.seconds_left is None else f", {_format_minutes(training.seconds_left)} left"
    silent = ""
    if training.silent_s >= SILENT_S:
        silent = f" (last heartbeat {_format_minutes(training.silent_s)} ago; run the same command to resume)"
    steps = f"epoch {training.epoch} of {training.epochs}, step {training.step:,} of {training.steps:,}"
    return f"Training: {steps}{loss}{score}{left}{silent}"


def review_status(report: ReviewStatus, as_json: bool) -> None:
    """Print the articles that wait for review, and the audited accuracy of the champion's labels."""
    if as_json:
        print_json(asdict(report))
        return
    waiting = ", ".join(f"{count:,} {reason}" for reason, count in report.waiting.items()) or "nothing"
    STDOUT.print(f"Waiting for review: {waiting}. Conflicts: {report.conflicts:,}.")
    audit = report.audit
    if audit and audit.accuracy is not None:
        low, high = audit.interval
        accuracy = f"{audit.accuracy:.1%} accuracy ({low:.1%} to {high:.1%})"
        STDOUT.print(f"Audit of {audit.model}: {accuracy}; {audit.correct:,} of {audit.seen:,} random labels correct.")


def conflicts(found: Sequence[Conflict], as_json: bool) -> None:
    """Print the annotations of articles on which annotators disagree, one on each line."""
    if as_json or not found:
        print_list(found, as_json, title="Conflicts", columns=(), cells=lambda _: ())
        return
    table = make_table("Conflicts", "article", "source", "id", "counts", "annotator", "category", "when", "comment")
    for conflict in found:
        identity = (str(conflict.article_id), conflict.source, conflict.external_id, conflict.counts or "-")
        for opinion in conflict.opinions:
            when = format_value(opinion.annotated_at)
            annotation = (opinion.annotator, opinion.category, when, opinion.comment or "")
            table.add_row(*map(escape, (*identity, *annotation)))
    print_wide(table)


def invalid_rows(rows: Sequence[InvalidRow]) -> None:
    """Print the rows of a sheet that were not imported."""
    for row in rows:
        STDOUT.print(f"line {row.line}: {row.reason}", markup=False)


def dead_letters(letters: Sequence[DeadLetter], as_json: bool) -> None:
    """Print the articles that a model could not label, with the reasons."""
    print_list(
        letters,
        as_json,
        title="Dead letters",
        columns=("article", "source", "id", "model", "when", "reason"),
        cells=lambda letter: (
            str(letter.article_id),
            letter.source,
            letter.external_id,
            letter.model,
            format_value(letter.failed_at),
            letter.reason,
        ),
    )


def runs(found: Sequence[RunStatus], as_json: bool) -> None:
    """Print ingest runs with their counts, and the errors of those that failed below the table."""
    print_list(
        found,
        as_json,
        title="Ingests",
        columns=("source", "status", "began", *COUNTS),
        cells=lambda run: (
            run.source,
            run.status,
            format_value(run.started_at),
            *(format_value(getattr(run, name)) for name in COUNTS),
        ),
        empty="none yet; run: classifier ingest FILES, or classifier sources ingest",
    )
    for run in () if as_json else found:
        if run.error:
            # most errors of a file begin with its path, which is also the source's name
            STDOUT.print(f"{run.source}: {run.error.removeprefix(f'{run.source}: ')}", markup=False)


def checked_sources(sources: Sequence[CheckedSource], as_json: bool) -> None:
    """Print what a run of each source would ingest, and why it would reject rows."""
    if as_json:
        print_json([asdict(source) for source in sources])
        return
    table = make_table("Sources", "name", "kind", "group", "unread", "rows", "bad", "encoding", "")
    for source in sources:
        rows = f"{source.rows:,}{'+' if source.more else ''}"
        cells = (format_value(source.units), rows, format_value(source.rejected), format_value(source.encoding))
        table.add_row(source.name, source.kind, source.group, *cells, "cannot read" if source.problem else "ok")
    STDOUT.print(table)
    for source in sources:
        for reason, count in (source.reasons or {}).items():
            STDOUT.print(f"{source.name}: {count:,} rows: {reason}", markup=False)


def rejected(rows: Sequence[RejectedRowDetails], as_json: bool) -> None:
    """Print rejected rows with their reasons; the rows themselves, which may be long, only as JSON."""
    print_list(
        rows,
        as_json,
        title="Rejected rows",
        columns=("source", "file", "position", "reason"),
        cells=lambda row: (row.source, row.unit or "-", row.position, row.reason),
    )


def recipes(found: Sequence[DescribedRecipe], as_json: bool) -> None:
    """Print the recipes, their purpose, and the values by which they differ."""
    if as_json:
        print_json([{"description": described.description, **asdict(described.recipe)} for described in found])
        return
    fields = ("epochs", "batch_size", "learning_rate", "max_length", "patience")
    print_list(
        found,
        as_json,
        title="Recipes",
        columns=("name", *(name.replace("_", " ") for name in fields), "for"),
        cells=lambda described: (
            described.name,
            *(f"{getattr(described.recipe, name):g}" for name in fields),
            described.description,
        ),
    )


def models(found: Sequence[ModelStatus], as_json: bool, *, title: str = "Models") -> None:
    """Print a list of models with their figures."""
    print_list(
        found,
        as_json,
        title=title,
        columns=("name", "status", "accuracy", "macro-F1", "abstains below", "promoted"),
        cells=lambda model: (
            model.name,
            model.status,
            *map(format_value, (model.accuracy, model.macro_f1, model.threshold, model.promoted_at)),
        ),
        empty="none yet; run: classifier train",
    )


def print_json(values: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(values, default=_to_plain, ensure_ascii=False))  # noqa: T201


def print_wide(table: Table) -> None:
    """Print a table that needs more than 80 columns; the terminal may wrap its lines."""
    Console(highlight=False, width=max(STDOUT.width, 120)).print(table)


def make_table(title: str | None, *columns: str) -> Table:
    """Return an empty table whose first column is aligned left and the others right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def format_value(value: Any) -> str:
    """Return a value as text for a table cell."""
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case float():
            return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case list() | tuple():
            more = f" and {len(value) - MAX_NAMES:,} more" if len(value) > MAX_NAMES else ""
            return ", ".join(map(str, value[:MAX_NAMES])) + more
        case _:
            return str(value)


def _format_duration(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))


def _format_minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _to_plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
