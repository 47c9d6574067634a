"""Ingest new and changed files that no source declares: the inbox, which is read every hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from classifier.exceptions import SourceError
from classifier.ingest import readers
from classifier.pipeline.ingest import run_records
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.ingest_options import with_task_ids
from classifier.pipeline.ingest.units import (
    IngestOptions,
    IngestReport,
    IngestUnit,
    Problem,
    ingest_units,
    make_file_unit,
    name_source,
)
from classifier.pipeline.use_case import use_case
from classifier.workspace import Workspace


@use_case
def ingest_inbox(
    workspace: Workspace, pattern: str, options: IngestOptions, *, on_rows: Callable[[int], None] = lambda _: None
) -> IngestReport:
    """Ingest the unread files of a path or glob, each atomically. A file that fails does not stop the others.

    A file is unread if it is new, if it has changed, or if it was read with other options.

    Raises:
        SourceError: no file was found, or a file was not ingested.
        StatementTimeoutError: a file was not ingested because a statement took too long.
        TaskError: a task that a column is for does not exist, is archived, or must be named.
    """
    problems: list[Problem] = []
    options = with_task_ids(workspace, options)
    with run_records.record_run(workspace, options.source or pattern, "files", options.to_json()) as run:
        return ingest_units(_find_unread(run, pattern, options, problems, on_rows), problems)


def _find_unread(
    run: run_records.IngestRun,
    pattern: str,
    options: IngestOptions,
    problems: list[Problem],
    on_rows: Callable[[int], None],
) -> Iterator[IngestUnit]:
    states, names = FileStates(run, options.config_sha256), options.source_names()
    for path in readers.expand_pattern(pattern):
        try:
            names.add(path, name_source(path, options, pattern))
            if (save_state := states.state_saver(path)) is not None:
                yield make_file_unit(run, path, options, on_rows, pattern=pattern, save_state=save_state)
        except SourceError as error:
            problems.append(error)
