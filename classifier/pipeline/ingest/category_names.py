"""Warn of categories that look the same to a reader but are several categories to a model.

Each task has categories of its own, so the same name may be a category of two tasks.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from classifier import names
from classifier.articles import Task
from classifier.ingest.category_values import category_names
from classifier.ingest.columns import category_fields
from classifier.ingest.validation import ValidatedChunk
from classifier.plurals import plural, verb
from classifier.store import category_rows, model_rows, reviews, task_rows

log = logging.getLogger(__name__)

MAX_NAMES = 10_000
"""The number of categories that are compared. A column with more values does not hold categories."""

_MAX_SHOWN = 10


class CategoryNames:
    """The categories of a unit: the stored names, and the names that were normalized."""

    def __init__(self) -> None:
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._renamed: dict[str, str] = {}
        self._repeated = 0

    def add(self, chunk: ValidatedChunk) -> None:
        """Add the categories of a chunk's rows."""
        for field in category_fields(chunk.rows):
            if len(self._names[field]) < MAX_NAMES:
                cells = chunk.rows[field].tolist()
                self._names[field].update(name for cell in cells if cell for name in category_names(cell))
        self._repeated += chunk.repeated
        if len(self._renamed) < _MAX_SHOWN:
            self._renamed.update(chunk.renamed)

    def warn(self, connection: Connection, unit: str, tasks: Mapping[str, Task]) -> None:
        """Log the names that were normalized, and those that look alike, in the unit or in the database.

        `tasks` are the tasks of the fields that hold categories; another field belongs to the connection's task.
        """
        if self._renamed:
            pairs = (f"{original!a} as {stored!a}" for original, stored in self._renamed.items())
            log.warning("%s: categories are stored without invisible differences: %s", unit, _join(pairs))
        if self._repeated:
            log.warning(
                "%s: %s a category twice; it counts once",
                unit,
                f"{plural(self._repeated, 'row')} {verb(self._repeated, 'has', 'have')}",
            )
        for field, own in self._names.items():
            task = (tasks.get(field) or task_rows.current(connection)) if own else None
            groups = _look_alikes(connection, own, task.id) if task else []
            if not groups:
                continue
            log.warning(
                "%s: categories differ only by case, white space or invisible characters: %s; write each category in "
                "one way, or models learn several",
                unit,
                _join(" and ".join(map(repr, group)) for group in groups),
            )


def _look_alikes(connection: Connection, own: set[str], task_id: int) -> list[tuple[str, ...]]:
    """Return the groups of names of today, of the unit and in the database, that look alike."""
    champion = model_rows.champion(connection, task_id)
    taxonomy = category_rows.taxonomy(connection, task_id)
    annotated = map(taxonomy.present, reviews.annotated_categories(connection, MAX_NAMES, task_id))
    existing = {*annotated, *(champion.present_categories if champion else ())}
    return names.look_alikes(map(taxonomy.present, own), existing)


def _join(parts: Iterable[str]) -> str:
    items = list(parts)
    more = len(items) - _MAX_SHOWN
    return "; ".join(items[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
