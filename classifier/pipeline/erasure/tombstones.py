"""Leave erased articles out of an ingest, and out of the copies of rejected rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import SecretStr
from sqlalchemy import Connection

from classifier.articles import RejectedRow
from classifier.exceptions import SourceUnavailableError
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.validation import ValidatedChunk
from classifier.pipeline.erasure import digests
from classifier.pipeline.erasure.digests import Digests
from classifier.store import erasures

_ID_PREFIX = "id "
"""How feeds and queries begin the position of a row."""


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The erased articles, as they were when the unit's reading began; `digests` is None if there are none."""

    connection: Connection
    digests: Digests | None
    last_erasure: int

    def leave_out(self, chunk: ValidatedChunk) -> tuple[ValidatedChunk, int]:
        """Return the chunk without the rows of erased articles, and how many valid rows were left out."""
        if self.digests is None:
            return chunk, 0
        rows = chunk.rows
        keys = [
            (self.digests.of_article(source, external_id), self.digests.of_text(text))
            for source, external_id, text in zip(rows["source"], rows["external_id"], rows["fingerprint"], strict=True)
        ]
        rejected = [set(self._of_rejected(row)) for row in chunk.rejected]
        erased = erasures.erased(self.connection, [*(key for pair in keys for key in pair), *set().union(*rejected)])
        kept = [not erased.intersection(pair) for pair in keys]
        remaining = tuple(
            row for row, own in zip(chunk.rejected, rejected, strict=True) if not erased.intersection(own)
        )
        return replace(chunk, rows=rows[kept], rejected=remaining), kept.count(False)

    def check(self, name: str) -> None:
        """Check that nothing was erased since the unit's reading began. The caller holds the lock of the splits.

        Raises:
            SourceUnavailableError: articles were erased meanwhile.
        """
        if erasures.last_erasure(self.connection) != self.last_erasure:
            raise SourceUnavailableError(f"{name}: articles were erased while it was read; run it again")

    def _of_rejected(self, row: RejectedRow) -> Iterator[bytes]:
        """Yield the digests of every value that may be a rejected row's id or text."""
        assert self.digests is not None
        for value in values_of(row.position, row.row):
            yield self.digests.of_article(row.source, value.strip())
            yield self.digests.of_text(fingerprint(value))


def open_tombstones(connection: Connection, setting: SecretStr | None) -> Tombstones:
    """Return the erased articles. The caller's transaction reads committed rows, so `check` sees later erasures.

    Raises:
        SettingsError: the setting is not the key of the stored digests.
    """
    return Tombstones(connection, digests.find(connection, setting), erasures.last_erasure(connection))


def values_of(position: str, row: str) -> list[str]:
    """Return the values of a rejected row's copy; for a copy that was cut, only the id in its position."""
    values = [position.removeprefix(_ID_PREFIX)] if position.startswith(_ID_PREFIX) else []
    try:
        content = json.loads(row)
    except ValueError:
        return values
    cells = content.values() if isinstance(content, dict) else content if isinstance(content, list) else [content]
    return [*values, *(cell for cell in cells if isinstance(cell, str))]
