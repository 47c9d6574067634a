"""The definition of an external table: the source to label, its checks, and the table of its labels."""

from __future__ import annotations

import difflib
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
    false,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateTable, CreateTableAs
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from classifier.exceptions import TableError
from classifier.external_table import statements
from classifier.external_table.statements import TablePair
from classifier.store.external_databases import user_select

COLUMNS = ("model", "category", "confidence", "probabilities", "text_hash", "labelled_at", "error")
"""The columns of a table of labels after the key."""

_TEMPORARY_TABLE = "classifier_columns_of_a_source"


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A user's choice of a table, `[SCHEMA.]NAME`, or a query, with its key and text columns.

    `out` is the table of its labels, `TABLE_labels` if it is None.
    """

    key: str
    text: str
    table: str | None = None
    query: str | None = None
    out: str | None = None

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"table {self.table!r}" if self.table else "the query"


def find_table(connection: Connection, external: ExternalTable) -> TablePair:
    """Return the table or query with the table of its labels, which need not exist yet.

    Raises:
        TableError: there is no such table, a column is missing, or the table of labels has other columns.
    """
    if external.key.lower() in COLUMNS:
        raise TableError(
            f"{external.name}: the key {external.key!r} has the name of a column of the labels; rename it in a --query"
        )
    inspector = inspect(connection)
    schema, _ = _split_name(external.table or "")
    out_schema, out = _split_name(external.out or f"{external.table}_labels")
    out_schema = out_schema or schema
    qualified_out = (out_schema or inspector.default_schema_name, out)
    if external.table and _qualified_name(inspector, external.table) == qualified_out:
        raise TableError(f"--out {external.out}: is the table to label; name another table")
    source = _source(inspector, external)
    key = Column(external.key, _set_key_type(connection, source, external), primary_key=True, autoincrement=False)
    pair = TablePair(source, source.c[external.key], source.c[external.text], labels_table(out, out_schema, key))
    if inspector.has_table(out, schema=out_schema):
        _check_labels(inspector, pair)
    return pair


def check_key(connection: Connection, external: ExternalTable, pair: TablePair) -> None:
    """Raise an error if a key is null or not unique; if no constraint guarantees that, all keys are read.

    Raises:
        TableError: a key is null, or two rows have the same key.
    """
    rule = "a key must be unique and never null"
    if connection.execute(select(pair.key).where(pair.key.is_(None)).limit(1)).first() is not None:
        raise TableError(f"{external.name}: column {external.key!r} has nulls; {rule}")
    if external.table:
        schema, name = _split_name(external.table)
        if _is_unique(inspect(connection), name, schema, external.key):
            return
    twice = select(func.count()).select_from(pair.source).group_by(pair.key).having(func.count() > 1).limit(1)
    if connection.execute(twice).first() is not None:
        raise TableError(f"{external.name}: column {external.key!r} has the same value twice; {rule}")


def create_labels(connection: Connection, pair: TablePair) -> None:
    """Create the table of labels if it does not exist."""
    # IF NOT EXISTS alone fails if two workers create it at the same time
    statements.claim_rows(connection, pair, "create", wait=True)
    connection.execute(CreateTable(pair.labels, if_not_exists=True))


def _source(inspector: Inspector, external: ExternalTable) -> FromClause:
    """Return the table or query to read; its columns have no types yet."""
    columns: list[ColumnClause[Any]] = [column(name) for name in dict.fromkeys((external.key, external.text))]
    if external.table is None:
        return user_select(external.query or "").columns(*columns).subquery("source")
    schema, name = _split_name(external.table)
    if not inspector.has_table(name, schema=schema):
        raise TableError(f"{external.name}: not found{_suggestion(inspector, name, schema)}")
    existing = [described["name"] for described in inspector.get_columns(name, schema=schema)]
    for required in columns:
        if required.name not in existing:
            names = ", ".join(map(repr, existing))
            raise TableError(f"{external.name}: column {required.name!r} not found; choose from {names}")
    return table(name, *columns, schema=schema)


def _set_key_type(connection: Connection, source: FromClause, external: ExternalTable) -> TypeEngine[Any]:
    """Set the type of the source's key, and return it.

    The type is the one that the database gives a copy of the column. So a query's columns have types too, with their
    lengths and collations.
    """
    connection.execute(CreateTableAs(select(source).where(false()), _TEMPORARY_TABLE, temporary=True))
    described = inspect(connection).get_columns(_TEMPORARY_TABLE)
    types = {column["name"]: column["type"] for column in described}
    Table(_TEMPORARY_TABLE, MetaData()).drop(connection)
    key = types[external.key]
    if connection.dialect.name == "sqlite":
        return _DeclaredType("BLOB" if isinstance(key, NullType) else key.compile(connection.dialect))
    if isinstance(key, NullType):
        raise TableError(f"{external.name}: column {external.key!r} has an unknown type; cast it in a --query")
    if not _may_hold_text(types[external.text]):
        kind = types[external.text].compile(connection.dialect)
        raise TableError(f"{external.name}: column {external.text!r} holds {kind}; it must hold text")
    source.c[external.key].type = key
    return key


class _DeclaredType(UserDefinedType[Any]):
    """A type of SQLite under its declared name. In SQLite each value has a type, and is passed on unchanged."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    def get_col_spec(self, **_: Any) -> str:
        """Return the type in CREATE TABLE."""
        return self.declared


