"""Ingest what is new or has changed among files that no source declares: the inbox, which is looked at every hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from classifier.exceptions import SourceError
from classifier.ingest import readers
from classifier.pipeline.ingest import run_records
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.units import (
    IngestOptions,
    IngestReport,
    IngestUnit,
    Problem,
    ingest_units,
    make_file_unit,
)
from classifier.pipeline.use_case import use_case
from classifier.workspace import Workspace


@use_case
def ingest_inbox(
    workspace: Workspace, pattern: str, options: IngestOptions, *, on_rows: Callable[[int], None] = lambda _: None
) -> IngestReport:
    """Ingest the unread files of a path or glob. Each is ingested atomically; one that fails does not stop the others.

    A file is unread if it is new, if it has changed, or if it was read with other options.

    Raises:
        SourceError: there is no file, or one was not ingested.
        StatementTimeoutError: one was not ingested, since a statement took too long.
    """
    problems: list[Problem] = []
    with run_records.record_run(workspace, options.source or pattern, "files", options.to_json()) as recorded:
        return ingest_units(_unread(recorded, pattern, options, problems, on_rows), problems)


def _unread(
    run: run_records.IngestRun,
    pattern: str,
    options: IngestOptions,
    problems: list[Problem],
    on_rows: Callable[[int], None],
) -> Iterator[IngestUnit]:
    states = FileStates(run, options.digest)
    for path in readers.expand_pattern(pattern):
        try:
            save_state = states.unread(path)
            if save_state is not None:
                yield make_file_unit(run, path, options, on_rows, remember=save_state)
        except SourceError as error:
            problems.append(error)
