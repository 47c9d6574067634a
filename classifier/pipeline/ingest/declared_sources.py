"""Take in declared sources, each in a run of its own, or say what that would take."""

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
from classifier.store import reads
from classifier.workspace import Workspace

CHECKED_ROWS = 10_000
"""A check reads so many rows of a source; more is said to be more."""

_PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "hourly": lambda moment: (moment.date(), moment.hour),
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
}


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """What a run of a source would read: `units` files, feeds or queries, and of them so many rows.

    `more` says that there are more rows than were looked at. `reasons` counts what is wrong with the bad
    ones. `problem` is the line with which the run would fail.
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
    """Return the sources of the given names, or all; and of them those of a group.

    Raises:
        SourceError: one is not declared.
    """
    for name in names:
        if name not in declared:
            raise SourceError(f"source {name!r}: is not declared; there are {', '.join(declared) or 'no sources'}")
    found = [source for name, source in declared.items() if not names or name in names]
    if group is None:
        return found
    groups = sorted({source.group for source in declared.values()})
    if group not in groups:
        raise SourceError(f"group {group!r}: no source is of it; there are {', '.join(groups) or 'no groups'}")
    return [source for source in found if source.group == group]


@use_case
def due_sources(
    workspace: Workspace, declared: Iterable[DeclaredSource], now: datetime | None = None
) -> list[DeclaredSource]:
    """Return the sources of the groups hourly, daily and weekly that have not succeeded in this hour, day or week.

    Hours, days and weeks are those of UTC. Sources of another group are due only when it is named.
    """
    present = now or datetime.now(UTC)
    with workspace.database.connect() as connection:
        last = {source.name: reads.last_success(connection, source.name) for source in declared}
    return [source for source in declared if _is_due(source.group, last[source.name], present)]


def _is_due(group: str, last: datetime | None, now: datetime) -> bool:
    period = _PERIODS.get(group)
    return period is not None and (last is None or group == "hourly" or period(last.astimezone(UTC)) != period(now))


@use_case
def ingest_source(
    workspace: Workspace,
    source: DeclaredSource,
    resolve: ResolveUrl,
    *,
    again: Collection[str] | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> IngestReport:
    """Take in what of a source has not been read yet; `again` names units that are read all the same.

    Each file is taken in whole or not at all; one that fails does not stop the others.

    Raises:
        SourceError: the source, or a part of it, was not taken in.
        StatementTimeoutError: a part of it was not taken in, since a statement took too long.
    """
    with run_records.record_run(workspace, source.name, source.kind) as run:
        finder = UnitDiscovery(run, source, resolve, on_rows, again)
        return ingest_units(finder.units(), finder.problems)


@use_case
def check_source(
    workspace: Workspace, source: DeclaredSource, resolve: ResolveUrl, *, rows: int = CHECKED_ROWS
) -> SourceCheck:
    """Read what a run would read, and say what it would take; nothing is written."""
    run = run_records.IngestRun(workspace.database, workspace.settings.split_key, 0, source.name)
    sample = _Sample(source, rows)
    problems: list[str] = []
    finder = UnitDiscovery(run, source, resolve, dry=True)
    try:
        for unit in finder.units():
            try:
                sample.look_at(unit)
            except SourceError as error:
                problems.append(str(error))
            if sample.full:
                break
    except UserError as error:
        problems.append(str(error))
    return sample.report("; ".join([*map(str, finder.problems), *problems]) or None)


class _Sample:
    """The rows of a source that a check has looked at."""

    def __init__(self, source: DeclaredSource, limit: int) -> None:
        self._source, self._limit = source, limit
        self._units = self._rows = self._rejected = 0
        self._reasons: Counter[str] = Counter()
        self._encodings: set[str] = set()

    @property
    def full(self) -> bool:
        return self._rows + self._rejected >= self._limit

    def look_at(self, unit: IngestUnit) -> None:
        self._units += 1
        self._encodings |= _encoding(self._source, unit)
        for chunk in unit.chunks():
            self._rows += len(chunk.rows)
            self._rejected += len(chunk.rejected)
            self._reasons.update(row.reason for row in chunk.rejected)
            if self.full:
                return

    def report(self, problem: str | None) -> SourceCheck:
        return SourceCheck(
            name=self._source.name,
            kind=self._source.kind,
            group=self._source.group,
            units=self._units,
            rows=self._rows,
            rejected=self._rejected,
            more=self.full,
            encoding=", ".join(sorted(self._encodings)) or None,
            reasons=dict(self._reasons.most_common(3)),
            problem=problem,
        )


def _encoding(source: DeclaredSource, unit: IngestUnit) -> set[str]:
    if not isinstance(source, FilesSource) or not isinstance(unit.read, FileReader):
        return set()
    if not readers.is_text(unit.read.path):
        return set()
    return {text_files.detect_file_encoding(unit.read.path) if source.encoding == "auto" else source.encoding}
