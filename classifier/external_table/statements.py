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
    or_,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

_FETCH_SIZE = 64  # rows, so texts, that the driver holds in memory

Key = Any
"""A key as the driver returns it: a number, a string, a UUID, a time."""


@dataclass(frozen=True, slots=True)
class TablePair:
    """A table or query, and the table of its labels. The keys of both have the same name."""

    source: FromClause
    key: ColumnElement[Any]
    text: ColumnElement[Any]
    labels: Table

    @property
    def label_key(self) -> ColumnElement[Any]:
        """The key column of the labels."""
        return self.labels.c[self.key.key or ""]


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

    `row` holds no text any more, and the hash of the text that was labelled.
    """

    row: TextRow
    category: str | None
    confidence: float | None
    probabilities: dict[str, float] | None
    error: str | None


class RowsClaimedError(Exception):
    """Another worker wrote labels of the same rows first."""


def count_unlabelled(connection: Connection, pair: TablePair, span: Span) -> int:
    """Count the rows to read."""
    statement = select(func.count()).select_from(_joined(connection, pair, span)).where(*_conditions(pair, span))
    return connection.execute(statement).scalar_one()


def next_keys(connection: Connection, pair: TablePair, span: Span, size: int) -> list[Key]:
    """Return the next keys, in order."""
    statement = select(pair.key).select_from(_joined(connection, pair, span)).where(*_conditions(pair, span))
    return list(connection.scalars(statement.order_by(pair.key).limit(size)))


def claim_rows(connection: Connection, pair: TablePair, first: Key, *, wait: bool) -> bool:
    """Lock the page that begins with a key until the transaction ends; return False if another worker holds it.

    With `wait`, wait for the other worker instead. Other databases than Postgres have no such lock: there it is always
    True.
    """
    if connection.dialect.name != "postgresql":
        return True
    name = f"{pair.labels.fullname} {first!r}".encode()
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
    rows = select(pair.key, pair.text, labels.model, labels.text_hash, labels.labelled_at)
    rows = rows.select_from(_joined(connection, pair, span)).where(*_conditions(pair, span), pair.key.in_(keys))
    result = connection.execute(rows.order_by(pair.key), execution_options={"yield_per": _FETCH_SIZE})
    return (TextRow(*row) for row in result)


def write_labels(connection: Connection, pair: TablePair, model: str, labels: Sequence[Label]) -> None:
    """Replace a page's labels that existed when the page was read.

    Raises:
        RowsClaimedError: another worker has changed one of them since; roll back.
    """
    if not labels:
        return
    replaced = {label.row.key: label.row.labelled_at for label in labels if label.row.labelled_at is not None}
    with _conflicts_translated():
        if replaced:
            same = and_(pair.label_key.in_(list(replaced)), pair.labels.c.labelled_at.in_(set(replaced.values())))
            if connection.execute(delete(pair.labels).where(same)).rowcount != len(replaced):
                raise RowsClaimedError("another process keeps writing them")
        now = datetime.now(UTC)
        # in the order of the keys, so that two workers cannot deadlock
        connection.execute(insert(pair.labels), [_values(pair, model, label, now) for label in labels])


def text_hash(value: Any) -> str | None:
    """Return a text's SHA-256 in hexadecimal, or None if the value is not a string."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest() if isinstance(value, str) else None


def _values(pair: TablePair, model: str, label: Label, now: datetime) -> dict[str, Any]:
    return {
        pair.label_key.key or "": label.row.key,
        "model": model,
        "category": label.category,
        "confidence": label.confidence,
        "probabilities": label.probabilities,
        "text_hash": label.row.text_hash,
        "labelled_at": now,
        "error": label.error,
    }


def _joined(connection: Connection, pair: TablePair, span: Span) -> Join:
    # The label's key is on the left: SQLite compares by the left side's collation, and that is the index's.
    condition = [pair.label_key == pair.key]
    if connection.dialect.name == "postgresql" and span.after is not None:
        # Postgres derives no bound on the labels from the equality, and a merge join would start at their first row.
        condition.append(pair.label_key > span.after)
    return pair.source.outerjoin(pair.labels, and_(*condition))


def _conditions(pair: TablePair, span: Span) -> Iterator[ColumnElement[bool]]:
    yield pair.key.is_not(None)
    if span.after is not None:
        yield pair.key > span.after
    if not span.include_labelled:
        yield or_(pair.label_key.is_(None), pair.labels.c.model != span.model)


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
