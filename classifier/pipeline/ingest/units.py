"""Ingest articles, one unit a transaction: a file, a feed's document, or the rows that a query returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from sqlalchemy import Connection

from classifier.exceptions import (
    SourceError,
    SourceUnavailableError,
    StatementTimeoutError,
    TooManyRejectedError,
)
from classifier.ingest import object_store, readers
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.file_format import FileFormat
from classifier.ingest.prefetch import prefetch_one
from classifier.ingest.text_files import SourceFile
from classifier.ingest.validation import MAX_LENGTHS, ValidatedChunk
from classifier.names import shorten_name
from classifier.pipeline.erasure import tombstones
from classifier.pipeline.erasure.tombstones import Tombstones
from classifier.pipeline.ingest import category_tasks, kept_annotations, known_articles, run_records, source_names
from classifier.pipeline.ingest.category_names import CategoryNames
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.ingest_options import IngestOptions, with_task_ids
from classifier.pipeline.ingest.split_assignment import SplitAssigner, TextSigner
from classifier.pipeline.ingest.unit_rules import StagedCounts, UnitRules, validate_chunks
from classifier.pipeline.use_case import use_case
from classifier.store import (
    article_rows,
    connections,
    ingest_runs,
    near_duplicate_clusters,
    rejections,
    staging,
)
from classifier.workspace import Workspace

__all__ = ["IngestOptions", "IngestReport", "IngestUnit", "ingest_files", "ingest_units", "make_file_unit"]

log = logging.getLogger(__name__)

MAX_UNIT_NAME_BYTES = 1700
"""A unit's name and its source's fit in one entry of a Postgres index, 2,704 bytes."""

Problem = SourceError | StatementTimeoutError
"""Why a unit was not ingested, although other units still may be."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The rows that were read, and what they changed.

    `read` counts rows. `rejected` of them were invalid; `duplicates` were superseded by a later row with the same id.
    `erased` rows belong to erased articles and were left out. The others are articles: `new`, `changed` (the text
    differs from the stored one) or `unchanged`. `undated` rows have a publication time that cannot be read or is in
    the future, so it is left out. `other_split` articles have another split than their row names.
    """

    files: int = 0
    read: int = 0
    rejected: int = 0
    duplicates: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    annotations: int = 0
    enqueued: int = 0
    undated: int = 0
    erased: int = 0
    other_split: int = 0

    def __add__(self, other: IngestReport) -> IngestReport:
        """Return the sum of two reports."""
        return IngestReport(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@use_case
def ingest_files(
    workspace: Workspace,
    patterns: str | Sequence[str],
    options: IngestOptions,
    *,
    on_rows: Callable[[int], None] = lambda _: None,
    on_report: Callable[[IngestReport], None] = lambda _: None,
) -> IngestReport:
    """Ingest the files of paths or globs, each atomically, and return what changed.

    Each path or glob is a run of its own. A file that fails does not stop the others. `on_rows` is called with the
    number of rows of each chunk, `on_report` with the report of each file that was ingested.

    Raises:
        SourceError: a file cannot be read; the other files stay ingested. Or two files would be one source; then
            nothing is ingested.
        TooManyRejectedError: more than `max_rejected` of a file's rows are invalid.
        StatementTimeoutError: a file was not ingested because a statement took too long.
        TaskError: a task that a column is for does not exist, is archived, or must be named.
    """
    total = IngestReport()
    problems: list[Problem] = []
    options, inbox = with_task_ids(workspace, options), _inbox_files(workspace)
    for pattern, files in _find_files([patterns] if isinstance(patterns, str) else patterns, options).items():
        own: list[Problem] = []
        try:
            with run_records.record_run(workspace, options.source or pattern, "files", options.to_json()) as run:
                if isinstance(files, SourceError):
                    raise files
                units = _make_units(run, pattern, files, options, own, on_rows, inbox)
                total += ingest_units(units, own, on_report)
        except (SourceError, StatementTimeoutError) as error:
            problems += own or [error]
    _raise_problems(problems)
    return total


def _find_files(patterns: Iterable[str], options: IngestOptions) -> dict[str, list[SourceFile] | SourceError]:
    """Return the files of each pattern, each file once, or the error if there are none.

    Raises:
        SourceError: two files would be one source.
    """
    result: dict[str, list[SourceFile] | SourceError] = {}
    names, seen = options.source_names(), set[str]()
    for pattern in patterns:
        try:
            files = [path for path in readers.expand_pattern(pattern) if object_store.file_url(path) not in seen]
        except SourceError as error:
            result[pattern] = error
            continue
        for path in files:
            seen.add(object_store.file_url(path))
            names.add(path, options.source or source_names.name_source(path, pattern))
        if files:
            result[pattern] = files
    return result


def _make_units(
    run: run_records.IngestRun,
    pattern: str,
    files: Iterable[SourceFile],
    options: IngestOptions,
    problems: list[Problem],
    on_rows: Callable[[int], None],
    inbox: Container[str],
) -> Iterator[IngestUnit]:
    """Yield each file as a unit; add the errors of those whose source cannot be named to `problems`.

    The state of a file of the inbox is saved, so that the inbox's hourly run does not read it again otherwise.
    """
    states = FileStates(run, options.config_sha256)
    for path in files:
        try:
            unit = make_file_unit(run, path, options, on_rows, pattern=pattern)
            saver = states.state_saver(path, force=True) if unit.name in inbox else None
            yield replace(unit, save_state=saver) if saver else unit
        except SourceError as error:
            problems.append(error)


def _inbox_files(workspace: Workspace) -> frozenset[str]:
    """Return the addresses of the files of the inbox, none if there is no inbox."""
    inbox = workspace.settings.inbox
    if inbox is None:
        return frozenset()
    files = readers.find_files(f"{inbox}/*" if Path(inbox).is_dir() else inbox)
    return frozenset(map(object_store.file_url, files))


def make_file_unit(
    run: run_records.IngestRun,
    path: SourceFile,
    options: IngestOptions,
    on_rows: Callable[[int], None] = lambda _: None,
    *,
    pattern: str | None = None,
    save_state: Callable[[Connection], None] = lambda _: None,
) -> IngestUnit:
    """Return a file, which matches the pattern, as a unit.

    Raises:
        SourceError: the source's name is too long to be stored.
        TaskError: a task that a column is for does not exist, is archived, or must be named.
    """
    tasks = category_tasks.find_tasks(run.database, options.columns, ids=options.task_ids)
    return IngestUnit(
        run=run,
        name=object_store.file_url(path),
        source=name_source(path, options, pattern),
        read=FileReader(path, options.columns, options.file_format),
        rules=options.unit_rules(tasks),
        is_undeclared=True,
        anyway=options.anyway,
        save_state=save_state,
        on_rows=on_rows,
    )


def name_source(path: SourceFile, options: IngestOptions, pattern: str | None = None) -> str:
    """Return the name of a file's source.

    Raises:
        SourceError: it is too long to be stored.
    """
    source = options.source or source_names.name_source(path, pattern)
    if len(source) > MAX_LENGTHS["source"]:
        name = "its name" if options.source is None else f"the source's name {source[:40]!r}…"
        raise SourceError(
            f"{shorten_name(str(path), 300)}: {name} is longer than {MAX_LENGTHS['source']} characters; "
            "name the source with --source-name"
        )
    return source


@dataclass(frozen=True, slots=True)
class FileReader:
    """A function that reads a file, from its beginning at each call."""

    path: SourceFile
    columns: Columns
    file_format: FileFormat

    def __call__(self) -> Iterator[RawChunk]:
        """Return the file's rows, in chunks."""
        return readers.read_file(self.path, self.columns, file_format=self.file_format)


