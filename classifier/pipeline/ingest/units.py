"""Take articles in, a unit in one transaction: a file, a feed's document, or what a query brings."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, tzinfo
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from classifier.exceptions import SourceError, SourceUnavailableError, StatementTimeoutError, TooManyRejectedError
from classifier.ingest import object_store, readers
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.prefetch import prefetch_one
from classifier.ingest.splits import Proportions
from classifier.ingest.text_files import SourceFile
from classifier.ingest.validation import MAX_LENGTHS, ValidatedChunk, validate_chunk
from classifier.names import shortened
from classifier.pipeline.ingest import kept_annotations, run_records
from classifier.pipeline.ingest.category_names import CategoryNames
from classifier.pipeline.ingest.split_assignment import SplitAssigner, TextSigner
from classifier.pipeline.use_case import use_case
from classifier.store import connections, ingest_runs, near_duplicate_clusters, staging, writes
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_REJECTED = 0.05
"""The share of a unit's rows that may be bad before none of them is taken in."""

MAX_UNIT_NAME_BYTES = 1700
"""With a source's name an address fits in one entry of a Postgres index, 2,704 bytes."""


Problem = SourceError | StatementTimeoutError
"""Why a unit was not taken in, where the others still may be."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was read, and what it changed.

    `read` counts rows; `rejected` of them were bad and `duplicates` were superseded by a later row of the
    same id. The others are articles: `new`, `changed` (another text than before) or `unchanged`.
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

    def __add__(self, other: IngestReport) -> IngestReport:
        """Add up two reports."""
        return IngestReport(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@use_case
def ingest_files(
    workspace: Workspace,
    pattern: str,
    columns: Columns,
    *,
    source: str | None = None,
    proportions: Proportions | None = None,
    max_rejected: float = MAX_REJECTED,
    encoding: str = "utf-8",
    on_rows: Callable[[int], None] = lambda _: None,
) -> IngestReport:
    """Ingest the files of a path or glob; a file is taken in whole or not at all.

    `source` names the files' source; without one each file is its own, named by its stem. `on_rows` is
    told how many rows each chunk had.

    Raises:
        SourceError: a file cannot be read; the files before it are in.
        TooManyRejectedError: more than `max_rejected` of a file's rows are bad.
    """
    options = IngestOptions(columns, source, proportions or Proportions(), max_rejected, encoding)
    total = IngestReport()
    with run_records.record_run(workspace, source or pattern, "files", options.to_json()) as recorded:
        for path in readers.expand_pattern(pattern):
            total += make_file_unit(recorded, path, options, on_rows).ingest()
    return total


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How files are read that no source declares; kept with their run, so that they can be read again."""

    columns: Columns
    source: str | None
    proportions: Proportions
    max_rejected: float
    encoding: str

    def to_json(self) -> dict[str, Any]:
        """Return them as the database keeps them."""
        return asdict(self)

    @property
    def digest(self) -> bytes:
        """A SHA-256 of how rows are made of what is read: another, and everything is read again."""
        how = {"columns": asdict(self.columns), "source": self.source, "encoding": self.encoding}
        return sha256(json.dumps(how).encode()).digest()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> IngestOptions:
        """Return what `to_json` wrote."""
        columns, shares = Columns(**values["columns"]), Proportions(**values["proportions"])
        return cls(columns, values["source"], shares, values["max_rejected"], values["encoding"])


def make_file_unit(
    run: run_records.IngestRun,
    path: SourceFile,
    options: IngestOptions,
    on_rows: Callable[[int], None] = lambda _: None,
    *,
    remember: Callable[[Connection], None] = lambda _: None,
) -> IngestUnit:
    """Return a file as a unit to take in.

    Raises:
        SourceError: the source's name, or the file's address, is too long to be kept.
    """
    source = options.source or file_stem(path)
    if len(source) > MAX_LENGTHS["source"]:
        given = "its name" if options.source is None else f"the source's name {source[:40]!r}…"
        raise SourceError(
            f"{shortened(str(path), 300)}: {given} is longer than {MAX_LENGTHS['source']} characters; "
            "name the source with --source-name"
        )
    return IngestUnit(
        run=run,
        name=object_store.file_url(path),
        source=source,
        read=FileReader(path, options.columns, options.encoding),
        max_rejected=options.max_rejected,
        proportions=options.proportions,
        remember=remember,
        on_rows=on_rows,
    )


def file_stem(path: SourceFile) -> str:
    """Return a file's name without its endings: "bbc" for bbc.csv.gz."""
    return path.name.split(".")[0] or path.name


@dataclass(frozen=True, slots=True)
class FileReader:
    """A file, and how it is read."""

    path: SourceFile
    columns: Columns
    encoding: str

    def __call__(self) -> Iterator[RawChunk]:
        """Read it, from the beginning each time."""
        return readers.read_file(self.path, self.columns, encoding=self.encoding)


