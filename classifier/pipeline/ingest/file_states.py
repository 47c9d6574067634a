"""What is known of files that were read before, so that an unchanged file is not read again."""

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
from classifier.store import ingest_runs, reads

TICK = timedelta(seconds=2)
"""A file that is changed twice within its clock's tick looks the same: a younger one is read to be sure."""


@dataclass(frozen=True, slots=True)
class FileStates:
    """The states of a run's files; `digest` is a SHA-256 of how they are read: another, and they are read again.

    With `dry` nothing is written.
    """

    run: IngestRun
    digest: bytes
    dry: bool = False

    def unread(self, file: SourceFile, *, anyway: bool = False) -> Callable[[Connection], None] | None:
        """Return what saves the file's state once it is read, None where it has been read as it is.

        The state is saved in the transaction of the file's rows, so a crash before that loses nothing. With `anyway`
        the file counts as unread.
        """
        stamp = object_store.read_stamp(file)
        seen = None if anyway else self._seen(object_store.file_url(file))
        if seen is not None and _untouched(seen, stamp):
            return None
        values = {"size": stamp.size, "modified_at": stamp.modified_at, "sha256": object_store.hash_file(file)}
        if seen is None or bytes(seen.sha256) != values["sha256"]:
            return partial(self._save_unchanged, file, stamp, values)
        if not self.dry:
            with self.run.database.begin() as connection:
                self._save(file, values, connection)
        return None

    def _seen(self, name: str) -> Any:
        with self.run.database.connect() as connection:
            seen = reads.source_state(connection, self.run.source, name)
        return seen if seen is not None and bytes(seen.config_sha256) == self.digest else None

    def _save_unchanged(
        self, file: SourceFile, stamp: object_store.FileStamp, values: Mapping[str, Any], connection: Connection
    ) -> None:
        if object_store.read_stamp(file) != stamp:
            raise SourceError(f"{file}: was changed while it was read; it is read again by the next run")
        self._save(file, values, connection)

    def _save(self, file: SourceFile, values: Mapping[str, Any], connection: Connection) -> None:
        state = {"config_sha256": self.digest, **values}
        ingest_runs.save_source_state(connection, self.run.source, object_store.file_url(file), state)


def _untouched(seen: Any, stamp: object_store.FileStamp) -> bool:
    if stamp.modified_at is None or (seen.size, seen.modified_at) != (stamp.size, stamp.modified_at):
        return False
    return bool(seen.seen_at - stamp.modified_at > TICK)
