"""SQL statements that read an external table and write its table of labels.

The rows without a label of the model are those left to label; no other state is kept. If two workers label the same
row, the primary key of the labels lets only the first commit. The second rolls back and reads the page again.

In Postgres, an advisory lock on a page's first key keeps two workers from computing the same page. It ends with the
transaction, and so with the worker. The external table is only read, never locked.

The database orders and compares the keys, by the type and collation of their column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Join,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

FETCH_SIZE = 64
"""Rows, so texts, that the driver holds in memory."""

Columns = tuple[ColumnElement[Any], ...]

Key = tuple[Any, ...]
"""A key: a value for each of its columns. In Postgres, values other than integers are text (see postgres_keys)."""

_CHUNK = 100
"""Keys of several columns in one condition: SQLite limits the depth of an expression to 1,000."""


@dataclass(frozen=True, slots=True)
class TablePair:
    """A table or query, and the table of its labels. The key columns of both have the same names."""

    source: FromClause
    keys: tuple[ColumnElement[Any], ...]
    text: ColumnElement[Any]
    labels: Table

    @property
    def label_keys(self) -> tuple[ColumnElement[Any], ...]:
        """The key columns of the labels."""
        return tuple(self.labels.c[key.key or ""] for key in self.keys)


@dataclass(frozen=True, slots=True)
class Span:
    """The rows to read: those with a key above `after` that have no label of the model.

    If `after` is None, the first key is the start. With `include_labelled`, rows with a label are read too.
    """

    model: str
    after: Key | None = None
    include_labelled: bool = False


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row to label, with its present label's model, hash and time; all three are None if it has no label."""

    key: Key
    text: Any
    model: str | None
    text_hash: str | None
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Label:
    """A row's new label; if it cannot be labelled, `error` is the reason and the other fields are None.

    A multi-label model gives `categories` instead of a category; with none, the row was labelled and has no category.
    `row` holds no text any more, and the hash of the text that was labelled.
    """

    row: TextRow
    category: str | None
    confidence: float | None
    probabilities: dict[str, float] | None
    error: str | None
    categories: tuple[str, ...] | None = None


class RowsClaimedError(Exception):
    """Another worker wrote labels of the same rows first."""


def any_model(connection: Connection, pair: TablePair) -> str | None:
    """Return the model of one of the stored labels, or None if there is none."""
    model: str | None = connection.execute(select(pair.labels.c.model).limit(1)).scalar_one_or_none()
    return model


def count_unlabelled(connection: Connection, pair: TablePair, span: Span) -> int:
    """Count the rows to read."""
    statement = select(func.count()).select_from(_joined(connection, pair, span)).where(*_conditions(pair, span))
    return connection.execute(statement).scalar_one()


def next_keys(connection: Connection, pair: TablePair, span: Span, size: int) -> list[Key]:
    """Return the next keys, in order."""
    statement = select(*pair.keys).select_from(_joined(connection, pair, span)).where(*_conditions(pair, span))
    return [tuple(row) for row in connection.execute(statement.order_by(*pair.keys).limit(size))]


def claim_rows(connection: Connection, pair: TablePair, first: Key | str, *, wait: bool) -> bool:
    """Lock the page that begins with a key until the transaction ends; return False if another worker holds it.

    With `wait`, wait for the other worker instead. Other databases than Postgres have no such lock: there it is always
    True.
    """
    if connection.dialect.name != "postgresql":
        return True
    name = f"{pair.labels.fullname} {first!r}".encode(errors="surrogatepass")
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
    if wait:
        # the other worker may hold its page for longer than the statement timeout
        limit = connection.execute(select(func.current_setting("statement_timeout"))).scalar_one()
        connection.execute(select(func.set_config("statement_timeout", "0", True)))
        connection.execute(select(func.pg_advisory_xact_lock(number)))
        connection.execute(select(func.set_config("statement_timeout", limit, True)))
        return True
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one())


def read_rows(connection: Connection, pair: TablePair, keys: Sequence[Key], span: Span) -> Iterator[TextRow]:
    """Return an iterator of the page's rows, in order, without those that other workers have labelled since.

    The statement has run when this function returns. If the driver can, it fetches a few rows at a time.
    """
    labels = pair.labels.c
    rows = select(*pair.keys, pair.text, labels.model, labels.text_hash, labels.labelled_at)
    rows = rows.select_from(_joined(connection, pair, span)).where(*_conditions(pair, span), between(pair.keys, keys))
    result = connection.execute(rows.order_by(*pair.keys), execution_options={"yield_per": FETCH_SIZE})
    page_keys, columns = set(keys), len(pair.keys)
    text_rows = (TextRow(tuple(row[:columns]), *row[columns:]) for row in result)
    return (row for row in text_rows if row.key in page_keys)


