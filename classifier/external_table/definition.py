"""Find the table or query that is to be labelled, say what is wrong with it, and make the labels' table."""

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
from classifier.external_table.statements import Pair
from classifier.store.external_databases import user_select

COLUMNS = ("model", "category", "confidence", "probabilities", "text_hash", "labelled_at", "error")
"""The columns of a table of labels, beside the key."""

_ASIDE = "classifier_columns_of_a_source"


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """What a user asked for: a table, `[SCHEMA.]NAME`, or a query; `out` is the table of its labels."""

    key: str
    text: str
    table: str | None = None
    query: str | None = None
    out: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"table {self.table!r}" if self.table else "the query"


def find_table(connection: Connection, wanted: ExternalTable) -> Pair:
    """Return the table or query with the table of its labels, which need not be there yet.

    Raises:
        TableError: there is no such table, it lacks a column, or the labels' table has another form.
    """
    if wanted.key.lower() in COLUMNS:
        raise TableError(f"{wanted.name}: the key {wanted.key!r} has the name of a column of labels; rename it")
    inspector = inspect(connection)
    schema, _ = _named(wanted.table or "")
    out_schema, out = _named(wanted.out or f"{wanted.table}_labels")
    out_schema = out_schema or schema
    if wanted.table and _full(inspector, wanted.table) == (out_schema or inspector.default_schema_name, out):
        raise TableError(f"--out {wanted.out}: is the table that is to be labelled; name another")
    source = _source(inspector, wanted)
    key = Column(wanted.key, _typed(connection, source, wanted), primary_key=True, autoincrement=False)
    pair = Pair(source, source.c[wanted.key], source.c[wanted.text], labels_table(out, out_schema, key))
    if inspector.has_table(out, schema=out_schema):
        _check_labels(inspector, pair)
    return pair


def check_key(connection: Connection, wanted: ExternalTable, pair: Pair) -> None:
    """Refuse a key that is null or comes twice; where no constraint says so, by reading all of them.

    Raises:
        TableError: it does.
    """
    rule = "a key is unique and never null"
    if connection.execute(select(pair.key).where(pair.key.is_(None)).limit(1)).first() is not None:
        raise TableError(f"{wanted.name}: column {wanted.key!r} has nulls; {rule}")
    if wanted.table:
        schema, name = _named(wanted.table)
        if _is_unique(inspect(connection), name, schema, wanted.key):
            return
    twice = select(func.count()).select_from(pair.source).group_by(pair.key).having(func.count() > 1).limit(1)
    if connection.execute(twice).first() is not None:
        raise TableError(f"{wanted.name}: column {wanted.key!r} has the same value twice; {rule}")


def create_labels(connection: Connection, pair: Pair) -> None:
    """Create the table of labels if it is not there."""
    statements.claim_rows(connection, pair, "create", wait=True)  # IF NOT EXISTS alone fails where two come at once
    connection.execute(CreateTable(pair.labels, if_not_exists=True))


def _source(inspector: Inspector, wanted: ExternalTable) -> FromClause:
    """Return what is read; its columns have no types yet."""
    columns: list[ColumnClause[Any]] = [column(name) for name in dict.fromkeys((wanted.key, wanted.text))]
    if wanted.table is None:
        return user_select(wanted.query or "").columns(*columns).subquery("source")
    schema, name = _named(wanted.table)
    if not inspector.has_table(name, schema=schema):
        raise TableError(f"no such table {wanted.table!r}{_alike(inspector, name, schema)}")
    there = [found["name"] for found in inspector.get_columns(name, schema=schema)]
    for one in columns:
        if one.name not in there:
            names = ", ".join(repr(found) for found in there)
            raise TableError(f"{wanted.name}: no column {one.name!r}; its columns are {names}")
    return table(name, *columns, schema=schema)


def _typed(connection: Connection, source: FromClause, wanted: ExternalTable) -> TypeEngine[Any]:
    """Give the source's key its type and return that: the one that the database gives a copy of the column.

    This way a query's columns are known, too, with their lengths and collations.
    """
    connection.execute(CreateTableAs(select(source).where(false()), _ASIDE, temporary=True))
    types = {found["name"]: found["type"] for found in inspect(connection).get_columns(_ASIDE)}
    Table(_ASIDE, MetaData()).drop(connection)
    key = types[wanted.key]
    if connection.dialect.name == "sqlite":
        return _Declared("BLOB" if isinstance(key, NullType) else key.compile(connection.dialect))
    if isinstance(key, NullType):
        raise TableError(f"{wanted.name}: column {wanted.key!r} is of a type that is not known; cast it in a --query")
    if not _may_be_text(types[wanted.text]):
        kind = types[wanted.text].compile(connection.dialect)
        raise TableError(f"{wanted.name}: column {wanted.text!r} holds {kind}, where text is expected")
    source.c[wanted.key].type = key
    return key


class _Declared(UserDefinedType[Any]):
    """A type of SQLite as it is declared: values have types there, and are passed back as they came."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    def get_col_spec(self, **_: Any) -> str:
        """Return what stands in CREATE TABLE."""
        return self.declared


def labels_table(name: str, schema: str | None, key: Column[Any]) -> Table:
    """Describe a table of labels by that key."""
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


def _check_labels(inspector: Inspector, pair: Pair) -> None:
    name, schema = pair.labels.name, pair.labels.schema
    there = {found["name"] for found in inspector.get_columns(name, schema=schema)}
    if lacking := [column.name for column in pair.labels.columns if column.name not in there]:
        names = ", ".join(map(repr, lacking))
        raise TableError(
            f"table {pair.labels.fullname!r} is not one of labels: no column {names}; name another by --out"
        )
    key = pair.label_key.key or ""
    if not _is_unique(inspector, name, schema, key):
        raise TableError(f"table {pair.labels.fullname!r} is not one of labels: its {key!r} is no primary key")


def _is_unique(inspector: Inspector, name: str, schema: str | None, key: str) -> bool:
    """Say whether a constraint or a whole index makes the column unique."""
    indexes = inspector.get_indexes(name, schema=schema)
    whole = [one for one in indexes if one["unique"] and not one.get("dialect_options", {}).get("postgresql_where")]
    found = [
        inspector.get_pk_constraint(name, schema=schema)["constrained_columns"],
        *(one["column_names"] for one in inspector.get_unique_constraints(name, schema=schema)),
        *(one["column_names"] for one in whole),
    ]
    return [key] in found


def _may_be_text(kind: TypeEngine[Any]) -> bool:
    try:
        return kind.python_type is str
    except NotImplementedError:  # the database's own type: its values will show
        return True


def _named(name: str) -> tuple[str | None, str]:
    """Return the schema, None for the default one, and the table."""
    schema, _, table_name = name.rpartition(".")
    return schema or None, table_name


def _full(inspector: Inspector, name: str) -> tuple[str | None, str]:
    schema, table_name = _named(name)
    return schema or inspector.default_schema_name, table_name


def _alike(inspector: Inspector, name: str, schema: str | None) -> str:
    there = {found.lower(): found for found in inspector.get_table_names(schema=schema)}
    alike = [there[found] for found in difflib.get_close_matches(name.lower(), there, 1)]
    return f"; is {alike[0]!r} meant?" if alike else ""
