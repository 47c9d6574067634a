"""Read the rows of a query of an external database, from a watermark on.

The query also returns the rows at the watermark and in the `overlap_s` seconds before it, because a long transaction
commits rows that are older than rows read before. Reading a row twice changes nothing. A row from the future is
rejected and does not raise the watermark: otherwise one wrong clock would hide all rows until that time. The same holds
for infinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    NullPool,
    Select,
    asc,
    column,
    literal_column,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import category_values, watermarks
from classifier.ingest.category_values import BadValueError
from classifier.ingest.columns import (
    Cell,
    Columns,
    RawChunk,
    Row,
    chunk_records,
    is_category_field,
    require_columns,
)
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.scalars import as_string
from classifier.ingest.source_declarations import SqlSource
from classifier.ingest.time_limits import iterate_within
from classifier.ingest.validation import MAX_CLOCK_SKEW
from classifier.ingest.watermarks import Position, Watermark, WatermarkRules
from classifier.store import external_databases
from classifier.value_kinds import describe_kind

_FETCH_SIZE = 50  # rows at once, each perhaps of megabytes


class DatabaseQuery:
    """A declared query of a database. `highest_watermark` is the highest one among the rows that were read."""

    def __init__(self, source: SqlSource, url: str, after: Watermark | None, now: datetime) -> None:
        self._source, self._url, self._now = source, url, now
        self._after = after
        overlap = timedelta(seconds=source.overlap_s)
        self._rules = WatermarkRules(source.zone, overlap, source.watermark_unit, source.overlap_number)
        self.highest_watermark = after
        self._highest: Position | None = None

    def read(self, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
        """Yield the rows in chunks of at most `chunk_rows`.

        Raises:
            SourceUnavailableError: the database does not answer within the source's `timeout_s`.
            SourceError: the database refuses the query, the query lacks a column, or its watermark has no known order.
        """
        self.highest_watermark = self._after  # so that a second reading starts at the same watermark
        self._highest = self._position(self._after, "the last run")
        # a server that hangs does not enforce its statement timeout
        yield from iterate_within(self._source.timeout_s, lambda: self._read(chunk_rows), self._timeout_error)

    def _read(self, chunk_rows: int) -> Iterator[RawChunk]:
        with _connect(self._source.name, self._url, self._source.timeout_s) as connection:
            yield from chunk_records(self._rows(connection), chunk_rows, self._source.columns.fields)

    def _timeout_error(self) -> SourceUnavailableError:
        problem = f"its database does not answer within {self._source.timeout_s:g} s"
        return SourceUnavailableError(f"source {self._source.name!r}: {problem}; raise timeout_s, or try later")

    def _rows(self, connection: Connection) -> Iterator[Row | RejectedRow]:
        options = connection.execution_options(stream_results=True, yield_per=_FETCH_SIZE)
        with self._values_translated():
            result = options.execute(self._statement(typeof=connection.dialect.name == "sqlite"))
            names = list(result.keys())
        require_columns(f"source {self._source.name!r}", self._source.columns, names)
        if self._source.watermark not in {None, *names}:
            raise SourceError(f"source {self._source.name!r}: no column {self._source.watermark!r} for the watermark")
        for number, record in enumerate(self._fetch(result), 1):
            yield self._parse_row(number, dict(zip(names, record, strict=True)))

    def _fetch(self, result: Iterable[Any]) -> Iterator[Any]:
        records = iter(result)
        while True:
            with self._values_translated():
                record = next(records, None)
            if record is None:
                return
            yield record

    @contextmanager
    def _values_translated(self) -> Iterator[None]:
        """Translate the driver's error about a value, for example a date before Christ.

        Raises:
            SourceError: the driver cannot read a value.
        """
        try:
            yield
        except (ValueError, OverflowError) as error:
            problem = f"its driver cannot read a value ({external_databases.first_line(error)})"
            raise SourceError(
                f"source {self._source.name!r}: {problem}; CAST its column to text in the query"
            ) from error

    def _parse_row(self, number: int, record: dict[str, Any]) -> Row | RejectedRow:
        columns = self._source.columns
        key = as_string(record[columns.id]) if columns.id else None
        position = f"id {key}"[:500] if key else f"row {number}"
        try:
            self._raise_watermark(record, position)
            values = _values(record, columns)
        except (_BadRowError, BadValueError) as error:
            return reject_row(self._source.name, position, str(error), [str(value) for value in record.values()])
        return *values, position

    def _raise_watermark(self, record: dict[str, Any], row: str) -> None:
        if self._source.watermark is None:
            return
        value = record[self._source.watermark]
        if (position := self._position(value, row)) is None:
            return
        if position.moment is not None and position.moment > self._now + MAX_CLOCK_SKEW:
            raise _BadRowError(f"{self._source.watermark} {str(value)[:40]} is in the future")
        if self._highest is not None and position.kind != self._highest.kind:
            change = f"changes from {self._highest.kind} to {position.kind}"
            raise SourceError(f"{self._watermark_of(row)} {change}; convert all rows to one type in the query")
        if self._highest is None or position.order > self._highest.order:
            self.highest_watermark, self._highest = value, position

    def _position(self, value: Any, row: str) -> Position | None:
        try:
            return self._rules.position(value)
        except watermarks.BadWatermarkError as error:
            raise _BadRowError(f"{self._source.watermark} {error}") from error
        except watermarks.UnusableWatermarkError as error:
            raise SourceError(f"{self._watermark_of(row)} {error}") from error

    def _watermark_of(self, row: str) -> str:
        return f"source {self._source.name!r}, {row}: its watermark {self._source.watermark!r}"

    def _statement(self, *, typeof: bool) -> Executable:
        query = external_databases.user_select(self._source.query)
        if self._source.watermark is None:
            return query
        mark: ColumnElement[Any] = column(self._source.watermark)
        rows: Select[Any] = select(literal_column("*")).select_from(query.columns(mark).subquery("source"))
        if self._after is not None:
            rows = rows.where(self._rules.condition(mark, self._after, typeof=typeof))
        return rows.order_by(asc(mark))


class _BadRowError(Exception):
    """A row is invalid."""


def _values(record: dict[str, Any], columns: Columns) -> list[Cell]:
    values: list[Cell] = []
    for field, name in zip(columns.fields, columns.names, strict=True):
        value = record[name] if name is not None else None
        if isinstance(value, list | tuple) and is_category_field(field):  # an array of Postgres, for example
            values.append(category_values.as_strings(field, value))
            continue
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
