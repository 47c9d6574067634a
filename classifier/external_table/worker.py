"""Label an external table page by page; each page is claimed, read, labelled and written in one transaction.

A worker that is killed leaves complete pages. No transaction spans the databases of the table, of its labels and of
this package. So the worker reads who is champion after it has read a page, and a model that is no longer champion stops
before it replaces labels of the new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from classifier.articles import Model
from classifier.exceptions import TableError
from classifier.external_table import statements
from classifier.external_table.label_stores import LabelStore
from classifier.external_table.statements import Key, Label, RowsClaimedError, Span, TextRow
from classifier.inference import bisection
from classifier.inference.bisection import TextLabeller
from classifier.model import category_tree, decisions
from classifier.store import connections, external_databases, model_rows
from classifier.value_kinds import describe_kind

_MAX_CHARACTERS = 16 * 2**20  # of a page's texts in memory, plus the last text

_MAX_ATTEMPTS = 10
"""Attempts to write the same rows while another process keeps writing them."""


@dataclass(frozen=True, slots=True)
class ExternalTableProgress:
    """The work of one worker. `replaced` is true if it stopped because its model is no longer the champion."""

    labelled: int = 0
    dead: int = 0
    seconds: float = 0.0
    replaced: bool = False

    @property
    def rows(self) -> int:
        """The rows that got a label, or a reason for having none."""
        return self.labelled + self.dead


@dataclass(frozen=True, slots=True)
class _Page:
    """The keys of a page, in order, and its outcome. A page without keys is the end of the table.

    `skipped` is true if another worker holds the page; `error` is set if another worker wrote the rows first.
    """

    keys: Sequence[Key]
    rows_read: int = 0
    labelled: int = 0
    dead: int = 0
    skipped: bool = False
    error: RowsClaimedError | None = None


@dataclass(frozen=True, slots=True)
class ExternalTableWorker:
    """Labels one table with one model. With `refresh`, rows that have a label are read too.

    `database` is this package's own database, `store` reads the table and stores its labels.
    """

    database: Engine
    store: LabelStore
    model: Model
    labeller: TextLabeller
    refresh: bool = False
    page_size: int = 512

    def count_waiting(self) -> int:
        """Count the rows to read."""
        with self.store.transaction() as transaction:
            return transaction.count_unlabelled(self._span(None))

    def work(
        self, *, limit: int | None = None, on_page: Callable[[int], None] = lambda _: None
    ) -> ExternalTableProgress:
        """Label until nothing is left, `limit` rows are labelled, or the model is no longer the champion.

        Pages that another worker holds are skipped, and read again at the end, in case that worker died. `on_page`
        receives the number of rows of each committed page.
        """
        started, progress = time.monotonic(), ExternalTableProgress()
        after: Key | None = None
        wait = False
        skipped_after: list[Key | None] = []  # the key before the first page that was skipped, if there is one
        while limit is None or progress.rows < limit:
            size = self.page_size if limit is None else min(self.page_size, limit - progress.rows)
            page = self._label_page(after, size, wait=wait)
            if page is None or not (page.keys or skipped_after):
                return replace(progress, seconds=time.monotonic() - started, replaced=page is None)
            if not page.keys:
                after, wait, skipped_after = skipped_after[0], True, []
                continue
            if page.skipped and not skipped_after:
                skipped_after = [after]
            progress = ExternalTableProgress(progress.labelled + page.labelled, progress.dead + page.dead)
            on_page(page.rows_read)
            after = page.keys[-1]
        return replace(progress, seconds=time.monotonic() - started)

    def _label_page(self, after: Key | None, size: int, *, wait: bool) -> _Page | None:
        """Label the page above a key; return None if the model is no longer the champion."""
        last_keys: Sequence[Key] = ()
        attempts = 0
        while True:
            page = self._try_page(after, size, wait=wait)
            if page is None or page.error is None:
                return page
            attempts = attempts + 1 if page.keys == last_keys else 0
            last_keys = page.keys
            if attempts == _MAX_ATTEMPTS:
                reason = external_databases.first_line(page.error.__cause__ or page.error)
                raise TableError(
                    f"{self.store.pair.labels.fullname}: labels cannot be written ({reason})"
                ) from page.error

    def _try_page(self, after: Key | None, size: int, *, wait: bool) -> _Page | None:
        keys: list[Key] = []
        try:
            with self.store.transaction() as transaction:
                keys = transaction.next_keys(self._span(after), size)
                if not keys:
                    return _Page(keys)
                if not transaction.claim_rows(keys[0], wait=wait):
                    return _Page(keys, skipped=True)
                rows = transaction.read_rows(keys, self._span(after))
                if not self._is_champion():  # read after the page, which shows all labels of former champions
                    return None
                rows_read, labels = 0, list[Label]()
                for slice_of_rows in _slices(rows):
                    rows_read += len(slice_of_rows)
                    labels += self._label_rows([row for row in slice_of_rows if self._needs_label(row)])
                transaction.write_labels(self.model.name, labels)
        except RowsClaimedError as error:
            return _Page(keys, error=error)
        dead = sum(label.error is not None for label in labels)
        return _Page(keys, rows_read, len(labels) - dead, dead)

    def _span(self, after: Key | None) -> Span:
        return Span(self.model.name, after, include_labelled=self.refresh)

    def _is_champion(self) -> bool:
        with connections.translate_errors(self.database), self.database.connect() as connection:
            return model_rows.is_champion(connection, self.model.id)

    def _needs_label(self, row: TextRow) -> bool:
        return row.model != self.model.name or row.text_hash != statements.text_hash(row.text)

    def _label_rows(self, rows: Sequence[TextRow]) -> list[Label]:
        """Return the rows' labels, in their order; a row without a text, or that breaks the model, gets a reason."""
        outcomes: dict[Key, NDArray[np.float32] | str] = {
            row.key: reason for row in rows if (reason := _unusable(row.text)) is not None
        }
        if usable := [row for row in rows if row.key not in outcomes]:
            batch = bisection.label_articles(self.labeller, usable)
            outcomes |= {failed.article.key: failed.reason for failed in batch.failed}
            outcomes |= {row.key: values for row, values in zip(batch.articles, batch.probabilities, strict=True)}
        return [self._label(row, outcomes[row.key]) for row in rows]

    def _label(self, row: TextRow, outcome: NDArray[np.float32] | str) -> Label:
        if isinstance(outcome, str):
            return Label(_without_text(row), None, None, None, outcome)
        decided = decisions.decide_present(self.model, outcome[None])
        categories = decided.categories
        values = [float(str(value)) for value in decided.probabilities[0]]  # the shortest decimals with these bits
        probabilities = dict(zip(categories, values, strict=True))
        if self.model.kind == "multi":
            names = decisions.names_of(decided.labels, categories)[0]
            return Label(_without_text(row), None, float(str(decided.confidence[0])), probabilities, None, names)
        paths = category_tree.find_paths(outcome[None], self.model.present_categories, self.model.parents)
        (label,), confidence = paths.answer(self.model.threshold or 0.0)
        return Label(_without_text(row), label, float(str(confidence[0])), probabilities, None)


def _slices(rows: Iterator[TextRow]) -> Iterator[list[TextRow]]:
    """Yield a page's rows in lists of a bounded number of characters, which are labelled together."""
    slice_of_rows: list[TextRow] = []
    size = 0
    for row in rows:
        slice_of_rows.append(row)
        size += len(row.text) if isinstance(row.text, str) else 0
        if size > _MAX_CHARACTERS:
            yield slice_of_rows
            slice_of_rows, size = [], 0
    yield slice_of_rows


def _without_text(row: TextRow) -> TextRow:
    """Return the row with the hash of its text in place of the text."""
    return replace(row, text=None, text_hash=statements.text_hash(row.text))


def _unusable(text: Any) -> str | None:
    """Return why a value cannot be labelled, or None if it can."""
    if text is None:
        return "the text is NULL"
    if not isinstance(text, str):
        return f"the text is {describe_kind(text)}; it must be a string"
    return None if text.strip() else "the text is empty"
