"""Read the rows of a query of an external database, from a watermark on.

The query also returns the rows at the watermark and in the `overlap_s` seconds before it, because a long transaction
commits rows that are older than rows read before. Reading a row twice changes nothing. A row from the future is
rejected and does not raise the watermark: otherwise one wrong clock would hide all rows until that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    NullPool,
    Select,
    asc,
    bindparam,
    column,
    literal_column,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import timestamps
from classifier.ingest.columns import FIELDS, Columns, RawChunk, Row, chunk_records, require_columns
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.source_declarations import SqlSource
from classifier.ingest.time_limits import iterate_within
from classifier.ingest.validation import MAX_CLOCK_SKEW
from classifier.store import external_databases
from classifier.value_kinds import describe_kind

Watermark = str | int | float | datetime | date | Decimal

_READ_TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "Decimal": Decimal, "str": str,
               "datetime": datetime.fromisoformat, "date": date.fromisoformat}  # fmt: skip
_FETCH_SIZE = 50  # rows at once, each perhaps of megabytes


class DatabaseQuery:
    """A declared query of a database. `highest_watermark` is the highest one among the rows that were read."""

    def __init__(self, source: SqlSource, url: str, after: Watermark | None, now: datetime) -> None:
        self._source, self._url, self._now = source, url, now
        self._after = after
        self.highest_watermark = after

    def read(self, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
        """Yield the rows in chunks of at most `chunk_rows`.

        Raises:
            SourceUnavailableError: the database does not answer within the source's `timeout_s`.
            SourceError: the database refuses the query, or the query lacks a column.
        """
        self.highest_watermark = self._after  # so that a second reading starts at the same watermark
        # a server that hangs does not enforce its statement timeout
        yield from iterate_within(self._source.timeout_s, lambda: self._read(chunk_rows), self._timeout_error)

    def _read(self, chunk_rows: int) -> Iterator[RawChunk]:
        with _connect(self._source.name, self._url, self._source.timeout_s) as connection:
            yield from chunk_records(self._rows(connection), chunk_rows)

    def _timeout_error(self) -> SourceUnavailableError:
        problem = f"its database does not answer within {self._source.timeout_s:g} s"
        return SourceUnavailableError(f"source {self._source.name!r}: {problem}; raise timeout_s, or try later")

    def _rows(self, connection: Connection) -> Iterator[Row | RejectedRow]:
        options = connection.execution_options(stream_results=True, yield_per=_FETCH_SIZE)
        result = options.execute(self._statement(), {} if self._after is None else {"after": self._lower_bound()})
        names = list(result.keys())
        require_columns(f"source {self._source.name!r}", self._source.columns, names)
        if self._source.watermark not in {None, *names}:
            raise SourceError(f"source {self._source.name!r}: no column {self._source.watermark!r} for the watermark")
        for number, record in enumerate(result, 1):
            yield self._parse_row(number, dict(zip(names, record, strict=True)))

    def _parse_row(self, number: int, record: dict[str, Any]) -> Row | RejectedRow:
        columns = self._source.columns
        key = as_string(record[columns.id]) if columns.id else None
        position = f"id {key}"[:500] if key else f"row {number}"
        try:
            self._raise_watermark(record)
            text, category, identity, split, published_at, source = _values(record, columns)
        except _BadRowError as error:
            return reject_row(self._source.name, position, str(error), [str(value) for value in record.values()])
        return text, category, identity, split, published_at, source, position

    def _raise_watermark(self, record: dict[str, Any]) -> None:
        if self._source.watermark is None:
            return
        value = record[self._source.watermark]
        if (moment := _moment(value)) and moment > self._now + MAX_CLOCK_SKEW:
            raise _BadRowError(f"{self._source.watermark} {str(value)[:40]} is in the future")
        try:
            if value is not None and (self.highest_watermark is None or value > self.highest_watermark):
                self.highest_watermark = value
        except TypeError as error:
            kinds = f"{describe_kind(self.highest_watermark)}, then {describe_kind(value)}"
            raise SourceError(f"source {self._source.name!r}: the kind of its watermark changes: {kinds}") from error

    def _lower_bound(self) -> Watermark | None:
        if isinstance(self._after, datetime):
            return self._after - timedelta(seconds=self._source.overlap_s)
        return self._after

    def _statement(self) -> Executable:
        query = external_databases.user_select(self._source.query)
        if self._source.watermark is None:
            return query
        mark: ColumnElement[Any] = column(self._source.watermark)
        rows: Select[Any] = select(literal_column("*")).select_from(query.columns(mark).subquery("source"))
        if self._after is not None:
            # a row without a watermark may be new, so it is read each time
            rows = rows.where((mark >= bindparam("after")) | mark.is_(None))
        return rows.order_by(asc(mark))


def watermark_to_json(value: Watermark | None) -> dict[str, str] | None:
    """Return a watermark as the database stores it."""
    if value is None:
        return None
    if (kind := type(value).__name__) not in _READ_TYPES:
        kind_name = describe_kind(value)
        raise SourceError(f"a watermark that is {kind_name} cannot be stored; choose a column of times or numbers")
    return {"kind": kind, "value": value.isoformat() if isinstance(value, date) else str(value)}


def watermark_from_json(value: dict[str, str] | None) -> Watermark | None:
    """Return the watermark that `watermark_to_json` wrote."""
    watermark: Watermark | None = None if value is None else _READ_TYPES[value["kind"]](value["value"])
    return watermark


class _BadRowError(Exception):
    """A row is invalid."""


def _moment(value: object) -> datetime | None:
    """Return the time that a watermark stands for, or None if it is not a time."""
    if isinstance(value, str):
        return timestamps.parse_timestamp(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def _values(record: dict[str, Any], columns: Columns) -> list[str | None]:
    values: list[str | None] = []
    for field, name in zip(FIELDS, columns.names, strict=True):
        value = record[name] if name is not None else None
        string = as_string(value) if field != "text" or isinstance(value, str | bytes) else None
        if string is None and value is not None:
            raise _BadRowError(f"{field} is {describe_kind(value)}, but must be a string")
        values.append(string or "" if name is not None else None)
    return values


@contextmanager
def _connect(name: str, url: str, timeout_s: float) -> Iterator[Connection]:
    """Open a database for reading. Its errors, and those of the query, become one line."""
    try:
        engine = external_databases.open_engine(url, statement_timeout_s=timeout_s, poolclass=NullPool)
    except external_databases.OPEN_ERRORS as error:
        raise SourceError(
            f"source {name!r}: its database cannot be opened ({external_databases.first_line(error)})"
        ) from error
    readonly = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
    try:
        with engine.connect() as connection:
            yield connection.execution_options(**readonly)
    except SQLAlchemyError as error:
        reason = external_databases.first_line(error)
        if external_databases.is_unreachable(error):
            raise SourceUnavailableError(f"source {name!r}: its database does not answer ({reason})") from error
        raise SourceError(f"source {name!r}: the query fails ({reason})") from error
