"""The types of key columns: of the table, of their copies in the table of labels, and what cannot be copied.

A key that could not be read back exactly would be left out, or labelled without end. So it is refused first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    FromClause,
    MetaData,
    String,
    Table,
    Text,
    cast,
    false,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.schema import CreateTableAs
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from classifier.exceptions import TableError
from classifier.external_table import postgres_keys, table_names
from classifier.external_table.postgres_keys import MAX_KEY_BYTES, PostgresColumn
from classifier.external_table.statements import TablePair

if TYPE_CHECKING:
    from classifier.external_table.definition import ExternalTable

_TEMPORARY_TABLE = "classifier_columns_of_a_source"
_INDEXED_LENGTH = 255  # of text in a key, where a database requires a length

_COPIES: dict[str, type[TypeEngine[Any]]] = {"integer": BigInteger, "real": Double, "text": Text}
"""The types of copies for the types of SQLite's values."""


class DeclaredType(UserDefinedType[Any]):
    """A type of SQLite under its declared name. In SQLite each value has a type, and is passed on unchanged."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    def get_col_spec(self, **_: Any) -> str:
        """Return the type in CREATE TABLE."""
        return self.declared


def set_key_types(connection: Connection, source: FromClause, external: ExternalTable) -> tuple[TypeEngine[Any], ...]:
    """Set the types of the source's key columns, and return them.

    Raises:
        TableError: a key has no order, or the text column holds no text.
    """
    if connection.dialect.name == "postgresql":
        types = _types_of_postgres(connection, source, external)
    else:
        types = _types_of_a_copy(connection, source, external)
    for name, kind in zip(external.keys, types, strict=True):
        source.c[name].type = kind
    return types


def copied_types(
    connection: Connection,
    out: Connection,
    source: FromClause,
    external: ExternalTable,
    types: tuple[TypeEngine[Any], ...],
) -> tuple[TypeEngine[Any], ...]:
    """Return the types of the keys' copies in another database: exact ones, or the keys' text.

    Raises:
        TableError: the keys of a column have several types, or a type that cannot be copied exactly.
    """
    target = out.dialect.name
    text = Text().with_variant(String(_INDEXED_LENGTH), "mysql", "mariadb")
    if connection.dialect.name == "postgresql":
        columns = _postgres_columns(connection, source, external)
        return tuple(
            kind
            if not isinstance(kind, postgres_keys.TextTransported)
            else postgres_keys.TextTransported(described.name)
            if target == "postgresql" and described.is_portable
            else text
            for kind, described in zip(types, columns, strict=True)
        )
    if connection.dialect.name == "sqlite":
        return (
            types if target == "sqlite" else tuple(_values_type(connection, source, external, n) for n in external.keys)
        )
    if target == connection.dialect.name:
        return types
    return tuple(_generic_type(external, *pair) for pair in zip(external.keys, types, strict=True))


def check_values(connection: Connection, external: ExternalTable, pair: TablePair) -> None:
    """Raise an error if a key of SQLite is text that the driver cannot read, or that the labels cannot store.

    Raises:
        TableError: a key is not UTF-8, or has a NUL character that the database of the labels refuses.
    """
    if connection.dialect.name != "sqlite":
        return
    is_copied = not all(isinstance(key.type, DeclaredType) for key in pair.label_keys)
    for key in pair.keys:
        texts = select(key).where(func.typeof(key) == "text")
        for value in connection.execution_options(yield_per=1000).scalars(texts):
            problem = _problem_of_text(value, is_copied=is_copied)
            if problem:
                raise TableError(f"{external.name}: column {key.key!r} has {problem}; make another key in a --query")


def check_lengths(connection: Connection, external: ExternalTable, pair: TablePair) -> None:
    """Raise an error if a key without a unique index is too long for the index of the labels.

    Raises:
        TableError: a key is too long.
    """
    if connection.dialect.name != "postgresql":
        return
    size = sum((func.octet_length(cast(key, Text)) for key in pair.keys), literal(0))
    statement = select(literal(1)).select_from(pair.source).where(size > MAX_KEY_BYTES).limit(1)
    if connection.execute(statement).first() is not None:
        names = ", ".join(map(repr, external.keys))
        problem = f"a key ({names}) has more than {MAX_KEY_BYTES:,} bytes, which no index holds"
        raise TableError(f"{external.name}: {problem}; use its md5() as the key in a --query")


def _postgres_columns(connection: Connection, source: FromClause, external: ExternalTable) -> list[PostgresColumn]:
    relation = table_names.quoted(*table_names.split(external.table)) if external.table else None
    return [postgres_keys.describe_column(connection, source, name, relation) for name in external.keys]


def _types_of_postgres(
    connection: Connection, source: FromClause, external: ExternalTable
) -> tuple[TypeEngine[Any], ...]:
    columns = _postgres_columns(connection, source, external)
    relation = table_names.quoted(*table_names.split(external.table)) if external.table else None
    text = postgres_keys.describe_column(connection, source, external.text, relation)
    if not text.holds_text:
        raise TableError(f"{external.name}: column {external.text!r} holds {text.name}; it must hold text")
    for name, described in zip(external.keys, columns, strict=True):
        postgres_keys.check_order(connection, source, source.c[name], described, external.name)
    return tuple(map(postgres_keys.key_type, columns))


def _types_of_a_copy(
    connection: Connection, source: FromClause, external: ExternalTable
) -> tuple[TypeEngine[Any], ...]:
    """Return the types that the database gives a copy of the columns, so that a query's columns have types too."""
    connection.execute(CreateTableAs(select(source).where(false()), _TEMPORARY_TABLE, temporary=True))
    described = inspect(connection).get_columns(_TEMPORARY_TABLE)
    types = {column["name"]: column["type"] for column in described}
    Table(_TEMPORARY_TABLE, MetaData()).drop(connection)
    keys = [types[name] for name in external.keys]
    if connection.dialect.name == "sqlite":
        return tuple(
            DeclaredType("BLOB" if isinstance(key, NullType) else key.compile(connection.dialect)) for key in keys
        )
    for name, key in zip(external.keys, keys, strict=True):
        if isinstance(key, NullType):
            raise TableError(f"{external.name}: column {name!r} has an unknown type; CAST it in a --query")
    if not _may_hold_text(types[external.text]):
        kind = types[external.text].compile(connection.dialect)
        raise TableError(f"{external.name}: column {external.text!r} holds {kind}; it must hold text")
    return tuple(keys)


