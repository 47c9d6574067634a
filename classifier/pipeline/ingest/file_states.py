"""Store the state of each file that was read, so that an unchanged file is not read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from classifier.exceptions import SourceError
from classifier.ingest import object_store
from classifier.ingest.text_files import SourceFile
from classifier.pipeline.ingest.run_records import IngestRun
from classifier.store import source_states

CLOCK_TICK = timedelta(seconds=2)
"""Two changes within one tick of a file's clock show the same time. So a file that is younger than this is hashed."""


@dataclass(frozen=True, slots=True)
class FileStates:
    """The states of a run's files.

    `config_sha256` is the SHA-256 of how the files are read: a file that was read otherwise is read again. With
    `dry_run` nothing is written.
    """

    run: IngestRun
    config_sha256: bytes
    dry_run: bool = False

    def state_saver(self, file: SourceFile, *, force: bool = False) -> Callable[[Connection], None] | None:
        """Return a function that saves the file's state, or None if the file was read before and has not changed.

        The caller saves the state in the transaction of the file's rows, so a crash loses nothing. With `force` the
        file counts as unread.
        """
        stamp = object_store.read_stamp(file)
        stored = None if force else self._load(object_store.file_url(file))
        if stored is not None and _is_untouched(stored, stamp):
            return None
        state = {"size": stamp.size, "modified_at": stamp.modified_at, "sha256": object_store.hash_file(file)}
        if stored is None or bytes(stored.sha256) != state["sha256"]:
            return partial(self._save_if_unchanged, file, stamp, state)
        if not self.dry_run:
            with self.run.database.begin() as connection:
                self._save(file, state, connection)
        return None

    def _load(self, name: str) -> Any:
        with self.run.database.connect() as connection:
            stored = source_states.find(connection, self.run.source, name)
        return stored if stored is not None and bytes(stored.config_sha256) == self.config_sha256 else None

    def _save_if_unchanged(
        self, file: SourceFile, stamp: object_store.FileStamp, state: Mapping[str, Any], connection: Connection
    ) -> None:
        if object_store.read_stamp(file) != stamp:
            raise SourceError(f"{file}: changed while it was read; the next run reads it again")
        self._save(file, state, connection)

    def _save(self, file: SourceFile, state: Mapping[str, Any], connection: Connection) -> None:
        values = {"config_sha256": self.config_sha256, **state}
        source_states.save(connection, self.run.source, object_store.file_url(file), values)


def _is_untouched(stored: Any, stamp: object_store.FileStamp) -> bool:
    """Return whether a file's size and time show that it has not changed since its state was stored."""
    if stamp.modified_at is None or (stored.size, stored.modified_at) != (stamp.size, stamp.modified_at):
        return False
    return bool(stored.seen_at - stamp.modified_at > CLOCK_TICK)