@dataclass(frozen=True, slots=True)
class IngestUnit:
    """Rows that are ingested atomically.

    `name` is the unit's path or URL. `is_undeclared` says that it is a file without a declaration; `anyway` takes its
    texts that are articles already. `is_complete` says that one reading shows all of its rows: a file's does, a
    feed's does not. `save_state` writes, in the transaction of the rows, what has been read.
    """

    run: run_records.IngestRun
    name: str
    source: str
    read: Callable[[], Iterator[RawChunk]]
    rules: UnitRules
    is_complete: bool = True
    is_undeclared: bool = False
    anyway: bool = False
    save_state: Callable[[Connection], None] = lambda _: None
    on_rows: Callable[[int], None] = lambda _: None

    def ingest(self) -> IngestReport:
        """Ingest the unit in one transaction, and return what changed.

        Raises:
            SourceError: the unit cannot be read, or its name is too long to be stored.
            TooManyRejectedError: too many rows are invalid. They are stored with their reasons.
        """
        self._check_name()
        with self.run.database.begin() as connection:
            staging.create_tables(connection)
            categories = CategoryNames()
            erased = tombstones.open_tombstones(connection, self.run.erasure_key)
            staged = self._stage(connection, categories, erased)
            # the first lock that other ingests need: nothing is read after this
            near_duplicate_clusters.wait_for_other_ingests(connection, self.run.source)
            erased.check(self.name)
            rejections.keep_staged(connection, run_id=self.run.id, unit=self.name)
            if is_refused := self.rules.refuses(staged.read, staged.rejected):
                counts = {"files": 1, "read": staged.read, "rejected": staged.rejected}
                ingest_runs.add_to_run(connection, self.run.id, counts)
            else:
                report = self._merge(connection, staged)
                categories.warn(connection, self.name, self.rules.categories.tasks)
        if is_refused:
            raise TooManyRejectedError(
                f"{self.name}: {staged.rejected} of {staged.read} rows are invalid, more than "
                f"{self.rules.max_rejected:.0%}: nothing was ingested; see: classifier rejected"
            )
        log.info("ingested %s", self.name, extra={"rows": staged.read, "rejected": staged.rejected})
        return report

    def _check_name(self) -> None:
        if len(self.name.encode("utf-8", "surrogatepass")) > MAX_UNIT_NAME_BYTES:
            raise SourceError(
                f"{shorten_name(self.name, 300)}: the path or URL is longer than {MAX_UNIT_NAME_BYTES} bytes, too long "
                "to be stored; move the file"
            )

    def _stage(self, connection: Connection, categories: CategoryNames, erased: Tombstones) -> StagedCounts:
        """COPY every row into the staging tables, valid or not, and return the counts."""
        rejected = staged = undated = left_out = 0
        with TextSigner(connection) as signer:
            for read in prefetch_one(self.chunks()):
                chunk, count = erased.leave_out(read)
                left_out += count
                if len(chunk.rows):
                    rows = chunk.rows.rename(columns={"split": "own_split"})
                    categories.add(chunk)
                    rows["annotations"] = category_tasks.annotations_json(connection, rows, self.rules.categories.tasks)
                    signer.add(rows)
                    staging.copy_articles(connection, rows)
                self.on_rows(len(read.rows) + len(read.rejected))
                staging.copy_rejected(connection, chunk.rejected)
                staged, rejected = staged + len(chunk.rows), rejected + len(chunk.rejected)
                self._warn_of_dates(chunk.bad_dates, is_first=not undated)
                undated += len(chunk.bad_dates)
        return StagedCounts(staged, rejected, undated, left_out)

    def _warn_of_dates(self, bad_dates: Sequence[str], *, is_first: bool) -> None:
        if bad_dates and is_first:
            log.warning(
                "%s: a publication time such as %r cannot be read or is in the future, so it is left out; "
                "the form of a file's times can be named: --date-format, or date_format in sources.toml",
                self.name,
                bad_dates[0][:40],
            )

    def chunks(self) -> Iterator[ValidatedChunk]:
        """Return the unit's rows, validated, a chunk at a time."""
        return validate_chunks(self.read(), self.source, self.rules)

    def _merge(self, connection: Connection, staged: StagedCounts) -> IngestReport:
        """Merge the staged rows, and record in the same transaction what changed."""
        if self.is_undeclared and not self.anyway:
            known_articles.refuse_other_ids(connection, self.name)
        SplitAssigner(connection, self.run.split_key, self.rules.proportions).assign_staged()
        kept_annotations.record_small_changes(connection)
        merged = article_rows.merge_staged(connection, self.run.id)
        report = IngestReport(
            files=1,
            read=staged.read,
            rejected=staged.rejected,
            duplicates=staged.rows - merged.articles,
            new=merged.new,
            changed=merged.changed,
            unchanged=merged.articles - merged.new - merged.changed,
            annotations=merged.annotations,
            enqueued=merged.enqueued,
            undated=staged.undated,
            erased=staged.erased,
            other_split=known_articles.count_other_splits(connection, self.name),
        )
        if self.is_undeclared:
            known_articles.warn_of_other_files(connection, self.run, self.name)
        rejections.delete_resolved(connection, self.run.id, self.name, complete=self.is_complete)
        ingest_runs.add_to_run(connection, self.run.id, asdict(report))
        self.save_state(connection)
        return report