@dataclass(frozen=True, slots=True)
class IngestUnit:
    """What is taken in whole or not at all.

    `name` is its address. `whole` says that a reading shows all of it, as a file's does and a feed's does
    not. `min_rejected_rows` bad rows are borne whatever their share. `remember` writes what has been read, in the
    transaction of the rows.
    """

    run: run_records.IngestRun
    name: str
    source: str
    read: Callable[[], Iterator[RawChunk]]
    max_rejected: float
    proportions: Proportions
    min_rejected_rows: int = 0
    zone: tzinfo = UTC
    whole: bool = True
    remember: Callable[[Connection], None] = lambda _: None
    on_rows: Callable[[int], None] = lambda _: None

    def ingest(self) -> IngestReport:
        """Take it in.

        Raises:
            TooManyRejectedError: too many of its rows are bad; they are kept with their reasons.
        """
        if len(self.name.encode("utf-8", "surrogatepass")) > MAX_UNIT_NAME_BYTES:
            raise SourceError(
                f"{shortened(self.name, 300)}: its address is longer than {MAX_UNIT_NAME_BYTES} bytes, and what was read "
                "cannot be kept under it; move it"
            )
        with self.run.database.begin() as connection:
            writes.stage_articles(connection)
            categories = CategoryNames()
            read, rejected, staged = self._stage(connection, categories)
            # the first lock that other ingests need: nothing is read any more
            near_duplicate_clusters.wait_for_other_ingests(connection, self.run.source)
            ingest_runs.keep_rejected(connection, run_id=self.run.id, unit=self.name)
            if refused := self._refuses(read, rejected):
                counts = {"files": 1, "read": read, "rejected": rejected}
                ingest_runs.add_to_run(connection, self.run.id, counts)
            else:
                done = self._merge(connection, read, rejected, staged)
                categories.warn(connection, self.name)
        if refused:
            raise TooManyRejectedError(
                f"{self.name}: {rejected} of {read} rows are bad, more than {self.max_rejected:.0%}: nothing was taken "
                "in; see: classifier rejected"
            )
        log.info("ingested %s", self.name, extra={"rows": read, "rejected": rejected})
        return done

    def _merge(self, connection: Connection, read: int, rejected: int, staged: int) -> IngestReport:
        """Merge what is staged, and write down in the same transaction what that did."""
        SplitAssigner(connection, self.run.split_key, self.proportions).decide_staged()
        kept_annotations.record_small_changes(connection)
        merged = writes.merge_articles(connection)
        done = IngestReport(
            files=1,
            read=read,
            rejected=rejected,
            duplicates=staged - merged.articles,
            new=merged.new,
            changed=merged.changed,
            unchanged=merged.articles - merged.new - merged.changed,
            annotations=merged.annotations,
            enqueued=merged.enqueued,
        )
        ingest_runs.delete_resolved(connection, self.run.source, self.name, whole=self.whole)
        ingest_runs.add_to_run(connection, self.run.id, asdict(done))
        self.remember(connection)
        return done

    def _refuses(self, read: int, rejected: int) -> bool:
        if rejected <= self.max_rejected * read:
            return False
        return rejected > self.min_rejected_rows or rejected == read

    def _stage(self, connection: Connection, categories: CategoryNames) -> tuple[int, int, int]:
        """COPY every row into the staging tables, good or bad; return the counts of all, bad and good ones."""
        rejected = staged = 0
        with TextSigner(connection) as signer:
            for chunk in prefetch_one(self.chunks()):
                if len(chunk.rows):
                    rows = chunk.rows.rename(columns={"split": "own_split"})
                    categories.add(chunk)
                    signer.add(rows)
                    writes.copy_articles(connection, rows)
                self.on_rows(len(chunk.rows) + len(chunk.rejected))
                staging.copy_rejected(connection, chunk.rejected)
                staged, rejected = staged + len(chunk.rows), rejected + len(chunk.rejected)
        return staged + rejected, rejected, staged

    def chunks(self) -> Iterator[ValidatedChunk]:
        """Read it and validate it, a chunk at a time."""
        for raw in self.read():
            yield validate_chunk(raw, default_source=self.source, zone=self.zone)


def ingest_units(units: Iterable[IngestUnit], problems: list[Problem]) -> IngestReport:
    """Ingest units; one that fails does not stop the others. What lists the units may add to the problems.

    Raises:
        SourceError: there were problems; the other units are in.
        StatementTimeoutError: there were problems, and one of them is a statement that took too long.
    """
    total = IngestReport()
    for unit in units:
        try:
            with connections.translated(unit.run.database):
                total += unit.ingest()
        except (SourceError, StatementTimeoutError) as error:
            problems.append(error)
    if len(problems) > 1:
        raise _kind(problems)(f"{len(problems)} of its files were not taken in: {'; '.join(map(str, problems))}")
    if problems:
        raise problems[0]
    return total


def _kind(problems: Iterable[Problem]) -> type[Problem]:
    """Return the error that stands for several problems: if one of them may pass by itself, a retry is worth it."""
    for kind in (StatementTimeoutError, SourceUnavailableError):
        if any(isinstance(one, kind) for one in problems):
            return kind
    return SourceError
