"""Warn of categories that a reader takes for one and a model for several."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from classifier import names
from classifier.ingest.validation import ValidatedChunk
from classifier.store import reads, reviews

log = logging.getLogger(__name__)

MAX_NAMES = 10_000
"""So many categories are compared: more are no categories, but a column of something else."""

_SHOWN = 10


class CategoryNames:
    """The categories that a unit brings, in the form in which they are stored, and how some of them came in."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._renamed: dict[str, str] = {}

    def add(self, chunk: ValidatedChunk) -> None:
        """Note the categories of a chunk's rows."""
        if len(self._names) < MAX_NAMES:
            self._names.update(filter(None, chunk.rows["category"]))
        if len(self._renamed) < _SHOWN:
            self._renamed.update(chunk.renamed)

    def warn(self, connection: Connection, unit: str) -> None:
        """Log what is stored in another form, and what looks alike, here or in the database."""
        if self._renamed:
            pairs = (f"{came!a} as {stored!a}" for came, stored in self._renamed.items())
            log.warning("%s: categories are stored without invisible differences: %s", unit, _listed(pairs))
        groups = names.look_alikes(self._names, _known(connection)) if self._names else []
        if groups:
            log.warning(
                "%s: categories differ by case, white space or invisible characters only: %s; write each in one way, "
                "or models are trained on several",
                unit,
                _listed(" and ".join(map(repr, group)) for group in groups),
            )


def _known(connection: Connection) -> set[str]:
    champion = reads.champion(connection)
    return {*reviews.annotated_categories(connection, MAX_NAMES), *(champion.categories if champion else ())}


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    more = len(every) - _SHOWN
    return "; ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
