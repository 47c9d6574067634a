"""Label a table of somebody else's database, page by page: take, read, label, write, in one transaction each.

Whatever is killed leaves whole pages. No transaction spans that database and ours, so the champion is
asked for after each page was read: a model that is no longer champion stops before it can replace labels
of the new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from classifier.articles import Model
from classifier.exceptions import SourceUnavailableError, TableError
from classifier.external_table import statements
from classifier.external_table.statements import Key, Label, Pair, RowsClaimedError, Span, TextRow
from classifier.inference import bisection
from classifier.inference.bisection import TextLabeller
from classifier.store import connections, external_databases, model_rows, urls

_CHARACTERS = 16 * 2**20  # of a page's texts that are in memory, and one text more

_ATTEMPTS = 10
"""Times that a page is tried which somebody else keeps writing, and that stays as it is, before it is an error."""


@dataclass(frozen=True, slots=True)
class ExternalConnection:
    """Their database, with one line for whatever is wrong with it; `name` is what is asked of it."""

    database: Engine
    name: str

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[Connection]:
        """Open a transaction; `options` are a connection's.

        Raises:
            SourceUnavailableError: the database does not answer.
            TableError: it refuses what it is asked.
        """
        try:
            with self.database.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            line = external_databases.first_line(error)
            if external_databases.is_unreachable(error):
                address = urls.redacted(self.database.url)
                raise SourceUnavailableError(f"{address}: the database does not answer ({line})") from error
            raise TableError(f"{self.name}: {line}{external_databases.advice(error)}") from error


@dataclass(frozen=True, slots=True)
class ExternalTableProgress:
    """What a worker did. `replaced` says that it stopped because its model is no longer champion."""

    labelled: int = 0
    dead: int = 0
    seconds: float = 0.0
    replaced: bool = False

    @property
    def rows(self) -> int:
        """All that got a label, or the reason why they have none."""
        return self.labelled + self.dead


@dataclass(frozen=True, slots=True)
class _Page:
    """The keys of a page, in order, and what came of it; without keys there is nothing more.

    `missed` says that another worker holds them, `error` that it wrote them first.
    """

    keys: Sequence[Key]
    looked_at: int = 0
    labelled: int = 0
    dead: int = 0
    missed: bool = False
    error: RowsClaimedError | None = None


@dataclass(frozen=True, slots=True)
class ExternalTableWorker:
    """One model at work on one table; with `refresh` it looks at rows that have their label, too."""

    ours: Engine
    theirs: ExternalConnection
    pair: Pair
    model: Model
    labels: TextLabeller
    refresh: bool = False
    page_size: int = 512

    def waiting(self) -> int:
        """Count the rows to look at."""
        with self.theirs.transaction() as connection:
            return statements.count_unlabelled(connection, self.pair, self._span(None))

    def work(
        self, *, limit: int | None = None, on_page: Callable[[int], None] = lambda _: None
    ) -> ExternalTableProgress:
        """Label until nothing is left, `limit` rows are done, or the model is no longer the champion.

        Pages that another worker holds are passed over, and looked at again at the end, in case it died.
        `on_page` is told how many rows each committed page had.
        """
        started, done = time.monotonic(), ExternalTableProgress()
        after, wait = None, False
        missed: list[Key] = []  # where the first page of another worker begins
        while limit is None or done.rows < limit:
            rest = self.page_size if limit is None else min(self.page_size, limit - done.rows)
            page = self._page(after, rest, wait=wait)
            if page is None or not (page.keys or missed):
                return ExternalTableProgress(
                    done.labelled, done.dead, time.monotonic() - started, replaced=page is None
                )
            if not page.keys:
                after, wait, missed = missed[0], True, []
                continue
            if page.missed and not missed:
                missed = [after]
            done = ExternalTableProgress(done.labelled + page.labelled, done.dead + page.dead)
            on_page(page.looked_at)
            after = page.keys[-1]
        return ExternalTableProgress(done.labelled, done.dead, time.monotonic() - started)

    def _page(self, after: Key, size: int, *, wait: bool) -> _Page | None:
        """Label the page above a key; None if the model turned out not to be the champion any more."""
        tried: Sequence[Key] = ()
        times = 0
        while True:
            page = self._try(after, size, wait=wait)
            if page is None or page.error is None:
                return page
            times = times + 1 if page.keys == tried else 0
            tried = page.keys
            if times == _ATTEMPTS:
                reason = external_databases.first_line(page.error.__cause__ or page.error)
                raise TableError(f"{self.pair.labels.fullname}: labels cannot be written ({reason})") from page.error

    def _try(self, after: Key, size: int, *, wait: bool) -> _Page | None:
        keys: list[Key] = []
        try:
            with self.theirs.transaction() as connection:
                keys = statements.next_keys(connection, self.pair, self._span(after), size)
                if not keys:
                    return _Page(keys)
                if not statements.claim_rows(connection, self.pair, keys[0], wait=wait):
                    return _Page(keys, missed=True)
                rows = statements.read_rows(connection, self.pair, keys, self._span(after))
                if not self._is_champion():  # asked after the read, which saw all labels of former champions
                    return None
                looked_at, labels = 0, list[Label]()
                for some in _in_parts(rows):
                    looked_at += len(some)
                    labels += self._labels([row for row in some if self._is_due(row)])
                statements.write_labels(connection, self.pair, self.model.name, labels)
        except RowsClaimedError as error:
            return _Page(keys, error=error)
        dead = sum(label.error is not None for label in labels)
        return _Page(keys, looked_at, len(labels) - dead, dead)

    def _span(self, after: Key) -> Span:
        return Span(self.model.name, after, all=self.refresh)

    def _is_champion(self) -> bool:
        with connections.translate_errors(self.ours), self.ours.connect() as connection:
            return model_rows.is_champion(connection, self.model.id)

    def _is_due(self, row: TextRow) -> bool:
        return row.model != self.model.name or row.text_hash != statements.text_hash(row.text)

    def _labels(self, rows: Sequence[TextRow]) -> list[Label]:
        """Label rows, in their order; what has no text, or breaks the model, gets the reason instead."""
        outcomes: dict[Key, NDArray[np.float32] | str] = {
            row.key: reason for row in rows if (reason := _unusable(row.text)) is not None
        }
        if usable := [row for row in rows if row.key not in outcomes]:
            found = bisection.label(self.labels, usable)
            outcomes |= {one.article.key: one.reason for one in found.broken}
            outcomes |= {row.key: values for row, values in zip(found.articles, found.probabilities, strict=True)}
        return [self._label(row, outcomes[row.key]) for row in rows]

    def _label(self, row: TextRow, found: NDArray[np.float32] | str) -> Label:
        if isinstance(found, str):
            return Label(_written(row), None, None, None, found)
        values = [float(str(value)) for value in found]  # the shortest numbers that stand for these bits
        best = int(found.argmax())
        categories = self.model.categories
        return Label(_written(row), categories[best], values[best], dict(zip(categories, values, strict=True)), None)


def _in_parts(rows: Iterator[TextRow]) -> Iterator[list[TextRow]]:
    """Yield a page's rows in lists of a bounded number of characters, which go through the model together."""
    some: list[TextRow] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.text) if isinstance(row.text, str) else 0
        if size > _CHARACTERS:
            yield some
            some, size = [], 0
    yield some


def _written(row: TextRow) -> TextRow:
    """Return what is written of a row: the hash of its text in place of the text."""
    return replace(row, text=None, text_hash=statements.text_hash(row.text))


def _unusable(text: Any) -> str | None:
    """Return why a value cannot be labelled, None where it can."""
    if text is None:
        return "the text is NULL"
    if not isinstance(text, str):
        return f"the text is of type {type(text).__name__}, where a string is expected"
    return None if text.strip() else "the text is empty"
