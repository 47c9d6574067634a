"""What the tasks of `ingest_articles` do: choose sources, take one in, say which failed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from classifier_airflow import workspace

if TYPE_CHECKING:
    from classifier.ingest.source_declarations import DeclaredSource, SqlSource
    from classifier.pipeline.ingest.units import IngestOptions
    from classifier.settings import Settings
    from classifier.workspace import Workspace

log = logging.getLogger(__name__)

REJECTED = "rejected rows"
"""What a run that reads again what was rejected lists as its source."""

COUNTS = ("files", "read", "new", "changed", "unchanged", "rejected", "duplicates")


def chosen(*, files: str | None, group: str | None, rejected: bool = False) -> list[dict[str, str]]:
    """Return what a run reads: the files alone where some are named; else sources, and the inbox with them.

    With `rejected`, what rows were rejected of and nothing else. Skips the task where there is nothing to read.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.ingest import declared_sources

    if rejected:
        return [{"again": REJECTED}]
    if files:
        return [{"files": files}]
    place = workspace.workspace()
    found = declared(place.settings)
    due = (
        declared_sources.choose_sources(found, group=group)
        if group
        else declared_sources.due_sources(place, found.values())
    )
    named = [{"name": source.name} for source in due]
    if group:
        return named
    try:
        return [*named, {"inbox": workspace.inbox_or_skip(place.settings)}]
    except AirflowSkipException:
        if named:
            return named
        raise


def name_of(source: Mapping[str, str]) -> str:
    """Return what a source that a run reads is called: the only value that it has."""
    return next(iter(source.values()))


def take_in(source: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, int]:
    """Take in a declared source, or files as the parameters say, and return the counts.

    Files that are named are read; of the inbox, which is looked at every hour, only what is new or has changed.
    """
    from classifier.pipeline.ingest import declared_sources

    place = workspace.workspace()
    if "again" in source:
        return _read_rejected_again(place)
    if "name" in source:
        found = declared_sources.choose_sources(declared(place.settings), [source["name"]])[0]
        return asdict(declared_sources.ingest_source(place, found, database_of))

    from classifier.pipeline.ingest import inbox, units

    options = _options(params)
    if "inbox" in source:
        return asdict(inbox.ingest_inbox(place, source["inbox"], options))
    return asdict(units.ingest_files(place, source["files"], options))


def _options(params: Mapping[str, Any]) -> IngestOptions:
    """Return how a run's parameters say that files are read."""
    from classifier.ingest.columns import Columns
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest.units import IngestOptions

    columns = Columns(*(params[name] for name in ("text", "category", "id", "split", "published_at", "source")))
    shares = Proportions.parse(params["proportions"])
    return IngestOptions(columns, params["source_name"], shares, params["max_rejected"])


def _read_rejected_again(place: Workspace) -> dict[str, int]:
    """Try the rejected rows again, and return the counts; what is gone from its source counts as new, too.

    Raises:
        SourceError: some of their sources cannot be read.
    """
    from classifier.exceptions import SourceError
    from classifier.pipeline.ingest import rejected_rows

    report = rejected_rows.retry_rejected(place, declared(place.settings), database_of)
    if report.problems:
        raise SourceError("; ".join(report.problems))
    return dict.fromkeys(COUNTS, 0) | {
        "read": report.retried,
        "new": report.resolved,
        "rejected": report.still_rejected,
    }


def total(taken: Iterable[Mapping[str, Any]] | None) -> dict[str, int]:
    """Add up the counts of the sources that were taken in."""
    found = [counts for counts in taken or () if counts]
    return {name: sum(counts[name] for counts in found) for name in COUNTS}


def fail_if_any_failed(sources: Iterable[Mapping[str, str]] | None, taken: Iterable[Mapping[str, Any]] | None) -> None:
    """Raise an error that names the sources without a result, with what their last run says.

    Raises:
        SourceError: there are some.
    """
    from classifier.exceptions import SourceError

    names = [name_of(source) for source in sources or ()]
    came = {counts["source"] for counts in taken or () if counts}
    failed = [name for name in names if name not in came]
    if failed:
        lines = "; ".join(f"{name}: {_reason(name)}" for name in failed)
        raise SourceError(f"{len(failed)} of {len(names)} sources failed: {lines}")


def declared(settings: Settings) -> dict[str, DeclaredSource]:
    """Return the declared sources; none where no file declares any, or, as with the inbox, none is there yet."""
    from classifier.ingest import source_declarations

    if settings.sources is None:
        return {}
    if not settings.sources.exists():
        log.warning("no sources are declared: %s is not there", settings.sources)
        return {}
    return source_declarations.load_sources(settings.sources)


def database_of(source: SqlSource) -> str:
    """Return the URL of a query's database: its Airflow connection's, or one of the environment."""
    from airflow.sdk import BaseHook

    from classifier.cli.sources import resolve_database_url as of_environment

    if source.connection is None:
        return of_environment(source)
    connection = BaseHook.get_connection(source.connection)
    if connection.conn_type in {"postgres", "postgresql"}:
        return workspace.url_of(connection)
    return str(connection.get_hook().get_uri())


def _reason(name: str) -> str:
    from classifier.pipeline.monitoring import status

    runs = status.last_runs(workspace.workspace(), name)
    return runs[0].error or runs[0].status if runs else "it did not begin; see its task's log"
