"""Ingest declared sources, each in a run of its own, or check what a run would ingest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from classifier.exceptions import SourceError, UserError
from classifier.ingest.source_declarations import DeclaredSource
from classifier.pipeline.ingest import checks, run_records
from classifier.pipeline.ingest.checks import UnitCheck
from classifier.pipeline.ingest.unit_discovery import ResolveUrl, UnitDiscovery
from classifier.pipeline.ingest.units import IngestReport, ingest_units
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

    They have `rows` valid and `rejected` invalid rows; `undated` valid rows lose their publication time. `more` says
    that the check stopped before the last row. `reasons` counts the reasons of the invalid rows. `examples` are the
    first rows. `problem` is the error that the run would end with.
    """

    name: str
    kind: str
    group: str
    units: int = 0
    rows: int = 0
    rejected: int = 0
    undated: int = 0
    more: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    reasons: dict[str, int] | None = None
    examples: tuple[dict[str, str], ...] = ()
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
    units: list[UnitCheck] = []
    problems: list[str] = []
    discovery = UnitDiscovery(run, source, resolve_url, dry_run=True)
    try:
        for unit in discovery.find_units():
            left = rows - sum(check.rows + check.rejected for check in units)
            description = checks.describe_reader(unit.read)
            units.append(checks.check_unit(unit.name, unit.chunks(), unit.rules, description, left))
            if units[-1].more:
                break
    except UserError as error:
        problems.append(str(error))
    problems = [
        *map(str, discovery.problems),
        *(f"{unit.name}: {unit.problem}" for unit in units if unit.problem),
        *problems,
    ]
    return _summarize(source, units, "; ".join(problems) or None)


def _summarize(source: DeclaredSource, units: Sequence[UnitCheck], problem: str | None) -> SourceCheck:
    """Return the checks of a source's units as one."""
    reasons: Counter[str] = Counter()
    for unit in units:
        reasons.update(unit.reasons)
    return SourceCheck(
        name=source.name,
        kind=source.kind,
        group=source.group,
        units=len(units),
        rows=sum(unit.rows for unit in units),
        rejected=sum(unit.rejected for unit in units),
        undated=sum(unit.undated for unit in units),
        more=any(unit.more for unit in units),
        encoding=_join(unit.encoding for unit in units),
        delimiter=_join(unit.delimiter for unit in units),
        columns=next((unit.columns for unit in units if unit.columns), ()),
        reasons=dict(reasons.most_common(3)),
        examples=next((unit.examples for unit in units if unit.examples), ()),
        problem=problem,
    )


def _join(values: Iterable[str | None]) -> str | None:
    return " and ".join(sorted({value for value in values if value})) or None
