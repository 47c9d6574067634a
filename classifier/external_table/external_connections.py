"""Transactions of an external database, whose errors become one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import SourceUnavailableError, TableError
from classifier.store import external_databases, urls


@dataclass(frozen=True, slots=True)
class ExternalConnection:
    """The external database, whose errors become one line; `name` is the table's or query's name in messages."""

    database: Engine
    name: str

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[Connection]:
        """Open a transaction; `options` are execution options of the connection.

        Raises:
            SourceUnavailableError: the database does not answer.
            TableError: the database refuses a statement.
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

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that can only read, where the database has such transactions."""
        is_postgres = self.database.dialect.name == "postgresql"
        return self.transaction(**({"postgresql_readonly": True} if is_postgres else {}))
