"""The definition of an external table: the source to label, its checks, and the table of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    REAL,
    Column,
    ColumnClause,
    Connection,
    DateTime,
    FromClause,
    Inspector,
    MetaData,
    String,
    Table,
    Text,
    column,
    func,
    inspect,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from classifier.articles import TaskKind
from classifier.exceptions import TableError
from classifier.external_table import key_types, postgres_keys, statements, table_names
from classifier.external_table.statements import TablePair
from classifier.store import external_databases

COLUMNS = ("model", "category", "categories", "confidence", "probabilities", "text_hash", "labelled_at", "error")
"""The columns of a table of labels after the key: category of a single-label task, else categories."""


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A user's choice of a table, `[SCHEMA.]NAME`, or a query, with its key and text columns.

    `key` is a column, or several that are unique together. `out` is the table of the labels, `TABLE_labels` if it is
    None, and `out_schema` its schema.
    """

    key: str | tuple[str, ...]
    text: str
    table: str | None = None
    query: str | None = None
    out: str | None = None
    out_schema: str | None = None

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"table {self.table!r}" if self.table else "the query"

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns."""
        return (self.key,) if isinstance(self.key, str) else self.key


def find_table(
    connection: Connection, external: ExternalTable, out: Connection | None = None, *, kind: TaskKind = "single"
) -> TablePair:
    """Return the table or query with the table of its labels by a task of this kind, which need not exist yet.

    `out` is a connection to the database of the labels, if that is another one.

    Raises:
        TableError: there is no such table, a column is missing or unsuitable, or the table of labels has other columns.
    """
    _check_names(external, kind)
    inspector = inspect(connection)
    schema, name = table_names.split(external.table or "")
    out_schema, out_name = _name_of_labels(external, schema if out is None else None)
    source = _source(connection, inspector, external)
    if out is None and external.table:
        default = inspector.default_schema_name
        if (schema or default, name) == (out_schema or default, out_name):
            raise TableError(
                f"--out {table_names.shown(out_schema, out_name)}: is the table to label; name another table"
            )
    keys = key_types.set_key_types(connection, source, external)
    copies = keys if out is None else key_types.copied_types(connection, out, source, external, keys)
    columns = [
        Column(name, kind, primary_key=True, autoincrement=False)
        for name, kind in zip(external.keys, copies, strict=True)
    ]
    labels = labels_table(out_name, out_schema, columns, kind=kind)
    pair = TablePair(source, tuple(source.c[key] for key in external.keys), source.c[external.text], labels)
    _check_out(out or connection, pair)
    return pair


def check_key(connection: Connection, external: ExternalTable, pair: TablePair) -> None:
    """Raise an error if a key is null or not unique; if no constraint guarantees that, all keys are read.

    Raises:
        TableError: a key is null, two rows have the same key, or a key is too long for an index.
    """
    rule = "a key must be unique and never null"
    names = ", ".join(map(repr, external.keys))
    columns = f"column {names} has" if len(pair.keys) == 1 else f"columns {names} have"
    if connection.execute(select(*pair.keys).where(or_(*map(statements.is_null, pair.keys))).limit(1)).first():
        raise TableError(f"{external.name}: {columns} nulls; {rule}")
    key_types.check_values(connection, external, pair)
    if external.table and _has_unique_columns(connection, external):
        return
    twice = select(func.count()).select_from(pair.source).group_by(*pair.keys).having(func.count() > 1).limit(1)
    if connection.execute(twice).first() is not None:
        hint = ", or give each column of a key its own --key" if len(pair.keys) == 1 else ""
        raise TableError(f"{external.name}: {columns} the same value twice; {rule}{hint}")
    key_types.check_lengths(connection, external, pair)


def create_labels(connection: Connection, pair: TablePair) -> None:
    """Create the table of labels if it does not exist.

    Raises:
        TableError: the database refuses it, for example because it is a read replica.
    """
    name, schema = pair.labels.name, pair.labels.schema
    try:
        # IF NOT EXISTS fails if two workers create it at the same time, and requires the right to create tables
        statements.claim_rows(connection, pair, "create", wait=True)
        if not inspect(connection).has_table(name, schema=schema):
            connection.execute(CreateTable(pair.labels, if_not_exists=True))
    except DBAPIError as error:
        if external_databases.is_unreachable(error):
            raise
        problem = (
            f"table {table_names.shown(schema, name)!r}: cannot be created ({external_databases.first_line(error)})"
        )
        raise TableError(
            f"{problem}; name a schema or database that may be written: --out-schema, --out-url"
        ) from error


def _check_names(external: ExternalTable, kind: TaskKind) -> None:
    reserved = {*COLUMNS} - {"category" if kind == "multi" else "categories"}
    for key in external.keys:
        if key.lower() in reserved:
            raise TableError(
                f"{external.name}: the key {key!r} has the name of a column of the labels; rename it in a --query"
            )
    if len(set(external.keys)) < len(external.keys):
        raise TableError(f"{external.name}: a column is named twice as --key; name each once")


def _name_of_labels(external: ExternalTable, schema: str | None) -> tuple[str | None, str]:
    """Return the schema and the name of the table of labels; `schema` is the default."""
    _, name = table_names.split(external.table or "")
    out_schema, out = table_names.split(external.out) if external.out else (None, f"{name}_labels")
    if out_schema and external.out_schema and out_schema != external.out_schema:
        raise TableError(f"--out {external.out}: has another schema than --out-schema {external.out_schema}; name one")
    return out_schema or external.out_schema or schema, out


def _source(connection: Connection, inspector: Inspector, external: ExternalTable) -> FromClause:
    """Return the table or query to read; its columns have no types yet."""
    columns: list[ColumnClause[Any]] = [column(name) for name in dict.fromkeys((*external.keys, external.text))]
    if external.table is None:
        return external_databases.user_select(external.query or "").columns(*columns).subquery("source")
    schema, name = table_names.split(external.table)
    if not inspector.has_table(name, schema=schema):
        raise TableError(f"{external.name}: not found{table_names.suggestion(inspector, name, schema)}")
    existing = _column_names(connection, schema, name)
    for required in columns:
        if required.name not in existing:
            names = ", ".join(map(repr, existing))
            raise TableError(f"{external.name}: column {required.name!r} not found; choose from {names}")
    return table(name, *columns, schema=schema)


def labels_table(name: str, schema: str | None, keys: Sequence[Column[Any]], *, kind: TaskKind = "single") -> Table:
    """Return a table of labels with these key columns.

    A multi-label task has a list of categories: an array in Postgres, and JSON in other databases.
    """
    categories = Column("categories", JSON(none_as_null=True).with_variant(ARRAY(Text), "postgresql"))
    return Table(
        name,
        MetaData(),
        *keys,
        Column("model", Text, nullable=False),
        categories if kind == "multi" else Column("category", Text),
        Column("confidence", REAL),
        Column("probabilities", JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")),
        Column("text_hash", String(64)),
        Column(
            "labelled_at",
            DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb"),
            nullable=False,
        ),
        Column("error", Text),
        schema=schema,
    )


def _check_labels(connection: Connection, inspector: Inspector, pair: TablePair) -> None:
    name, schema = pair.labels.name, pair.labels.schema
    existing = _column_names(connection, schema, name)
    _refuse_other_kind(pair, existing)
    if missing := [column.name for column in pair.labels.columns if column.name not in existing]:
        names = ", ".join(map(repr, missing))
        raise TableError(
            f"table {pair.labels.fullname!r}: not a table of labels, column {names} not found; name another with --out"
        )
    keys = [key.key or "" for key in pair.label_keys]
    if not _is_unique(inspector, name, schema, keys):
        raise TableError(
            f"table {pair.labels.fullname!r}: not a table of labels, {', '.join(map(repr, keys))} must be its primary "
            "key; name another with --out"
        )


def _refuse_other_kind(pair: TablePair, existing: Sequence[str]) -> None:
    """Refuse a table with the labels of a task of the other kind."""
    column, other, kind = "category", "categories", "multi-label"
    if other in pair.labels.c:
        column, other, kind = other, column, "single-label"
    if other in existing and column not in existing and "model" in existing:
        name = table_names.shown(pair.labels.schema, pair.labels.name)
        raise TableError(f"table {name!r}: has the labels of a {kind} task; name another with --out")


def _check_out(connection: Connection, pair: TablePair) -> None:
    name, schema, dialect, inspector = pair.labels.name, pair.labels.schema, connection.dialect, inspect(connection)
    shown = table_names.shown(schema, name)
    # a server cuts longer names, perhaps to the name of another table
    if dialect.name == "postgresql" and len(name.encode()) > dialect.max_identifier_length:
        raise TableError(f"--out {shown}: is longer than {dialect.max_identifier_length} bytes; name a shorter one")
    if schema is not None and schema not in inspector.get_schema_names():
        raise TableError(f"--out {shown}: schema {schema!r} not found; create it, or name another with --out-schema")
    if inspector.has_table(name, schema=schema):
        _check_labels(connection, inspector, pair)


def _column_names(connection: Connection, schema: str | None, name: str) -> list[str]:
    if connection.dialect.name == "postgresql":
        return postgres_keys.column_names(connection, table_names.quoted(schema, name))
    return [described["name"] for described in inspect(connection).get_columns(name, schema=schema)]


def _has_unique_columns(connection: Connection, external: ExternalTable) -> bool:
    """Return whether a constraint makes the key unique in the external table."""
    schema, name = table_names.split(external.table or "")
    if connection.dialect.name == "postgresql":
        relation = table_names.quoted(schema, name)
        return postgres_keys.is_unique(connection, relation, external.keys)
    return _is_unique(inspect(connection), name, schema, external.keys)


def _is_unique(inspector: Inspector, name: str, schema: str | None, keys: Sequence[str]) -> bool:
    """Return whether a constraint, or an index over all rows, makes the columns unique."""
    indexes = inspector.get_indexes(name, schema=schema)
    unique_column_lists: list[Any] = [
        inspector.get_pk_constraint(name, schema=schema)["constrained_columns"],
        *(constraint["column_names"] for constraint in inspector.get_unique_constraints(name, schema=schema)),
        *(
            index["column_names"]
            for index in indexes
            if index["unique"] and not any(option.endswith("_where") for option in index.get("dialect_options", {}))
        ),
    ]
    return any(columns and set(columns) <= set(keys) for columns in unique_column_lists)