def ingest_units(
    units: Iterable[IngestUnit],
    problems: list[Problem],
    on_report: Callable[[IngestReport], None] = lambda _: None,
) -> IngestReport:
    """Ingest units, and return what changed. A unit that fails does not stop the others.

    `problems` is read after the last unit, so the iterator of the units may add to it. `on_report` is called with the
    report of each unit that was ingested.

    Raises:
        SourceError: there were problems. The other units stay ingested.
        StatementTimeoutError: there were problems, and one of them is a statement that took too long.
    """
    total = IngestReport()
    for unit in units:
        try:
            with connections.translate_errors(unit.run.database):
                report = unit.ingest()
        except (SourceError, StatementTimeoutError) as error:
            problems.append(error)
        else:
            total += report
            on_report(report)
    _raise_problems(problems)
    return total


def _raise_problems(problems: Sequence[Problem]) -> None:
    """Raise an error that names all problems, if there are any: a transient one if one of them is, for a retry."""
    if len(problems) > 1:
        kinds: tuple[type[Problem], ...] = (StatementTimeoutError, SourceUnavailableError, SourceError)
        kind = next(kind for kind in kinds if any(isinstance(problem, kind) for problem in problems))
        raise kind(f"{len(problems)} files were not ingested: {'; '.join(map(str, problems))}")
    if problems:
        raise problems[0]
