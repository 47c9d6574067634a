"""Find the unread units of a declared source: files, a feed's document, or the rows of a query."""

from __future__ import annotations

import glob
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from classifier.articles import Task
from classifier.exceptions import SourceError
from classifier.ingest import http_documents, object_store, readers
from classifier.ingest.database_queries import DatabaseQuery
from classifier.ingest.feeds import FeedOptions, FeedReader
from classifier.ingest.source_declarations import DeclaredSource, FeedSource, FilesSource, SqlSource
from classifier.ingest.text_files import SourceFile
from classifier.ingest.validation import DEFAULT_DATES
from classifier.ingest.watermarks import watermark_from_json, watermark_to_json
from classifier.pipeline.ingest import category_tasks
from classifier.pipeline.ingest.file_states import FileStates
from classifier.pipeline.ingest.run_records import IngestRun
from classifier.pipeline.ingest.unit_rules import UnitRules
from classifier.pipeline.ingest.units import FileReader, IngestUnit, Problem
from classifier.store import source_states

log = logging.getLogger(__name__)

Tasks = Mapping[str, Task]
"""The tasks of the fields that hold categories."""

ResolveUrl = Callable[[SqlSource], str]
"""Returns the URL of a query's database."""


@dataclass(frozen=True, slots=True)
class UnitDiscovery:
    """Finds the unread units of a source.

    If `reread` is set, it finds the units with these names instead, read or not. With `dry_run` it writes nothing.
    `problems` collects the errors of single files, which do not hide the other files.
    """

    run: IngestRun
    source: DeclaredSource
    resolve_url: ResolveUrl
    on_rows: Callable[[int], None] = lambda _: None
    reread: Collection[str] | None = None
    dry_run: bool = False
    problems: list[Problem] = field(default_factory=list)

    def find_units(self) -> Iterator[IngestUnit]:
        """Yield the unread units.

        Raises:
            SourceError: the source cannot be reached.
            TaskError: a task that a column is for does not exist, is archived, or must be named.
        """
        tasks = category_tasks.find_tasks(self.run.database, self.source.columns, task=self.source.task)
        match self.source:
            case FilesSource():
                yield from self._find_files(self.source, tasks)
            case FeedSource():
                yield from self._find_feed_document(self.source, tasks)
            case SqlSource():
                yield self._make_query_unit(self.source, tasks)

    def _find_files(self, source: FilesSource, tasks: Tasks) -> Iterator[IngestUnit]:
        states = FileStates(self.run, source.config_sha256, self.dry_run)
        for file in list_source_files(source):
            name = object_store.file_url(file)
            if self.reread is not None and name not in self.reread:
                continue
            try:
                save_state = states.state_saver(file, force=self.reread is not None)
            except SourceError as error:
                self.problems.append(error)
                continue
            if save_state is not None:
                reader = FileReader(file, source.columns, source.file_format)
                yield self._make_unit(name, reader, save_state, tasks, is_complete=True)

    def _find_feed_document(self, source: FeedSource, tasks: Tasks) -> Iterator[IngestUnit]:
        stored = self._load_state(source.url)
        validators = {"etag": stored.etag, "last_modified": stored.last_modified} if stored else {}
        document = http_documents.fetch(
            source.url, timeout_s=source.timeout_s, allow_private=source.allow_private, **validators
        )
        if document is None:
            return
        digest = hashlib.sha256(document.body).digest()
        state = {"sha256": digest, "etag": document.etag, "last_modified": document.last_modified}
        if stored and stored.sha256 is not None and bytes(stored.sha256) == digest:
            self._save_state_now(source.url, {**state, "shared_guids": stored.shared_guids})
            return
        lists = frozenset(field for field, task in tasks.items() if task.kind == "multi")
        guids = self._load_shared_guids(source.url)
        options = FeedOptions(source.columns, source.strip_tracking, guids, lists=lists)
        reader = FeedReader(document, options)

        def save_state(connection: Connection) -> None:
            self._save_state(source.url, {**state, "shared_guids": sorted(reader.shared_guids)}, connection)

        yield self._make_unit(source.url, reader.read, save_state, tasks, is_complete=False)

    def _make_query_unit(self, source: SqlSource, tasks: Tasks) -> IngestUnit:
        name = f"query of {source.name}"
        stored = self._load_state(name)
        after = watermark_from_json(stored.watermark) if stored else None
        query = DatabaseQuery(source, self.resolve_url(source), after, datetime.now(UTC))

        def save_state(connection: Connection) -> None:
            self._save_state(name, {"watermark": watermark_to_json(query.highest_watermark)}, connection)

        is_complete = stored is None or source.watermark is None
        return self._make_unit(name, query.read, save_state, tasks, is_complete=is_complete)

    def _make_unit(
        self, name: str, read: Any, save_state: Callable[[Connection], None], tasks: Tasks, *, is_complete: bool
    ) -> IngestUnit:
        source = self.source
        return IngestUnit(
            run=self.run,
            name=name,
            source=source.name,
            read=read,
            rules=self._make_rules(tasks),
            is_complete=is_complete,
            save_state=save_state,
            on_rows=self.on_rows,
        )

    def _make_rules(self, tasks: Tasks) -> UnitRules:
        source = self.source
        return UnitRules(
            source.max_rejected,
            source.split_proportions,
            source.min_rejected_rows,
            source.zone,
            source.file_format.dates if isinstance(source, FilesSource) else DEFAULT_DATES,
            source.category_rules(tasks),
        )

    def _load_state(self, name: str) -> Any:
        """Return the stored state of a unit, or None if the unit must be read anyway."""
        if self.reread is not None:
            return None
        with self.run.database.connect() as connection:
            stored = source_states.find(connection, self.source.name, name)
        return stored if stored is not None and bytes(stored.config_sha256) == self.source.config_sha256 else None

    def _load_shared_guids(self, name: str) -> frozenset[str]:
        """Return the guids that are known to be no ids, whatever the source's columns were."""
        with self.run.database.connect() as connection:
            stored = source_states.find(connection, self.source.name, name)
        return frozenset(stored.shared_guids or ()) if stored is not None else frozenset()

    def _save_state(self, name: str, state: Mapping[str, Any], connection: Connection) -> None:
        values = {"config_sha256": self.source.config_sha256, **state}
        source_states.save(connection, self.source.name, name, values)

    def _save_state_now(self, name: str, state: Mapping[str, Any]) -> None:
        if self.dry_run:
            return
        with self.run.database.begin() as connection:
            self._save_state(name, state, connection)


def list_source_files(source: FilesSource) -> list[SourceFile]:
    """Return the files of a source. A glob may match no file yet, if its folder exists.

    Raises:
        SourceError: the file or the folder was not found.
    """
    if files := readers.find_files(source.files):
        return files
    parts = Path(source.files).parts
    plain = [part for part in parts if not glob.has_magic(part)]
    is_glob = len(plain) < len(parts)
    if is_glob and (object_store.is_url(source.files) or Path(*takewhile(plain.__contains__, parts)).is_dir()):
        return []
    return readers.expand_pattern(source.files)  # raises the error that says what was not found
