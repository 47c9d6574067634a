"""Names of external tables: split, quoted, and suggested."""

from __future__ import annotations

import difflib
import re

from sqlalchemy import Inspector

_QUOTED = re.compile(r'(?:(?P<schema>"(?:[^"]|"")+"|[^".]+)\.)?(?P<table>"(?:[^"]|"")+")')


def split(name: str) -> tuple[str | None, str]:
    """Return the schema, None for the default one, and the name of the table.

    The last dot separates them. A name that holds dots is written in double quotes, as in SQL.
    """
    if match := _QUOTED.fullmatch(name):
        schema = match["schema"]
        return schema and _unquoted(schema), _unquoted(match["table"])
    schema, _, table = name.rpartition(".")
    return (_unquoted(schema) or None), table


def shown(schema: str | None, table: str) -> str:
    """Return a name for messages."""
    return f"{schema}.{table}" if schema else table


def quoted(schema: str | None, table: str) -> str:
    """Return a name as Postgres' function `to_regclass` reads it."""
    parts = [schema, table] if schema else [table]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def suggestion(inspector: Inspector, name: str, schema: str | None) -> str:
    """Return a question that names the table whose name is most similar, or nothing."""
    tables = {table.lower(): table for table in inspector.get_table_names(schema=schema)}
    matches = difflib.get_close_matches(name.lower(), tables, 1)
    return f"; is {tables[matches[0]]!r} meant?" if matches else ""


def _unquoted(name: str) -> str:
    is_quoted = len(name) > 2 and name[0] == name[-1] == '"'
    return name[1:-1].replace('""', '"') if is_quoted else name
