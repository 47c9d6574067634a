"""`docs/reference/tables-and-views.md`: tables from SQLAlchemy's metadata, views from the migrations."""

from __future__ import annotations

import re
from functools import cache

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from classifier.store import schema, tables, views
from tools.pages import page, table

INTRODUCTION = """
`classifier db upgrade` creates these tables and views.
Analysts read views and the columns that hold no article text; see
[roles](../explanation/security.md#database-roles).
"""

_VIEW = re.compile(r"CREATE (?:OR REPLACE )?VIEW \w+ AS\s*(.*?);", re.DOTALL)
_COMMENT = re.compile(r"COMMENT ON VIEW \w+ IS\s+'((?:[^']|'')*)'")


def tables_page() -> str:
    """Return the page."""
    contents = [_table(item) for item in tables.metadata.sorted_tables]
    return page("Tables and views", INTRODUCTION, *map(_view, sorted(view_definitions())), *contents)


@cache
def view_definitions() -> dict[str, str]:
    """Return the SQL that creates each view, by name: that of the last migration that defines it."""
    oldest_first = reversed(list(schema.scripts().walk_revisions()))
    return {name: sql for step in oldest_first for name, sql in getattr(step.module, "VIEWS", {}).items()}


def _view(name: str) -> str:
    """Return a view's comment, and its columns if the store declares them, else its SELECT."""
    sql = view_definitions()[name]
    (comment,), (select,) = _COMMENT.findall(sql), _VIEW.findall(sql)
    declared = getattr(views, name, None)
    columns = [(f"`{column.name}`", _type(column)) for column in declared.columns] if declared is not None else []
    contents = table(("column", "type"), columns) if columns else f"```sql\n{select.strip()}\n```"
    return "\n\n".join([f"## View `{name}`", comment.replace("''", "'") + ".", contents])


def _table(item: Table) -> str:
    parts = [f"## Table `{item.name}`"]
    if item.comment:
        parts.append(f"{item.comment[0].upper()}{item.comment[1:]}.")
    rows = [(f"`{column.name}`", _type(column), _rules(column), column.comment or "") for column in item.columns]
    parts.append(table(("column", "type", "rules", "meaning"), rows))
    return "\n\n".join(parts)


def _type(column: Column[object]) -> str:
    return str(column.type.compile(dialect=postgresql.dialect())).lower()  # type: ignore[no-untyped-call]


def _rules(column: Column[object]) -> str:
    rules = ["primary key"] if column.primary_key else [] if column.nullable else ["not null"]
    rules += [f"→ `{key.target_fullname}`" for key in column.foreign_keys]
    if column.server_default is not None and (default := getattr(column.server_default, "arg", None)) is not None:
        rules.append(f"default {default}")
    return ", ".join(rules)
