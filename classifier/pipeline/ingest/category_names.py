"""Warn of categories that look the same to a reader but are several categories to a model."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from classifier import names
from classifier.ingest.validation import ValidatedChunk
from classifier.store import model_rows, reviews

log = logging.getLogger(__name__)

MAX_NAMES = 10_000
"""The number of categories that are compared. A column with more values does not hold categories."""

_MAX_SHOWN = 10


class CategoryNames:
    """The categories of a unit: the stored names, and the names that were normalized."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._renamed: dict[str, str] = {}

    def add(self, chunk: ValidatedChunk) -> None:
        """Add the categories of a chunk's rows."""
        if len(self._names) < MAX_NAMES:
            self._names.update(filter(None, chunk.rows["category"]))
        if len(self._renamed) < _MAX_SHOWN:
            self._renamed.update(chunk.renamed)

    def warn(self, connection: Connection, unit: str) -> None:
        """Log the names that were normalized, and those that look alike, in the unit or in the database."""
        if self._renamed:
            pairs = (f"{original!a} as {stored!a}" for original, stored in self._renamed.items())
            log.warning("%s: categories are stored without invisible differences: %s", unit, _join(pairs))
        groups = names.look_alikes(self._names, _known_categories(connection)) if self._names else []
        if groups:
            log.warning(
                "%s: categories differ only by case, white space or invisible characters: %s; write each category in "
                "one way, or models learn several",
                unit,
                _join(" and ".join(map(repr, group)) for group in groups),
            )


def _known_categories(connection: Connection) -> set[str]:
    champion = model_rows.champion(connection)
    return {*reviews.annotated_categories(connection, MAX_NAMES), *(champion.categories if champion else ())}


def _join(parts: Iterable[str]) -> str:
    items = list(parts)
    more = len(items) - _MAX_SHOWN
    return "; ".join(items[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
