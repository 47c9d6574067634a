"""Ingest declared sources, each in a run of its own, or check what a run would ingest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from classifier.exceptions import SourceError, UserError
from classifier.ingest import readers, text_files
from classifier.ingest.source_declarations import DeclaredSource, FilesSource
from classifier.pipeline.ingest import run_records
from classifier.pipeline.ingest.unit_discovery import ResolveUrl, UnitDiscovery
from classifier.pipeline.ingest.units import FileReader, IngestReport, IngestUnit, ingest_units
from classifier.pipeline.use_case import use_case
from classifier.store import ingest_runs
from classifier.workspace import Workspace

MAX_CHECKED_ROWS = 10_000
"""A check stops after this many rows of a source, and reports that there may be more."""

_PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "hourly": lambda moment: (moment.date(), moment.hour),
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
}


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """What a run of a source would read: `units` files, feeds or queries.

    They have `rows` valid and `rejected` invalid rows. `more` says that the check stopped before the last row.
    `reasons` counts the reasons of the invalid rows. `problem` is the error that the run would end with.
    """

    name: str
    kind: str
    group: str
    units: int = 0
    rows: int = 0
    rejected: int = 0
    more: bool = False
    encoding: str | None = None
    reasons: dict[str, int] | None = None
    problem: str | None = None


def choose_sources(
    declared: Mapping[str, DeclaredSource], names: Collection[str] = (), group: str | None = None
) -> list[DeclaredSource]:
    """Return the sources with the given names, or all sources; if a group is given, only its sources.

    Raises:
        SourceError: a source or the group is unknown.
    """
    for name in names:
        if name not in declared:
            raise SourceError(f"source {name!r}: unknown; choose from {', '.join(declared) or '(no sources)'}")
    sources = [source for name, source in declared.items() if not names or name in names]
    if group is None:
        return sources
    groups = sorted({source.group for source in declared.values()})
    if group not in groups:
        raise SourceError(f"group {group!r}: unknown; choose from {', '.join(groups) or '(no groups)'}")
    return [source for source in sources if source.group == group]


@use_case
def due_sources(
    workspace: Workspace, declared: Iterable[DeclaredSource], now: datetime | None = None
) -> list[DeclaredSource]:
    """Return the sources of the groups hourly, daily and weekly that have not succeeded in this hour, day or week.

    Hours, days and weeks are in UTC. Sources of another group run only if that group is requested.
    """
    present = now or datetime.now(UTC)
    with workspace.database.connect() as connection:
        last = {source.name: ingest_runs.last_success(connection, source.name) for source in declared}
    return [source for source in declared if _is_due(source.group, last[source.name], present)]


def _is_due(group: str, last: datetime | None, now: datetime) -> bool:
    period = _PERIODS.get(group)
    return period is not None and (last is None or group == "hourly" or period(last.astimezone(UTC)) != period(now))


@use_case
def ingest_source(
    workspace: Workspace,
    source: DeclaredSource,
    resolve_url: ResolveUrl,
    *,
    reread: Collection[str] | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> IngestReport:
    """Ingest the unread units of a source, or the units named in `reread`, and return what changed.

    Each file is ingested atomically. A file that fails does not stop the others.

    Raises:
        SourceError: the source, or a part of it, was not ingested.
        StatementTimeoutError: a part of it was not ingested because a statement took too long.
    """
    with run_records.record_run(workspace, source.name, source.kind) as run:
        discovery = UnitDiscovery(run, source, resolve_url, on_rows, reread)
        return ingest_units(discovery.find_units(), discovery.problems)


@use_case
def check_source(
    workspace: Workspace, source: DeclaredSource, resolve_url: ResolveUrl, *, rows: int = MAX_CHECKED_ROWS
) -> SourceCheck:
    """Read what a run would read, and return what it would ingest. Nothing is written."""
    run = run_records.IngestRun(workspace.database, workspace.settings.split_key, 0, source.name)
    sample = _Sample(source, rows)
    problems: list[str] = []
    discovery = UnitDiscovery(run, source, resolve_url, dry_run=True)
    try:
        for unit in discovery.find_units():
            try:
                sample.add(unit)
            except SourceError as error:
                problems.append(str(error))
            if sample.is_full:
                break
    except UserError as error:
        problems.append(str(error))
    return sample.report("; ".join([*map(str, discovery.problems), *problems]) or None)


class _Sample:
    """The first rows of a source, counted."""

    def __init__(self, source: DeclaredSource, max_rows: int) -> None:
        self._source, self._max_rows = source, max_rows
        self._units = self._rows = self._rejected = 0
        self._reasons: Counter[str] = Counter()
        self._encodings: set[str] = set()

    @property
    def is_full(self) -> bool:
        return self._rows + self._rejected >= self._max_rows

    def add(self, unit: IngestUnit) -> None:
        self._units += 1
        self._encodings |= _detect_encodings(self._source, unit)
        for chunk in unit.chunks():
            self._rows += len(chunk.rows)
            self._rejected += len(chunk.rejected)
            self._reasons.update(row.reason for row in chunk.rejected)
            if self.is_full:
                return

    def report(self, problem: str | None) -> SourceCheck:
        return SourceCheck(
            name=self._source.name,
            kind=self._source.kind,
            group=self._source.group,
            units=self._units,
            rows=self._rows,
            rejected=self._rejected,
            more=self.is_full,
            encoding=", ".join(sorted(self._encodings)) or None,
            reasons=dict(self._reasons.most_common(3)),
            problem=problem,
        )


def _detect_encodings(source: DeclaredSource, unit: IngestUnit) -> set[str]:
    """Return the encoding of a unit that is a text file, none for other units."""
    if not isinstance(source, FilesSource) or not isinstance(unit.read, FileReader):
        return set()
    if not readers.is_text(unit.read.path):
        return set()
    return {text_files.detect_file_encoding(unit.read.path) if source.encoding == "auto" else source.encoding}