def write_labels(connection: Connection, pair: TablePair, model: str, labels: Sequence[Label]) -> None:
    """Replace a page's labels that existed when the page was read.

    Raises:
        RowsClaimedError: another worker has changed one of them since; roll back.
    """
    if not labels:
        return
    replaced = {label.row.key: label.row.labelled_at for label in labels if label.row.labelled_at is not None}
    with _conflicts_translated():
        deleted = 0
        for keys in chunks(pair.label_keys, list(replaced)):
            times = {replaced[key] for key in keys}
            same = and_(equal(pair.label_keys, keys), pair.labels.c.labelled_at.in_(times))
            deleted += connection.execute(delete(pair.labels).where(same)).rowcount
        if deleted != len(replaced):
            raise RowsClaimedError("another process keeps writing them")
        now = datetime.now(UTC)
        # in the order of the keys, so that two workers cannot deadlock
        connection.execute(insert(pair.labels), [_values(pair, model, label, now) for label in labels])


def is_null(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a column is null; for Postgres, a row of nulls is a value, but IS NULL holds for it."""
    return column.is_not_distinct_from(None) if getattr(column.type, "is_row", False) else column.is_(None)


def above(columns: Columns, key: Key) -> ColumnElement[bool]:
    """Return the condition that a row's key is above a key."""
    return _row(columns) > _row(_literals(columns, key))


def between(columns: Columns, keys: Sequence[Key]) -> ColumnElement[bool]:
    """Return a condition that holds for all these keys, which are in order, and at most for those between them."""
    if len(columns) == 1:
        return equal(columns, keys)
    first, last = _literals(columns, keys[0]), _literals(columns, keys[-1])
    return and_(_row(columns) >= _row(first), _row(columns) <= _row(last))


def equal(columns: Columns, keys: Sequence[Key]) -> ColumnElement[bool]:
    """Return the condition that a row has one of these keys."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return or_(
        *(
            and_(*(column == value for column, value in zip(columns, _literals(columns, key), strict=True)))
            for key in keys
        )
    )


def chunks(columns: Columns, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Yield the keys in chunks for `equal`."""
    size = len(keys) if len(columns) == 1 else _CHUNK
    return (keys[first : first + size] for first in range(0, len(keys), size or 1))


def _row(columns: Columns) -> ColumnElement[Any]:
    return columns[0] if len(columns) == 1 else tuple_(*columns)


def _literals(columns: Columns, key: Key) -> tuple[ColumnElement[Any], ...]:
    return tuple(literal(value, column.type) for column, value in zip(columns, key, strict=True))


def text_hash(value: Any) -> str | None:
    """Return a text's SHA-256 in hexadecimal, or None if the value is not a string."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest() if isinstance(value, str) else None


def _values(pair: TablePair, model: str, label: Label, now: datetime) -> dict[str, Any]:
    categories = None if label.categories is None else list(label.categories)
    return {
        **dict(zip((column.key or "" for column in pair.label_keys), label.row.key, strict=True)),
        "model": model,
        **({"categories": categories} if "categories" in pair.labels.c else {"category": label.category}),
        "confidence": label.confidence,
        "probabilities": label.probabilities,
        "text_hash": label.row.text_hash,
        "labelled_at": now,
        "error": label.error,
    }


def _joined(connection: Connection, pair: TablePair, span: Span) -> Join:
    # The label's key is on the left: SQLite compares by the left side's collation, and that is the index's.
    condition = [label == key for label, key in zip(pair.label_keys, pair.keys, strict=True)]
    if connection.dialect.name == "postgresql" and span.after is not None:
        # Postgres derives no bound on the labels from the equality, and a merge join would start at their first row.
        condition.append(above(pair.label_keys, span.after))
    return pair.source.outerjoin(pair.labels, and_(*condition))


def _conditions(pair: TablePair, span: Span) -> Iterator[ColumnElement[bool]]:
    yield from (not_(is_null(key)) for key in pair.keys)
    if span.after is not None:
        yield above(pair.keys, span.after)
    if not span.include_labelled:
        yield or_(pair.labels.c.model.is_(None), pair.labels.c.model != span.model)


@contextmanager
def _conflicts_translated() -> Iterator[None]:
    """Translate the errors of two workers that write the same rows, or deadlock.

    Raises:
        RowsClaimedError: another worker was first.
    """
    try:
        yield
    except IntegrityError as error:
        raise RowsClaimedError from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) in {"40P01", "40001"}:
            raise RowsClaimedError from error
        raise
