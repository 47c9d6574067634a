"""Transactions of an external database, whose errors become one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import SourceUnavailableError, TableError
from classifier.store import external_databases, urls


@dataclass(frozen=True, slots=True)
class ExternalConnection:
    """The external database, whose errors become one line; `name` is the table's or query's name in messages."""

    database: Engine
    name: str

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction.

        Raises:
            SourceUnavailableError: the database does not answer.
            TableError: the database refuses a statement.
        """
        try:
            with self.database.connect() as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            line = external_databases.first_line(error)
            if external_databases.is_unreachable(error):
                address = urls.redacted(self.database.url)
                raise SourceUnavailableError(f"{address}: the database does not answer ({line})") from error
            raise TableError(f"{self.name}: {line}{external_databases.advice(error)}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that can only read, where the database has such transactions."""
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":
                # the driver's own option would override the role's default in later transactions
                connection.execute(select(func.set_config("transaction_read_only", "on", True)))
            yield connection
