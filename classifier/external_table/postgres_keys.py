"""The key columns of a table or query of Postgres: their types, from the catalogs, and whether they are unique.

All values but integers travel as text, and are cast to the column's type in each statement. So every type keeps its
exact values, its own order and its own equality: infinite times, years before Christ, arrays, NaN, and types that the
driver does not know. The driver's own values would lose some of them, or could not be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Row,
    SmallInteger,
    Text,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.dialects.postgresql.pg_catalog import pg_attribute, pg_class, pg_index, pg_inherits, pg_type
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.types import TypeEngine, UserDefinedType

from classifier.exceptions import TableError

SESSION = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}
"""The settings in which a value's text is exact, and the same on two servers."""

MAX_KEY_BYTES = 2600
"""What fits in an entry of an index, 2,704 bytes, with its header."""

_INTEGERS: dict[int, type[TypeEngine[int]]] = {20: BigInteger, 21: SmallInteger, 23: Integer}
_DEFAULT_COLLATION = '"default"'
_FIRST_USER_OID = 16384  # types of extensions and users have higher ones
_UNDEFINED_FUNCTION = "42883"
_LOCAL_TEXT = {"money"}  # its text depends on the server's lc_monetary
_TEXT_CATEGORIES = {"S", "E"}  # strings and enumerations


class TextTransported(UserDefinedType[str]):
    """A type of Postgres under its declared name, whose values are read and written as text."""

    cache_ok = True

    def __init__(self, declared: str, collation: str = "", *, is_row: bool = False) -> None:
        self.declared, self.collation, self.is_row = declared, collation, is_row

    def get_col_spec(self, **_: Any) -> str:
        """Return the type in CREATE TABLE and CAST."""
        return self.declared + self.collation

    def bind_expression(self, bindvalue: Any) -> ColumnElement[str]:
        """Return the cast of a value's text to the type."""
        return cast(bindvalue, TextTransported(self.declared))

    def column_expression(self, column: Any) -> ColumnElement[str]:
        """Return a column as text."""
        return cast(column, Text)


@dataclass(frozen=True, slots=True)
class PostgresColumn:
    """A column's type, without domains around it, and its collation; both are quoted as SQL needs it.

    `kind` is the catalog's typtype: b for a base type, c for rows, e for an enumeration, p for a pseudo-type.
    """

    oid: int
    name: str
    kind: str
    category: str
    collation: str | None

    @property
    def holds_text(self) -> bool:
        """Whether the values are strings."""
        return self.category in _TEXT_CATEGORIES

    @property
    def is_portable(self) -> bool:
        """Whether every database of Postgres knows the type, and shows its values by the same text."""
        is_local = self.name in _LOCAL_TEXT or self.name.startswith("reg")
        return self.oid < _FIRST_USER_OID and self.kind in "br" and not is_local


def column_names(connection: Connection, relation: str) -> list[str]:
    """Return the names of a table's columns; SQLAlchemy's inspector would warn of types that it does not know."""
    columns = pg_attribute.c
    names = select(columns.attname).where(columns.attrelid == _relation_oid(relation), columns.attnum > 0)
    return list(connection.scalars(names.where(~columns.attisdropped).order_by(columns.attnum)))


def describe_column(connection: Connection, source: FromClause, name: str, relation: str | None) -> PostgresColumn:
    """Return a column of a table, whose quoted name is `relation`, or of a query."""
    value, row = _null_value(source, name)
    if relation is not None:
        columns = select(pg_attribute.c.atttypid, pg_attribute.c.atttypmod)
        columns = columns.where(pg_attribute.c.attrelid == _relation_oid(relation), pg_attribute.c.attname == name)
        oid, modifier = connection.execute(columns).one()
    else:
        oid, modifier = connection.execute(select(cast(func.pg_typeof(value), OID)).select_from(row)).scalar_one(), -1
    while (described := _type(connection, oid)).typtype == "d":
        oid, modifier = described.typbasetype, described.typtypmod
    shown = connection.execute(select(func.format_type(oid, modifier))).scalar_one()
    collation = select(func.pg_collation_for(value)).select_from(row)
    name_of_collation = connection.execute(collation).scalar_one() if described.typcollation else None
    return PostgresColumn(oid, shown, described.typtype, described.typcategory, name_of_collation)


def _type(connection: Connection, oid: int) -> Row[Any]:
    names = ("typtype", "typbasetype", "typtypmod", "typcategory", "typcollation")
    return connection.execute(select(*(pg_type.c[name] for name in names)).where(pg_type.c.oid == oid)).one()


def key_type(described: PostgresColumn) -> TypeEngine[Any]:
    """Return the type of a key column, and of its copy in the same database."""
    if described.oid in _INTEGERS:
        return _INTEGERS[described.oid]()
    if described.collation in {None, _DEFAULT_COLLATION}:
        return TextTransported(described.name, is_row=described.kind == "c")
    return TextTransported(described.name, f" COLLATE {described.collation}")


def check_order(
    connection: Connection, source: FromClause, key: ColumnElement[Any], described: PostgresColumn, name: str
) -> None:
    """Raise an error if the values of a key column have no order; `name` is the source's name in messages.

    Raises:
        TableError: the column's type has no order.
    """
    problem = f"{name}: column {key.key!r} holds {described.name}, which has no order; CAST it in a --query"
    if described.kind == "p":
        raise TableError(problem)
    try:
        connection.execute(select(literal(1)).select_from(source).order_by(key).limit(0))
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) == _UNDEFINED_FUNCTION:
            raise TableError(problem) from error
        raise


def is_unique(connection: Connection, relation: str, names: Sequence[str]) -> bool:
    """Return whether an index makes a table's columns unique; a table's index does not hold for its children."""
    oid = connection.execute(select(_relation_oid(relation))).scalar_one()
    columns = select(pg_attribute.c.attnum, pg_attribute.c.attcollation)
    columns = columns.where(pg_attribute.c.attrelid == oid, pg_attribute.c.attname.in_(names))
    numbers: dict[int, int] = dict(connection.execute(columns).all())
    indexes = connection.execute(
        select(pg_index.c.indnkeyatts, pg_index.c.indkey, pg_index.c.indcollation, _has_children(oid))
        .where(pg_index.c.indrelid == oid, pg_index.c.indisunique, pg_index.c.indisvalid, pg_index.c.indpred.is_(None))
    )  # fmt: skip
    for count, indexed_columns, collations, has_children in indexes:
        indexed = dict(zip(indexed_columns[:count], collations, strict=False))
        if not has_children and indexed.items() <= numbers.items():
            return True
    return False


def _relation_oid(relation: str) -> ColumnElement[int]:
    return cast(func.to_regclass(relation), OID)


def _has_children(oid: int) -> ColumnElement[bool]:
    """Return whether other tables inherit from a table; partitions do not count, since indexes hold for all of them."""
    children = select(pg_inherits.c.inhrelid).where(pg_inherits.c.inhparent == oid).exists()
    ordinary = select(pg_class.c.oid).where(pg_class.c.oid == oid, pg_class.c.relkind == "r").exists()
    return (children & ordinary).label("has_children")


def _null_value(source: FromClause, name: str) -> tuple[ColumnElement[Any], FromClause]:
    """Return a null of the type and collation of a source's column, and its row; no row of the source is read."""
    row = select(literal(1).label("one")).subquery("one")
    none = select(source.c[name].label("value")).limit(0).subquery("none")
    return none.c.value, row.outerjoin(none, true())