def _values_type(connection: Connection, source: FromClause, external: ExternalTable, name: str) -> TypeEngine[Any]:
    """Return the type for copies of a column of SQLite, all of whose values must have the same type."""
    types = list(connection.scalars(select(func.typeof(source.c[name])).where(source.c[name].is_not(None)).distinct()))
    if len(types) > 1 or not set(types) <= set(_COPIES):
        problem = (
            f"column {name!r} holds values of type {', '.join(sorted(types))}, which another database cannot store"
        )
        raise TableError(f"{external.name}: {problem}; CAST it in a --query")
    kind = types[0] if types else "text"
    return Text().with_variant(String(_INDEXED_LENGTH), "mysql", "mariadb") if kind == "text" else _COPIES[kind]()


def _generic_type(external: ExternalTable, name: str, kind: TypeEngine[Any]) -> TypeEngine[Any]:
    try:
        python_type: type | None = kind.python_type
    except NotImplementedError:
        python_type = None
    if python_type is int:
        return BigInteger()
    if python_type is str:
        return Text().with_variant(String(_INDEXED_LENGTH), "mysql", "mariadb")
    raise TableError(f"{external.name}: column {name!r} cannot be copied to another database; CAST it in a --query")


def _problem_of_text(value: Any, *, is_copied: bool) -> str | None:
    """Return what is wrong with a key of SQLite, or None; bytes are text that is not UTF-8."""
    if not isinstance(value, str):
        return "text that is not UTF-8"
    if is_copied and "\0" in value:
        return "text with a NUL character"
    too_long = is_copied and len(value) * 4 > MAX_KEY_BYTES and len(value.encode()) > MAX_KEY_BYTES
    return f"text of more than {MAX_KEY_BYTES:,} bytes" if too_long else None


def _may_hold_text(kind: TypeEngine[Any]) -> bool:
    try:
        return kind.python_type is str
    except NotImplementedError:  # a type of the database's own: each value is checked when it is read
        return True
