"""Ingest new and changed files that no source declares: the inbox, which is read every hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from classifier.exceptions import SourceError
from classifier.ingest import readers
from classifier.ingest.text_files import SourceFile
from classifier.pipeline.ingest import former_options, run_records
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.former_options import FormerOptions
from classifier.pipeline.ingest.ingest_options import with_task_ids
from classifier.pipeline.ingest.source_names import SourceNames
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
    workspace: Workspace,
    pattern: str,
    options: IngestOptions,
    *,
    as_before: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> IngestReport:
    """Ingest the unread files of a path or glob, each atomically. A file that fails does not stop the others.

    A file is unread if it is new, if it has changed, or if it was read with other options. With `as_before`, a file
    that was read before keeps its own options, also if it was named by itself; new files get those of the inbox's last
    run, and `options` only count for the first run.

    Raises:
        SourceError: no file was found, or a file was not ingested.
        StatementTimeoutError: a file was not ingested because a statement took too long.
        TaskError: a task that a column is for does not exist, is archived, or must be named.
    """
    problems: list[Problem] = []
    former = former_options.load(workspace.database, pattern) if as_before else None
    options = former.last if former and former.last else with_task_ids(workspace, options)
    with run_records.record_run(workspace, options.source or pattern, "files", options.to_json()) as run:
        files = _find_files(run, pattern, options, former)
        return ingest_units(_find_unread(run, files, pattern, problems, on_rows), problems)


@dataclass(frozen=True, slots=True)
class _InboxFile:
    """A file of the inbox, how it is read, and where its state is stored."""

    path: SourceFile
    options: IngestOptions
    states: FileStates


def _find_files(
    run: run_records.IngestRun, pattern: str, options: IngestOptions, former: FormerOptions | None
) -> Iterator[_InboxFile]:
    for path in readers.expand_pattern(pattern):
        source, own = (former and former.of_file(path)) or (run.source, options)
        yield _InboxFile(path, own, FileStates(replace(run, source=source), own.config_sha256))


def _find_unread(
    run: run_records.IngestRun,
    files: Iterable[_InboxFile],
    pattern: str,
    problems: list[Problem],
    on_rows: Callable[[int], None],
) -> Iterator[IngestUnit]:
    names: dict[bytes, SourceNames] = {}
    for file in files:
        path, options = file.path, file.options
        try:
            own_names = names.setdefault(options.config_sha256, options.source_names())
            own_names.add(path, name_source(path, options, pattern))
            if (save_state := file.states.state_saver(path)) is not None:
                yield make_file_unit(run, path, options, on_rows, pattern=pattern, save_state=save_state)
        except SourceError as error:
            problems.append(error)
