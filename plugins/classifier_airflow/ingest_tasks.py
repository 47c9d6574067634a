"""The work of the tasks of `ingest_articles`: choose sources, ingest a source, report failed sources."""

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
"""Name of the source of a run that reads rejected rows again."""

COLUMN_NAMES = ("text", "id", "split", "published_at", "source", "title", "url")
"""The parameters that name columns of the class `Columns`; `category` may name columns of several tasks."""

DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(("task", "category", "source_name", *COLUMN_NAMES)),
    "text": "text",
    "proportions": "0.8,0.1,0.1",
    "max_rejected": 0.05,
}
"""The parameters of `ingest_articles` that say how files are read, with their defaults."""

COUNTS = ("files", "read", "new", "changed", "unchanged", "rejected", "duplicates")


def choose_sources(*, files: str | None, group: str | None, rejected: bool = False) -> list[dict[str, str]]:
    """Return what a run reads: only the files if files are named; else the due sources and the inbox.

    With `rejected`, only the sources of rejected rows are read. If there is nothing to read, the task is skipped.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.ingest import declared_sources

    if rejected:
        return [{"again": REJECTED}]
    if files:
        return [{"files": files}]
    opened = workspace.workspace()
    declared = load_declared(opened.settings)
    due = (
        declared_sources.choose_sources(declared, group=group)
        if group
        else declared_sources.due_sources(opened, declared.values())
    )
    named = [{"name": source.name} for source in due]
    if group:
        return named
    try:
        return [*named, {"inbox": workspace.inbox_or_skip(opened.settings)}]
    except AirflowSkipException:
        if named:
            return named
        raise


def source_name(source: Mapping[str, str]) -> str:
    """Return the name of a source that a run reads, which is its only value."""
    return next(iter(source.values()))


def ingest_source(source: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, int]:
    """Ingest a declared source, or files with the run's parameters, and return the counts.

    Named files are always read. The inbox is checked every hour, and only its new or changed files are read. A run
    without parameters, such as every scheduled one, reads the inbox as the last run with parameters did.
    """
    from classifier.pipeline.ingest import declared_sources

    opened = workspace.workspace()
    if "again" in source:
        return _retry_rejected(opened)
    if "name" in source:
        declared = declared_sources.choose_sources(load_declared(opened.settings), [source["name"]])[0]
        return asdict(declared_sources.ingest_source(opened, declared, database_url_of))

    from classifier.pipeline.ingest import inbox, units

    options, opened = _options(params), opened.with_task(params["task"])
    if "inbox" in source:
        as_before = options == _options(DEFAULTS)
        return asdict(inbox.ingest_inbox(opened, source["inbox"], options, as_before=as_before))
    return asdict(units.ingest_files(opened, source["files"], options))


def _options(params: Mapping[str, Any]) -> IngestOptions:
    """Return the options for reading files, from the run's parameters."""
    from classifier.ingest.category_columns import split_category_columns
    from classifier.ingest.columns import Columns
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest.units import IngestOptions

    category, categories = split_category_columns(params["category"], params["task"])
    names = {name: params[name] for name in COLUMN_NAMES}
    columns = Columns(**names, category=category, categories=categories)
    shares = Proportions.parse(params["proportions"])
    return IngestOptions(columns, params["source_name"], shares, params["max_rejected"])


def _retry_rejected(opened: Workspace) -> dict[str, int]:
    """Retry the rejected rows, and return the counts; rows that their source no longer contains count as new too.

    Raises:
        SourceError: cannot read one of their sources.
    """
    from classifier.exceptions import SourceError
    from classifier.pipeline.ingest import rejected_rows

    report = rejected_rows.retry_rejected(opened, load_declared(opened.settings), database_url_of)
    if report.problems:
        raise SourceError("; ".join(report.problems))
    return dict.fromkeys(COUNTS, 0) | {
        "read": report.retried,
        "new": report.resolved,
        "rejected": report.still_rejected,
    }


def add_up_counts(ingested: Iterable[Mapping[str, Any]] | None) -> dict[str, int]:
    """Return the sum of the counts of the ingested sources."""
    present = [counts for counts in ingested or () if counts]
    return {name: sum(counts[name] for counts in present) for name in COUNTS}


def fail_if_any_failed(
    sources: Iterable[Mapping[str, str]] | None, ingested: Iterable[Mapping[str, Any]] | None
) -> None:
    """Raise an error that names the sources without a result, with the error of their last run.

    Raises:
        SourceError: a source failed.
    """
    from classifier.exceptions import SourceError

    names = [source_name(source) for source in sources or ()]
    succeeded = {counts["source"] for counts in ingested or () if counts}
    failed = [name for name in names if name not in succeeded]
    if failed:
        lines = "; ".join(f"{name}: {_reason(name)}" for name in failed)
        raise SourceError(f"{len(failed)} of {len(names)} sources failed: {lines}")


def load_declared(settings: Settings) -> dict[str, DeclaredSource]:
    """Return the declared sources; none if no file is configured, or it does not exist yet."""
    from classifier.ingest import source_declarations

    if settings.sources is None:
        return {}
    if not settings.sources.exists():
        log.warning("no sources are declared: %s not found", settings.sources)
        return {}
    return source_declarations.load_sources(settings.sources)


def database_url_of(source: SqlSource) -> str:
    """Return the URL of a query's database, from its Airflow connection or from the environment."""
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
    return runs[0].error or runs[0].status if runs else "the task did not begin; see its log"
