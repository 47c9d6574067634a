"""`docs/reference/tables-and-views.md`: tables from SQLAlchemy's metadata, views from the migrations."""

from __future__ import annotations

import contextlib
import importlib
import re
from pathlib import Path

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from classifier.store import schema, tables
from tools.pages import page, table

INTRODUCTION = """
`classifier db upgrade` creates these tables and views.
Analysts read views and the columns that hold no article text; see [permissions.md](permissions.md).
"""

VIEWS = {
    "article_labels": "What users read: one row an article, with its annotation or else the champion's prediction.",
    "effective_annotations": "The annotation of an article that counts: a person's before a source's, then the newest.",
    "annotations_in_force": "The annotations that hold for the article's present text.",
    "annotation_opinions": "The last annotation of each person for each article.",
    "annotation_conflicts": "Articles on which people disagree.",
    "text_clusters": "The clusters of near-duplicates that a text belongs to.",
}

_VIEW = re.compile(r"CREATE (?:OR REPLACE )?VIEW (\w+) AS\s*(.*?)(?:;|\"\"\"|\Z)", re.DOTALL)
_COMMENT = re.compile(r"COMMENT ON VIEW (\w+) IS\s+'((?:[^']|'')*)'")


def tables_page() -> str:
    """Return the page."""
    contents = [_table(item) for item in tables.metadata.sorted_tables]
    return page("Tables and views", INTRODUCTION, *map(_view, sorted(view_definitions())), *contents)


def view_definitions() -> dict[str, str]:
    """Return the SELECT of each view: of the newest file that creates it."""
    definitions: dict[str, str] = {}
    for text in _sql_sources():
        first: dict[str, str] = {}
        for name, select in _VIEW.findall(text):
            first.setdefault(name, select.strip())  # what follows belongs to the way back
        definitions |= first
    return definitions


def _sql_sources() -> list[str]:
    """Return the migrations in their order, and then the files of SQL."""
    store = Path(tables.__file__).parent
    paths = [*sorted(Path(schema.MIGRATIONS).glob("versions/*.py")), *sorted(store.rglob("*.sql"))]
    return [path.read_text(encoding="utf-8") for path in paths]


def _view_comments() -> dict[str, str]:
    comments = {name: text.replace("''", "'") for source in _sql_sources() for name, text in _COMMENT.findall(source)}
    return VIEWS | {name: f"{text}." for name, text in comments.items()}


def _declared(name: str) -> Table | None:
    """Return the columns that the store declares for a view, if it does."""
    for module in ("tables", "views"):
        with contextlib.suppress(ModuleNotFoundError):
            declared = getattr(importlib.import_module(f"classifier.store.{module}"), name, None)
            if isinstance(declared, Table):
                return declared
    return None


def _view(name: str) -> str:
    declared = _declared(name)
    parts = [f"## View `{name}`", _view_comments().get(name, "")]
    if declared is not None:
        parts.append(table(("column", "type"), [(f"`{column.name}`", _type(column)) for column in declared.columns]))
    else:
        select = view_definitions()[name].replace("{table}", "annotations_in_force")  # a template of two migrations
        parts.append(f"```sql\n{select}\n```")
    return "\n\n".join(part for part in parts if part)


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
