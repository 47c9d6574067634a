"""Label a table or query of somebody else's database with the champion, into a table beside it.

A page is one transaction of that database: take it, read it, label it, write it. Whatever is killed
leaves whole pages, and the same command goes on with what lacks a label of the champion. No transaction
spans that database and ours, so the champion is asked for after each page was read: a model that is no
longer champion stops before it can replace labels of the new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from classifier import registry
from classifier.articles import Model
from classifier.exceptions import SettingsError, SourceUnavailableError, TableError
from classifier.labelling import bisection
from classifier.labelling import engine as engines
from classifier.labelling.pages import Labeller
from classifier.model.artefact import Artefact
from classifier.pipeline.use_case import use_case
from classifier.store import connection as connections
from classifier.store import elsewhere, own_table, own_table_form, reads
from classifier.store.own_table import Label, Pair, Span, TakenError, TextRow
from classifier.store.own_table_form import Wanted
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

_ATTEMPTS = 10
"""Times that rows are tried which somebody else keeps writing, and that stay without a label, before it is an error."""


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """What one run did. `out` holds the labels; `seconds` and the rate leave out loading the model."""

    out: str
    model: str
    labelled: int
    dead_letters: int
    seconds: float
    engine: str

    @property
    def rows_per_second(self) -> float:
        """The rate, 0 where nothing was labelled."""
        return self.labelled / self.seconds if self.seconds and self.labelled else 0.0


@dataclass(frozen=True, slots=True)
class _Theirs:
    """Their database, with one line for whatever is wrong with it."""

    database: Engine
    name: str

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[Connection]:
        try:
            with self.database.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            line = elsewhere.line(error)
            if isinstance(error, DBAPIError) and elsewhere.is_gone(error):
                address = elsewhere.shown(self.database.url)
                raise SourceUnavailableError(f"{address}: the database does not answer ({line})") from error
            raise TableError(f"{self.name}: {line}") from error


@dataclass(frozen=True, slots=True)
class _Page:
    """Keys that were looked at, in order; none: there are no more.

    `missed` says that another worker has them: by the lock, or, with `error`, because it wrote them first.
    """

    keys: Sequence[Any]
    last: Any = None
    looked_at: int = 0
    labelled: int = 0
    dead: int = 0
    missed: bool = False
    error: TakenError | None = None


@dataclass(slots=True)
class _Counts:
    labelled: int = 0
    dead: int = 0
    seconds: float = 0.0

    def add(self, page: _Page) -> None:
        self.labelled, self.dead = self.labelled + page.labelled, self.dead + page.dead


@use_case
def run(
    workspace: Workspace,
    address: str,
    wanted: Wanted,
    *,
    refresh: bool = False,
    limit: int | None = None,
    page_size: int = 512,
    engine: engines.EngineName = "auto",
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> LabelledTable:
    """Label every row that has no label of the champion, going on with the new one if it changes meanwhile.

    `address` is the URL of the database. With `refresh`, rows are read whose text has changed since, too.
    Rows that come in behind the page at work are left to the next run. `on_start` is told how many rows
    there are to look at, `on_page` how many each page had.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
        SourceUnavailableError: their database does not answer.
        TableError: the table, its key or its text cannot be used, or the table of labels has another form.
    """
    champion, files = _champion(workspace)  # before anything is created
    theirs = _open(workspace, address, wanted)
    pair = _prepare(theirs, wanted)
    counts = _Counts()
    while True:
        chosen = engines.choose(files, engine=engine)
        compute = Labeller.of(files, chosen).probabilities
        with theirs.transaction() as connection:
            on_start(own_table.waiting(connection, pair, Span(champion.name, all=refresh)))
        labelling = _Labelling(workspace, theirs, pair, champion, compute, refresh, page_size)
        if _work(labelling, counts, limit, on_page):
            name = f"{chosen.name} {chosen.precision}"
            return LabelledTable(
                pair.labels.fullname, champion.name, counts.labelled, counts.dead, counts.seconds, name
            )
        log.info("%s is no longer the champion: going on with the new one", champion.name)
        champion, files = _champion(workspace)


def _champion(workspace: Workspace) -> tuple[Model, Artefact]:
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
    return champion, registry.open_artefact(champion)


def _open(workspace: Workspace, address: str, wanted: Wanted) -> _Theirs:
    try:
        database = elsewhere.engine(
            address, statement_timeout_s=workspace.settings.statement_timeout_s, pool_pre_ping=True
        )
    except elsewhere.CANNOT_OPEN as error:
        raise SettingsError(f"--url: the database cannot be opened ({elsewhere.line(error)})") from error
    if database.dialect.name != "sqlite":
        # what is read after a page was taken has to be what is there then
        database = database.execution_options(isolation_level="READ COMMITTED")
    return _Theirs(database, wanted.name)


def _prepare(theirs: _Theirs, wanted: Wanted) -> Pair:
    """Check all that can be wrong, then make the table of labels."""
    with theirs.transaction() as connection:
        pair = own_table_form.find(connection, wanted)
    readonly = {"postgresql_readonly": True} if theirs.database.dialect.name == "postgresql" else {}
    with theirs.transaction(**readonly) as connection:
        own_table_form.check_key(connection, wanted, pair)
    with theirs.transaction() as connection:
        own_table_form.create_labels(connection, pair)
    return pair


def _work(labelling: _Labelling, counts: _Counts, limit: int | None, on_page: Callable[[int], None]) -> bool:
    """Label until nothing is left, or return False if the model turned out not to be the champion any more.

    Pages that other workers have are passed over, and looked at again at the end, in case those died.
    """
    started = time.monotonic()
    after, wait = None, False
    missed: list[Any] = []  # where the first page of another worker begins
    try:
        while limit is None or counts.labelled + counts.dead < limit:
            rest = None if limit is None else limit - counts.labelled - counts.dead
            page = labelling.page(after, rest, wait=wait)
            if page is None:
                return False
            if page.missed:
                missed = missed or [after]
            if not page.keys and not missed:
                return True
            if not page.keys:
                (after,), wait, missed = missed, True, []
                continue
            counts.add(page)
            on_page(page.looked_at)
            after = page.last
        return True
    finally:
        counts.seconds += time.monotonic() - started


@dataclass(frozen=True, slots=True)
class _Labelling:
    """One model at work on one table."""

    workspace: Workspace
    theirs: _Theirs
    pair: Pair
    model: Model
    compute: bisection.Compute
    refresh: bool
    page_size: int

    def page(self, after: Any, limit: int | None, *, wait: bool) -> _Page | None:
        """Label the page above a key; None if the model is no longer the champion."""
        size = self.page_size if limit is None else min(self.page_size, limit)
        tried, times = None, 0
        while True:
            page = self._try(after, size, wait=wait)
            if page is None or page.error is None:
                return page
            times = times + 1 if page.keys == tried else 0
            tried = page.keys
            if times == _ATTEMPTS:
                reason = elsewhere.line(page.error.__cause__ or page.error)
                raise TableError(f"{self.pair.labels.fullname}: labels cannot be written ({reason})") from page.error

    def _try(self, after: Any, size: int, *, wait: bool) -> _Page | None:
        keys: list[Any] = []
        try:
            with self.theirs.transaction() as connection:
                keys = own_table.next_keys(connection, self.pair, self._span(after), size)
                if not keys:
                    return _Page(keys)
                if not own_table.take(connection, self.pair, keys[0], wait=wait):
                    return _Page(keys, last=keys[-1], missed=True)
                rows = own_table.read(connection, self.pair, self._span(after, keys[-1]), size)
                if not self._is_champion():  # asked after the read: what it has replaced was seen by then
                    return None
                labels = self._labels([row for row in rows if self._is_due(row)])
                own_table.write(connection, self.pair, self.model.name, labels)
        except TakenError as error:
            return _Page(keys, error=error)
        dead = sum(label.error is not None for label in labels)
        # a page that more rows have come into ends where it was read to
        last = rows[-1].key if len(rows) == size else keys[-1]
        return _Page(keys, last, len(rows), len(labels) - dead, dead)

    def _span(self, after: Any, to: Any = None) -> Span:
        return Span(self.model.name, after, to, all=self.refresh)

    def _is_champion(self) -> bool:
        with connections.translated(self.workspace.database), self.workspace.database.connect() as connection:
            return reads.is_champion(connection, self.model.id)

    def _is_due(self, row: TextRow) -> bool:
        return row.model != self.model.name or row.text_hash != own_table.text_hash(row.text)

    def _labels(self, rows: Sequence[TextRow]) -> list[Label]:
        """Label rows, in their order; what has no text, or breaks the model, gets the reason instead."""
        reasons = [_unusable(row.text) for row in rows]
        texts = [row.text for row, reason in zip(rows, reasons, strict=True) if reason is None]
        found = iter(bisection.outcomes(self.compute, texts))
        return [
            self._label(row, reason if reason is not None else next(found))
            for row, reason in zip(rows, reasons, strict=True)
        ]

    def _label(self, row: TextRow, found: NDArray[np.float32] | str) -> Label:
        if isinstance(found, str):
            return Label(row, None, None, None, found)
        values = [float(str(value)) for value in found]  # the shortest numbers that stand for these bits
        best = int(found.argmax())
        categories = self.model.categories
        return Label(row, categories[best], values[best], dict(zip(categories, values, strict=True)), None)


def _unusable(text: Any) -> str | None:
    """Return why a value cannot be labelled, None where it can."""
    if text is None:
        return "the text is NULL"
    if not isinstance(text, str):
        return f"the text is of type {type(text).__name__}, where a string is expected"
    return None if text.strip() else "the text is empty"
