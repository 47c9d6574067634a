"""The named statements of the folder `sql`: SQL that SQLAlchemy Core would only obscure."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, make_url, text

FOLDER = Path(__file__).with_name("sql")


def query(name: str) -> TextClause:
    """Return a named statement, to be executed with bound values."""
    return text(sql(name))


def sql(name: str) -> str:
    """Return the text of a named statement, for COPY and for the psycopg2 driver."""
    return _statements()[name]


def describe(statement: str) -> str:
    """Return the name of a statement that was sent to the driver; if it has no name, its first words."""
    words = " ".join(statement.split())
    return _names().get(words) or f"{words[:60].rstrip()} …"


@cache
def _names() -> dict[str, str]:
    """Return the statements' names by the text that SQLAlchemy sends for them."""
    dialect = make_url("postgresql+psycopg2://").get_dialect()()
    compiled = ((name, str(query(name).compile(dialect=dialect))) for name in _statements())
    return {" ".join(sent.split()): name for name, sent in compiled}


@cache
def _statements() -> dict[str, str]:
    """Return the statements of all files by name.

    A block of a file is a statement: its first line is the name, the comments after it describe it. Blank lines
    separate blocks.
    """
    statements: dict[str, str] = {}
    for file in sorted(FOLDER.glob("*.sql")):
        for block in file.read_text(encoding="utf-8").split("\n\n"):
            heading, *lines = block.strip().splitlines()
            name = heading.removeprefix("-- ")
            if name in statements:
                raise ValueError(f"{file}: the name {name} is used twice")
            statements[name] = "\n".join(line for line in lines if not line.startswith("--"))
    return statements