def labels_table(name: str, schema: str | None, key: Column[Any]) -> Table:
    """Return a table of labels with that key."""
    return Table(
        name,
        MetaData(),
        key,
        Column("model", Text, nullable=False),
        Column("category", Text),
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


def _check_labels(inspector: Inspector, pair: TablePair) -> None:
    name, schema = pair.labels.name, pair.labels.schema
    existing = {described["name"] for described in inspector.get_columns(name, schema=schema)}
    if missing := [column.name for column in pair.labels.columns if column.name not in existing]:
        names = ", ".join(map(repr, missing))
        raise TableError(
            f"table {pair.labels.fullname!r}: not a table of labels, column {names} not found; name another with --out"
        )
    key = pair.label_key.key or ""
    if not _is_unique(inspector, name, schema, key):
        raise TableError(
            f"table {pair.labels.fullname!r}: not a table of labels, {key!r} must be its primary key; "
            "name another with --out"
        )


def _is_unique(inspector: Inspector, name: str, schema: str | None, key: str) -> bool:
    """Return whether a constraint, or an index over all rows, makes the column unique."""
    indexes = inspector.get_indexes(name, schema=schema)
    unique_column_lists = [
        inspector.get_pk_constraint(name, schema=schema)["constrained_columns"],
        *(constraint["column_names"] for constraint in inspector.get_unique_constraints(name, schema=schema)),
        *(
            index["column_names"]
            for index in indexes
            if index["unique"] and not index.get("dialect_options", {}).get("postgresql_where")
        ),
    ]
    return [key] in unique_column_lists


def _may_hold_text(kind: TypeEngine[Any]) -> bool:
    try:
        return kind.python_type is str
    except NotImplementedError:  # a type of the database's own: each value is checked when it is read
        return True


def _split_name(name: str) -> tuple[str | None, str]:
    """Return the schema, None for the default one, and the name of the table."""
    schema, _, table_name = name.rpartition(".")
    return schema or None, table_name


def _qualified_name(inspector: Inspector, name: str) -> tuple[str | None, str]:
    schema, table_name = _split_name(name)
    return schema or inspector.default_schema_name, table_name


def _suggestion(inspector: Inspector, name: str, schema: str | None) -> str:
    """Return a question that names the table whose name is most similar, or nothing."""
    tables = {table_name.lower(): table_name for table_name in inspector.get_table_names(schema=schema)}
    matches = difflib.get_close_matches(name.lower(), tables, 1)
    return f"; is {tables[matches[0]]!r} meant?" if matches else ""
