"""List the rows that were rejected, and retry them after a fix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from classifier.exceptions import SourceError, StatementTimeoutError, TaskError
from classifier.ingest.category_values import CategoryRules
from classifier.ingest.columns import Cell, RawChunk, is_category_field, to_frame
from classifier.ingest.readers import expand_pattern
from classifier.ingest.source_declarations import DeclaredSource, FeedSource
from classifier.pipeline.ingest import category_tasks, declared_sources, run_records
from classifier.pipeline.ingest.unit_discovery import ResolveUrl
from classifier.pipeline.ingest.unit_rules import UnitRules
from classifier.pipeline.ingest.units import IngestOptions, IngestUnit, make_file_unit
from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.store import rejections
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RejectedRowDetails:
    """A rejected row; `row` is cut at `classifier.ingest.rejected_rows.MAX_ROW_LENGTH` characters."""

    source: str
    unit: str | None
    position: str
    reason: str
    row: str
    rejected_at: datetime


@dataclass(frozen=True, slots=True)
class RetriedRows:
    """The outcome of a retry. Of `retried` rows, `resolved` were ingested or are gone from their source."""

    retried: int
    resolved: int
    still_rejected: int
    problems: tuple[str, ...]


@use_case
def list_rejected(
    workspace: Workspace, *, source: str | None = None, limit: int | None = None
) -> list[RejectedRowDetails]:
    """Return the rejected rows, newest first."""
    with workspace.database.connect() as connection:
        rows = rejections.newest(connection, source=source, limit=limit)
    return [
        RejectedRowDetails(row.source, row.unit, row.position, row.reason, row.row, row.rejected_at) for row in rows
    ]


@use_case
def retry_rejected(
    workspace: Workspace, declared: Mapping[str, DeclaredSource], resolve_url: ResolveUrl, *, source: str | None = None
) -> RetriedRows:
    """Read the units with rejected rows again by their present declarations, and return the outcome.

    A query is run without its watermark. If a feed no longer shows an entry, the stored row is retried, unless it was
    cut.
    """
    before = _load_rejected(workspace, source)
    problems: list[str] = []
    by_run: dict[tuple[str, str], list[Any]] = {}
    for row in before:
        # files of one source may have been read for several tasks
        by_run.setdefault((row.declared or "", json.dumps(row.options, sort_keys=True)), []).append(row)
    for (name, _), rows in by_run.items():
        try:
            _reread(workspace, name, rows, declared, resolve_url)
        except (SourceError, StatementTimeoutError, TaskError) as error:
            problems.append(str(error))
    remaining = {row.id for row in _load_rejected(workspace, source)}
    resolved = sum(row.id not in remaining for row in before)
    return RetriedRows(len(before), resolved, len(before) - resolved, tuple(problems))


def _load_rejected(workspace: Workspace, source: str | None) -> list[Any]:
    with workspace.database.connect() as connection:
        return list(rejections.newest(connection, source=source))


def _reread(
    workspace: Workspace, name: str, rows: list[Any], declared: Mapping[str, DeclaredSource], resolve_url: ResolveUrl
) -> None:
    units = {row.unit: row.source for row in rows}
    if name in declared:
        declared_sources.ingest_source(workspace, declared[name], resolve_url, reread=units)
        if isinstance(declared[name], FeedSource):
            _retry_stored(workspace, declared[name], rows)
    elif rows[0].options:
        _reread_files(workspace, name, units, rows[0].options)
    else:
        raise SourceError(
            f"source {name!r}: no longer declared, so its {plural(len(rows), 'row')} cannot be read again"
        )


def _reread_files(workspace: Workspace, name: str, units: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Read files again that no source declares, with the options of their first reading, as the same sources.

    `units` are the files, with the source of their rejected rows.
    """
    options = IngestOptions.from_json(values)
    with run_records.record_run(workspace, name, "files", values) as run:
        for unit, source in sorted(units.items()):
            if options.columns.source is None:
                options = replace(options, source=source)
            for path in expand_pattern(unit):
                make_file_unit(run, path, options, pattern=name).ingest()


def _retry_stored(workspace: Workspace, source: DeclaredSource, rows: list[Any]) -> None:
    """Ingest the stored rows that a feed no longer shows."""
    remaining = {row.id for row in _load_rejected(workspace, source.name)}
    stored = [
        (row, values)
        for row in rows
        if row.id in remaining and (values := _parse_row(row.row)) is not None and not _has_other_task(values, source)
    ]
    if not stored:
        return
    cells = [(*_cells(values, source), row.position) for row, values in stored]
    chunk = RawChunk(to_frame(cells, source.columns.fields), [])
    categories = CategoryRules(tasks=category_tasks.find_tasks(workspace.database, source.columns, task=source.task))
    rules = UnitRules(1, source.split_proportions, zone=source.zone, categories=categories)
    with run_records.record_run(workspace, source.name, source.kind) as run:
        unit = IngestUnit(run, rows[0].unit, source.name, lambda: iter([chunk]), rules, is_complete=False)
        unit.ingest()


def _has_other_task(values: Mapping[str, Any], source: DeclaredSource) -> bool:
    """Return whether a stored row has categories of a task that the source does not name now."""
    return any(is_category_field(name) and name not in source.columns.fields for name in values)


def _parse_row(row: str) -> dict[str, str | list[str]] | None:
    """Return a stored row's values, or None if it was cut or never had any."""
    try:
        values = json.loads(row)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _cells(values: Mapping[str, str | list[str]], source: DeclaredSource) -> list[Cell]:
    """Return the values in the order of the fields: None if there is no such column, "" if the value is missing."""
    columns = source.columns
    named = zip(columns.fields, columns.names, strict=True)
    return [_cell(values.get(field, "")) if name is not None else None for field, name in named]


def _cell(value: str | list[str]) -> Cell:
    return tuple(value) if isinstance(value, list) else value
