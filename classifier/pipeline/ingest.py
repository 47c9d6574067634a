"""Take articles in: every file of a path or glob, each in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from sqlalchemy import Connection

from classifier.exceptions import TooManyRejectedError
from classifier.ingest import sources
from classifier.ingest.ahead import one_ahead
from classifier.ingest.sources import Columns
from classifier.ingest.splits import Proportions
from classifier.ingest.validation import Chunk, validate
from classifier.pipeline.near_duplicates import Dealer, sign
from classifier.pipeline.use_case import use_case
from classifier.store import writes
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_REJECTED = 0.05
"""The share of a file's rows that may be bad before none of them is taken in."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was read, and what it changed.

    `read` counts rows; `rejected` of them were bad and `repeated` were superseded by a later row of the
    same id. The others are articles: `new`, `changed` (another text than before) or `unchanged`.
    """

    files: int = 0
    read: int = 0
    rejected: int = 0
    repeated: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    annotations: int = 0
    enqueued: int = 0

    def __add__(self, other: Ingested) -> Ingested:
        """Add up two reports."""
        return Ingested(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@use_case
def run(
    workspace: Workspace,
    pattern: str,
    columns: Columns,
    *,
    source: str | None = None,
    proportions: Proportions | None = None,
    max_rejected: float = MAX_REJECTED,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Ingested:
    """Ingest the files of a path or glob; a file is taken in whole or not at all.

    `source` names the files' source; without one each file is its own, named by its stem. `on_rows` is
    told how many rows each chunk had.

    Raises:
        SourceError: a file cannot be read; the files before it are in.
        TooManyRejectedError: more than `max_rejected` of a file's rows are bad.
    """
    total = Ingested()
    for path in sources.expand(pattern):
        one = _File(workspace, path, columns, source or stem(path), proportions or Proportions(), on_rows)
        total += one.ingest(max_rejected)
    return total


def stem(path: Path) -> str:
    """Return a file's name without its endings: "bbc" for bbc.csv.gz."""
    return path.name.split(".")[0] or path.name


@dataclass(frozen=True, slots=True)
class _File:
    workspace: Workspace
    path: Path
    columns: Columns
    source: str
    proportions: Proportions
    on_rows: Callable[[int], None]

    def ingest(self, max_rejected: float) -> Ingested:
        with self.workspace.database.begin() as connection:
            writes.stage_articles(connection)
            read, rejected, staged = self._stage(connection)
            if rejected > max_rejected * read:
                connection.rollback()
            else:
                merged = writes.merge_articles(connection)
        if rejected > max_rejected * read:
            self._keep_rejected_only()
            raise TooManyRejectedError(
                f"{self.path}: {rejected} of {read} rows are bad, more than {max_rejected:.0%}: nothing was taken in; "
                "the reasons are in the table rejected_rows"
            )
        log.info("ingested %s", self.path.name, extra={"rows": read, "rejected": rejected})
        return Ingested(
            files=1,
            read=read,
            rejected=rejected,
            repeated=staged - merged.articles,
            new=merged.new,
            changed=merged.changed,
            unchanged=merged.articles - merged.new - merged.changed,
            annotations=merged.annotations,
            enqueued=merged.enqueued,
        )

    def _stage(self, connection: Connection) -> tuple[int, int, int]:
        """COPY every good row into the staging table and keep every bad one; return the counts."""
        rejected = staged = 0
        dealer = Dealer(connection, self.workspace.settings.split_key, self.proportions)
        dealer.begin()
        with ThreadPoolExecutor(1) as pool:
            for chunk in one_ahead(self._chunks()):
                self.on_rows(len(chunk.rows) + len(chunk.rejected))
                if len(chunk.rows):
                    rows = chunk.rows.rename(columns={"split": "own_split"})
                    undecided = dealer.undecided(rows)
                    copied = pool.submit(writes.copy_articles, connection, rows)
                    signed = sign(undecided)  # while Postgres reads the rows
                    copied.result()
                    dealer.place(signed)
                writes.reject(connection, chunk.rejected)
                staged, rejected = staged + len(chunk.rows), rejected + len(chunk.rejected)
        return staged + rejected, rejected, staged

    def _keep_rejected_only(self) -> None:
        with self.workspace.database.begin() as connection:
            for chunk in self._chunks():
                self.on_rows(len(chunk.rows) + len(chunk.rejected))
                writes.reject(connection, chunk.rejected)

    def _chunks(self) -> Iterator[Chunk]:
        for raw in sources.read(self.path, self.columns):
            yield validate(raw, default_source=self.source)
