"""The named statements of `queries.sql`: the SQL that SQLAlchemy Core would only obscure."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, make_url, text


def query(name: str) -> TextClause:
    """Return a named statement, to be run with bound values."""
    return text(sql(name))


def sql(name: str) -> str:
    """Return a named statement's own text, as COPY needs it."""
    return _statements()[name]


def describe(statement: str) -> str:
    """Return the name of a statement as a driver was given it; of one without a name, its first words."""
    words = " ".join(statement.split())
    return _names().get(words) or f"{words[:60].rstrip()} …"


@cache
def _names() -> dict[str, str]:
    """Return the names by what SQLAlchemy makes of the statements."""
    dialect = make_url("postgresql+psycopg2://").get_dialect()()
    compiled = ((name, str(query(name).compile(dialect=dialect))) for name in _statements())
    return {" ".join(sent.split()): name for name, sent in compiled}


@cache
def _statements() -> dict[str, str]:
    """Read the file: a block a statement, its first line the name, then comments that describe it."""
    blocks = (Path(__file__).with_name("queries.sql")).read_text(encoding="utf-8").split("\n\n")
    statements = {}
    for block in blocks:
        name, *lines = block.strip().splitlines()
        statements[name.removeprefix("-- ")] = "\n".join(line for line in lines if not line.startswith("--"))
    return statements
