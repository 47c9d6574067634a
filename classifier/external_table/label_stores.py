"""Where the labels of an external table are stored: in the database of the table, or in another database.

In the same database, a join finds the rows without a label. In another one, the keys of a page are read from the table
and looked up among the labels. Then only the transaction of the labels writes, so that a page is written completely or
not at all. A row that is read twice, after a kill, gets no second label, because its key is the labels' primary key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, func, not_, select

from classifier.external_table import statements
from classifier.external_table.external_connections import ExternalConnection
from classifier.external_table.statements import Key, Label, Span, TablePair, TextRow

_MAX_LOOKUP = 10_000  # keys that are looked up at once, while all of them have labels

_Present = tuple[str, str | None, datetime]
"""A label's model, hash and time."""


class LabelTransaction(Protocol):
    """A transaction that reads and writes one page."""

    def count_unlabelled(self, span: Span) -> int:
        """Count the rows to read."""

    def next_keys(self, span: Span, size: int) -> list[Key]:
        """Return the next keys, in order."""

    def claim_rows(self, first: Key, *, wait: bool) -> bool:
        """Lock the page that begins with a key until the transaction ends; return False if another worker holds it."""

    def read_rows(self, keys: Sequence[Key], span: Span) -> Iterator[TextRow]:
        """Return the page's rows, in order, without those that other workers have labelled since."""

    def write_labels(self, model: str, labels: Sequence[Label]) -> None:
        """Replace the page's labels."""


class LabelStore(Protocol):
    """Opens transactions; `pair` is the table with the table of its labels."""

    @property
    def pair(self) -> TablePair:
        """The table, and the table of its labels."""

    def transaction(self) -> AbstractContextManager[LabelTransaction]:
        """Open a transaction."""


@dataclass(frozen=True, slots=True)
class JoinedLabels:
    """Labels in the database of the table."""

    database: ExternalConnection
    pair: TablePair

    @contextmanager
    def transaction(self) -> Iterator[LabelTransaction]:
        """Open a transaction of the database."""
        with self.database.transaction() as connection:
            yield _JoinedTransaction(connection, self.pair)


@dataclass(frozen=True, slots=True)
class SeparateLabels:
    """Labels in another database, `out`; the table's own, `source`, is only read."""

    source: ExternalConnection
    out: ExternalConnection
    pair: TablePair

    @contextmanager
    def transaction(self) -> Iterator[LabelTransaction]:
        """Open a transaction of each database; the one that writes is the last to open and the first to commit."""
        with self.source.reading() as source, self.out.transaction() as out:
            yield _SeparateTransaction(source, out, self.pair)


@dataclass(frozen=True, slots=True)
class _JoinedTransaction:
    connection: Connection
    pair: TablePair

    def count_unlabelled(self, span: Span) -> int:
        return statements.count_unlabelled(self.connection, self.pair, span)

    def next_keys(self, span: Span, size: int) -> list[Key]:
        return statements.next_keys(self.connection, self.pair, span, size)

    def claim_rows(self, first: Key, *, wait: bool) -> bool:
        return statements.claim_rows(self.connection, self.pair, first, wait=wait)

    def read_rows(self, keys: Sequence[Key], span: Span) -> Iterator[TextRow]:
        return statements.read_rows(self.connection, self.pair, keys, span)

    def write_labels(self, model: str, labels: Sequence[Label]) -> None:
        statements.write_labels(self.connection, self.pair, model, labels)


@dataclass(frozen=True, slots=True)
class _SeparateTransaction:
    source: Connection
    out: Connection
    pair: TablePair

    def count_unlabelled(self, span: Span) -> int:
        """Count the rows to read; labels of rows that have been deleted make the number too small."""
        rows = self.source.execute(select(func.count()).select_from(self.pair.source)).scalar_one()
        if span.include_labelled:
            return rows
        labels = select(func.count()).select_from(self.pair.labels).where(self.pair.labels.c.model == span.model)
        return max(0, rows - self.out.execute(labels).scalar_one())

    def next_keys(self, span: Span, size: int) -> list[Key]:
        """Return the next keys to read, in the order of the table."""
        result: list[Key] = []
        after, lookup = span.after, size
        while len(result) < size and (keys := self._keys_above(after, lookup)):
            present = {} if span.include_labelled else self._present(keys)
            result += [key for key in keys if key not in present or present[key][0] != span.model]
            after, lookup = keys[-1], min(2 * lookup, max(size, _MAX_LOOKUP))
        return result[:size]

    def claim_rows(self, first: Key, *, wait: bool) -> bool:
        return statements.claim_rows(self.out, self.pair, first, wait=wait)

    def read_rows(self, keys: Sequence[Key], span: Span) -> Iterator[TextRow]:
        """Return the page's rows, in order; their labels have been read when this function returns."""
        present = self._present(keys)
        return (row for row in self._text_rows(keys, present) if span.include_labelled or row.model != span.model)

    def write_labels(self, model: str, labels: Sequence[Label]) -> None:
        statements.write_labels(self.out, self.pair, model, labels)

    def _text_rows(self, keys: Sequence[Key], present: dict[Key, _Present]) -> Iterator[TextRow]:
        columns, options = self.pair.keys, {"yield_per": statements.FETCH_SIZE}
        for chunk in statements.chunks(columns, keys):
            rows = select(*columns, self.pair.text).where(statements.equal(columns, chunk)).order_by(*columns)
            for *key, text in self.source.execute(rows, execution_options=options):
                yield TextRow(tuple(key), text, *present.get(tuple(key), (None, None, None)))

    def _keys_above(self, after: Key | None, size: int) -> list[Key]:
        keys = self.pair.keys
        statement = select(*keys).where(*(not_(statements.is_null(key)) for key in keys)).order_by(*keys).limit(size)
        if after is not None:
            statement = statement.where(statements.above(keys, after))
        return [tuple(row) for row in self.source.execute(statement)]

    def _present(self, keys: Sequence[Key]) -> dict[Key, _Present]:
        """Return the labels that the keys have."""
        labels, columns = self.pair.labels.c, self.pair.label_keys
        present: dict[Key, _Present] = {}
        for chunk in statements.chunks(columns, keys):
            rows = select(*columns, labels.model, labels.text_hash, labels.labelled_at)
            for *key, model, text_hash, labelled_at in self.out.execute(rows.where(statements.equal(columns, chunk))):
                present[tuple(key)] = (model, text_hash, labelled_at)
        return present
