"""What is known of files that were read before, so that an unchanged file is not read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from classifier.exceptions import SourceError
from classifier.ingest import stored
from classifier.ingest.files import File
from classifier.pipeline.runs import Run
from classifier.store import bookkeeping, reads

TICK = timedelta(seconds=2)
"""A file that is changed twice within its clock's tick looks the same: a younger one is read to be sure."""


@dataclass(frozen=True, slots=True)
class FileStates:
    """The states of a run's files; `digest` is a SHA-256 of how they are read: another, and they are read again.

    With `dry` nothing is written.
    """

    run: Run
    digest: bytes
    dry: bool = False

    def unread(self, file: File, *, anyway: bool = False) -> Callable[[Connection], None] | None:
        """Return what saves the file's state once it is read, None where it has been read as it is.

        The state is saved in the transaction of the file's rows, so a crash before that loses nothing. With `anyway`
        the file counts as unread.
        """
        stamp = stored.stamp(file)
        seen = None if anyway else self._seen(stored.address(file))
        if seen is not None and _untouched(seen, stamp):
            return None
        values = {"size": stamp.size, "modified_at": stamp.modified_at, "sha256": stored.sha256(file)}
        if seen is None or bytes(seen.sha256) != values["sha256"]:
            return partial(self._save_unchanged, file, stamp, values)
        if not self.dry:
            with self.run.database.begin() as connection:
                self._save(file, values, connection)
        return None

    def _seen(self, name: str) -> Any:
        with self.run.database.connect() as connection:
            seen = reads.source_state(connection, self.run.source, name)
        return seen if seen is not None and bytes(seen.mapping) == self.digest else None

    def _save_unchanged(
        self, file: File, stamp: stored.Stamp, values: Mapping[str, Any], connection: Connection
    ) -> None:
        if stored.stamp(file) != stamp:
            raise SourceError(f"{file}: was changed while it was read; it is read again by the next run")
        self._save(file, values, connection)

    def _save(self, file: File, values: Mapping[str, Any], connection: Connection) -> None:
        state = {"mapping": self.digest, **values}
        bookkeeping.remember(connection, self.run.source, stored.address(file), state)


def _untouched(seen: Any, stamp: stored.Stamp) -> bool:
    if stamp.modified_at is None or (seen.size, seen.modified_at) != (stamp.size, stamp.modified_at):
        return False
    return bool(seen.seen_at - stamp.modified_at > TICK)
