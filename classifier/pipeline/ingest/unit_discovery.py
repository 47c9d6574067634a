"""Find what of a declared source has not been read yet, as the units that are taken in."""

from __future__ import annotations

import glob
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from classifier.exceptions import SourceError
from classifier.ingest import feeds, http_documents, object_store, readers
from classifier.ingest.database_queries import DatabaseQuery, watermark_from_json, watermark_to_json
from classifier.ingest.source_declarations import DeclaredSource, FeedSource, FilesSource, SqlSource
from classifier.ingest.text_files import SourceFile
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.run_records import IngestRun
from classifier.pipeline.ingest.units import FileReader, IngestUnit, Problem
from classifier.store import ingest_runs, reads

log = logging.getLogger(__name__)

ResolveUrl = Callable[[SqlSource], str]
"""Returns the URL of a query's database."""


@dataclass(frozen=True, slots=True)
class UnitDiscovery:
    """Finds the unread units of a source. `again` finds those of the given names, read or not.

    With `dry` it writes nothing. `problems` has a file that cannot be looked at: it does not hide the others.
    """

    run: IngestRun
    source: DeclaredSource
    resolve: ResolveUrl
    on_rows: Callable[[int], None] = lambda _: None
    again: Collection[str] | None = None
    dry: bool = False
    problems: list[Problem] = field(default_factory=list)

    def units(self) -> Iterator[IngestUnit]:
        """Yield them; what has been read is skipped here, at its own cost.

        Raises:
            SourceError: the source cannot be reached.
        """
        match self.source:
            case FilesSource():
                yield from self._files(self.source)
            case FeedSource():
                yield from self._feed(self.source)
            case SqlSource():
                yield self._query(self.source)

    def _files(self, source: FilesSource) -> Iterator[IngestUnit]:
        states = FileStates(self.run, source.digest, self.dry)
        for file in list_source_files(source):
            name = object_store.file_url(file)
            if self.again is not None and name not in self.again:
                continue
            try:
                remember = states.unread(file, anyway=self.again is not None)
            except SourceError as error:
                self.problems.append(error)
                continue
            if remember is not None:
                yield self._unit(name, FileReader(file, source.columns, source.encoding), remember, whole=True)

    def _feed(self, source: FeedSource) -> Iterator[IngestUnit]:
        seen = self._seen(source.url)
        known = {"etag": seen.etag, "last_modified": seen.last_modified} if seen else {}
        document = http_documents.fetch(
            source.url, timeout_s=source.timeout_s, allow_private=source.allow_private, **known
        )
        if document is None:
            return
        digest = hashlib.sha256(document.body).digest()
        values = {"sha256": digest, "etag": document.etag, "last_modified": document.last_modified}
        if seen and seen.sha256 is not None and bytes(seen.sha256) == digest:
            self._remember_alone(source.url, values)
            return
        remember = partial(self._remember, source.url, values)
        yield self._unit(source.url, lambda: feeds.read_feed(document, source.columns), remember, whole=False)

    def _query(self, source: SqlSource) -> IngestUnit:
        name = f"query of {source.name}"
        seen = self._seen(name)
        query = DatabaseQuery(
            source, self.resolve(source), watermark_from_json(seen.watermark) if seen else None, datetime.now(UTC)
        )

        def remember(connection: Connection) -> None:
            self._remember(name, {"watermark": watermark_to_json(query.reached)}, connection)

        return self._unit(name, query.read, remember, whole=seen is None or source.watermark is None)

    def _unit(self, name: str, read: Any, remember: Callable[[Connection], None], *, whole: bool) -> IngestUnit:
        declared = self.source
        return IngestUnit(
            run=self.run,
            name=name,
            source=declared.name,
            read=read,
            max_rejected=declared.max_rejected,
            proportions=declared.shares,
            min_rejected_rows=declared.min_rejected_rows,
            zone=declared.zone,
            whole=whole,
            remember=remember,
            on_rows=self.on_rows,
        )

    def _seen(self, name: str) -> Any:
        """Return what has been read of a unit, None where that does not count any more."""
        if self.again is not None:
            return None
        with self.run.database.connect() as connection:
            seen = reads.source_state(connection, self.source.name, name)
        return seen if seen is not None and bytes(seen.config_sha256) == self.source.digest else None

    def _remember(self, name: str, values: Mapping[str, Any], connection: Connection) -> None:
        ingest_runs.save_source_state(
            connection, self.source.name, name, {"config_sha256": self.source.digest, **values}
        )

    def _remember_alone(self, name: str, values: Mapping[str, Any]) -> None:
        if self.dry:
            return
        with self.run.database.begin() as connection:
            self._remember(name, values, connection)


def list_source_files(source: FilesSource) -> list[SourceFile]:
    """Return the files of a source; a glob whose folder is there may have none yet.

    Raises:
        SourceError: there is no such file, or no such folder.
    """
    if found := readers.find_files(source.files):
        return found
    parts = Path(source.files).parts
    plain = [part for part in parts if not glob.has_magic(part)]
    is_glob = len(plain) < len(parts)
    if is_glob and (object_store.is_url(source.files) or Path(*takewhile(plain.__contains__, parts)).is_dir()):
        return []
    return readers.expand_pattern(source.files)  # which says what is missing
