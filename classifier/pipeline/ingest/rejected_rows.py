"""List the rows that were not taken in, and try them again after a fix."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from classifier.exceptions import SourceError, StatementTimeoutError
from classifier.ingest.columns import FIELDS, RawChunk, to_frame
from classifier.ingest.readers import expand_pattern
from classifier.ingest.source_declarations import DeclaredSource, FeedSource
from classifier.pipeline.ingest import declared_sources, run_records
from classifier.pipeline.ingest.unit_discovery import ResolveUrl
from classifier.pipeline.ingest.units import IngestOptions, IngestUnit, make_file_unit
from classifier.pipeline.use_case import use_case
from classifier.store import reads
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RejectedRowDetails:
    """A row that was not taken in; `row` is cut at `classifier.ingest.rejected_rows.ROW_LIMIT` characters."""

    source: str
    unit: str | None
    position: str
    reason: str
    row: str
    rejected_at: datetime


@dataclass(frozen=True, slots=True)
class RetriedRows:
    """What came of trying again: of `tried` rows `mended` went in or are gone from their source."""

    tried: int
    mended: int
    still_bad: int
    problems: tuple[str, ...]


@use_case
def list_rejected(
    workspace: Workspace, *, source: str | None = None, limit: int | None = None
) -> list[RejectedRowDetails]:
    """List the rejected rows, newest first."""
    with workspace.database.connect() as connection:
        rows = reads.rejected(connection, source=source, limit=limit)
    return [
        RejectedRowDetails(row.source, row.unit, row.position, row.reason, row.row, row.rejected_at) for row in rows
    ]


@use_case
def retry_rejected(
    workspace: Workspace, declared: Mapping[str, DeclaredSource], resolve: ResolveUrl, *, source: str | None = None
) -> RetriedRows:
    """Read again whatever rows were rejected of, as it is declared now.

    A file is read where it is, and a query without its watermark. A feed may not show an entry any more:
    then the row is tried as it was kept, if it was not cut.
    """
    before = _rejected(workspace, source)
    problems: list[str] = []
    by_run: dict[str, list[Any]] = {}
    for row in before:
        by_run.setdefault(row.declared or "", []).append(row)
    for name, rows in by_run.items():
        try:
            _read_again(workspace, name, rows, declared, resolve)
        except (SourceError, StatementTimeoutError) as error:
            problems.append(str(error))
    left = {row.id for row in _rejected(workspace, source)}
    mended = sum(row.id not in left for row in before)
    return RetriedRows(len(before), mended, len(before) - mended, tuple(problems))


def _rejected(workspace: Workspace, source: str | None) -> list[Any]:
    with workspace.database.connect() as connection:
        return list(reads.rejected(connection, source=source))


def _read_again(
    workspace: Workspace, name: str, rows: list[Any], declared: Mapping[str, DeclaredSource], resolve: ResolveUrl
) -> None:
    units = {row.unit for row in rows}
    if name in declared:
        declared_sources.ingest_source(workspace, declared[name], resolve, again=units)
        if isinstance(declared[name], FeedSource):
            _try_kept(workspace, declared[name], rows)
    elif rows[0].options:
        _read_files_again(workspace, name, units, rows[0].options)
    else:
        raise SourceError(f"source {name!r}: is not declared any more, so its {len(rows)} rows cannot be read again")


def _read_files_again(workspace: Workspace, name: str, units: Collection[str], options: Mapping[str, Any]) -> None:
    """Read again files that were named on the command line, as they were read then."""
    with run_records.record_run(workspace, name, "files", options) as run:
        for unit in sorted(units):
            for path in expand_pattern(unit):
                make_file_unit(run, path, IngestOptions.from_json(options)).ingest()


def _try_kept(workspace: Workspace, source: DeclaredSource, rows: list[Any]) -> None:
    """Try the rows of a feed that it does not show any more as they were kept."""
    still = {row.id for row in _rejected(workspace, source.name)}
    kept = [(row, values) for row in rows if row.id in still and (values := _values(row.row)) is not None]
    if not kept:
        return
    rows_again = [(*_cells(values, source), row.position) for row, values in kept]
    chunk = RawChunk(to_frame(rows_again), [])
    with run_records.record_run(workspace, source.name, source.kind) as run:
        unit = IngestUnit(
            run, rows[0].unit, source.name, lambda: iter([chunk]), 1, source.shares, zone=source.zone, whole=False
        )
        unit.ingest()


def _values(row: str) -> dict[str, str] | None:
    """Return a kept row's values, None where it was cut or never had any."""
    try:
        values = json.loads(row)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _cells(values: Mapping[str, str], source: DeclaredSource) -> list[str | None]:
    """Return the values in the order of `FIELDS`: None without a column, "" without a value."""
    names = source.columns.names
    return [values.get(field, "") if name is not None else None for field, name in zip(FIELDS, names, strict=True)]
