"""The named statements of `queries.sql`: the SQL that SQLAlchemy Core would only obscure."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, text


def query(name: str) -> TextClause:
    """Return a named statement, to be run with bound values."""
    return text(sql(name))


def sql(name: str) -> str:
    """Return a named statement's own text, as COPY needs it."""
    return _statements()[name]


@cache
def _statements() -> dict[str, str]:
    """Read the file: a block a statement, its first line the name, then comments that describe it."""
    blocks = (Path(__file__).with_name("queries.sql")).read_text(encoding="utf-8").split("\n\n")
    statements = {}
    for block in blocks:
        name, *lines = block.strip().splitlines()
        statements[name.removeprefix("-- ")] = "\n".join(line for line in lines if not line.startswith("--"))
    return statements
