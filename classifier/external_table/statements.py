"""Read a table that is somebody else's, and write the labels to a table beside it.

What is left to do is what lacks a label of the model; nothing else is kept. The primary key of the
labels decides between workers: who comes second with a row finds it taken, rolls back and looks again.
In Postgres an advisory lock on a page's first key keeps workers from computing the same page; it goes
with the transaction, and so with the worker. The table that is labelled is only read, never locked.

The database itself orders and compares keys, in the column's own type and collation.
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

_ROWS_AT_ONCE = 64  # texts that the driver holds

Key = Any
"""A key as the driver returns it: a number, a string, a UUID, a time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A table or query, and the table of its labels, whose key has the same name."""

    source: FromClause
    key: ColumnElement[Any]
    text: ColumnElement[Any]
    labels: Table

    @property
    def label_key(self) -> ColumnElement[Any]:
        """The key among the labels."""
        return self.labels.c[self.key.key or ""]


@dataclass(frozen=True, slots=True)
class Span:
    """What to look at: keys above `after`, if one is given, without a label of the model; with `all`, those too."""

    model: str
    after: Key | None = None
    all: bool = False


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row to label. `seen` is when its present label was written; None where it has none."""

    key: Key
    text: Any
    model: str | None
    text_hash: str | None
    seen: datetime | None


@dataclass(frozen=True, slots=True)
class Label:
    """A row's new label, or with `error` and no category the reason why it has none.

    Of the row it has what is written: no text, and the hash of the text that was labelled.
    """

    row: TextRow
    category: str | None
    confidence: float | None
    probabilities: dict[str, float] | None
    error: str | None


class RowsClaimedError(Exception):
    """Another worker wrote labels of the same rows first."""


def count_unlabelled(connection: Connection, pair: Pair, span: Span) -> int:
    """Count what is to be looked at."""
    statement = select(func.count()).select_from(_joined(connection, pair, span)).where(*_wanted(pair, span))
    return connection.execute(statement).scalar_one()


def next_keys(connection: Connection, pair: Pair, span: Span, size: int) -> list[Key]:
    """Return the next keys, in order."""
    found = select(pair.key).select_from(_joined(connection, pair, span)).where(*_wanted(pair, span))
    return list(connection.scalars(found.order_by(pair.key).limit(size)))


def claim_rows(connection: Connection, pair: Pair, first: Key, *, wait: bool) -> bool:
    """Take the page that begins with a key, for as long as this transaction lives; False where another has it.

    With `wait`, wait for the other. Databases other than Postgres know no such lock: all may take it.
    """
    if connection.dialect.name != "postgresql":
        return True
    name = f"{pair.labels.fullname} {first!r}".encode()
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
    if wait:
        # a page may take longer than a statement may
        limit = connection.execute(select(func.current_setting("statement_timeout"))).scalar_one()
        connection.execute(select(func.set_config("statement_timeout", "0", True)))
        connection.execute(select(func.pg_advisory_xact_lock(number)))
        connection.execute(select(func.set_config("statement_timeout", limit, True)))
        return True
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one())


def read_rows(connection: Connection, pair: Pair, keys: Sequence[Key], span: Span) -> Iterator[TextRow]:
    """Yield those of a page's rows, in order, that are still to be looked at: others may have had them before.

    The statement has run when this returns. Its rows come some at a time, where the driver can do that.
    """
    labels = pair.labels.c
    rows = select(pair.key, pair.text, labels.model, labels.text_hash, labels.labelled_at)
    rows = rows.select_from(_joined(connection, pair, span)).where(*_wanted(pair, span), pair.key.in_(keys))
    found = connection.execute(rows.order_by(pair.key), execution_options={"yield_per": _ROWS_AT_ONCE})
    return (TextRow(*row) for row in found)


def write_labels(connection: Connection, pair: Pair, model: str, labels: Sequence[Label]) -> None:
    """Write a page's labels in place of those that were seen when it was read.

    Raises:
        TakenError: one of them is no longer what it was; roll back.
    """
    if not labels:
        return
    stale = {label.row.key: label.row.seen for label in labels if label.row.seen is not None}
    with _told():
        if stale:
            same = and_(pair.label_key.in_(list(stale)), pair.labels.c.labelled_at.in_(set(stale.values())))
            if connection.execute(delete(pair.labels).where(same)).rowcount != len(stale):
                raise RowsClaimedError("somebody else keeps writing them")
        now = datetime.now(UTC)
        # in the order of the keys, so that two workers cannot wait for each other
        connection.execute(insert(pair.labels), [_values(pair, model, label, now) for label in labels])


def text_hash(value: Any) -> str | None:
    """Return a text's SHA-256 in hexadecimal; None for what is no text."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest() if isinstance(value, str) else None


def _values(pair: Pair, model: str, label: Label, now: datetime) -> dict[str, Any]:
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


def _joined(connection: Connection, pair: Pair, span: Span) -> Join:
    # the label's key on the left: SQLite compares by the left side's collation, which is that of its index
    condition = [pair.label_key == pair.key]
    if connection.dialect.name == "postgresql" and span.after is not None:
        # it derives no bound on the labels from that equality, and a merge join would begin at their first row
        condition.append(pair.label_key > span.after)
    return pair.source.outerjoin(pair.labels, and_(*condition))


def _wanted(pair: Pair, span: Span) -> Iterator[ColumnElement[bool]]:
    yield pair.key.is_not(None)
    if span.after is not None:
        yield pair.key > span.after
    if not span.all:
        yield or_(pair.label_key.is_(None), pair.labels.c.model != span.model)


@contextmanager
def _told() -> Iterator[None]:
    """Tell a row that another worker wrote, or a deadlock with it, from what is wrong."""
    try:
        yield
    except IntegrityError as error:
        raise RowsClaimedError from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) in {"40P01", "40001"}:
            raise RowsClaimedError from error
        raise
