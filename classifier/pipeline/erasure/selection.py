"""Find the articles that a request to erase names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import ErasureError
from classifier.store import erasures, external_databases
from classifier.workspace import Workspace

Kind = Literal["id", "source", "query", "replay"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Articles by `external_ids` (of all sources, or of one), by `source`, or by the SELECT in the file `query`."""

    external_ids: tuple[str, ...] = ()
    source: str | None = None
    query: Path | None = None

    def __post_init__(self) -> None:
        """Raise an error unless the articles are named in one way.

        Raises:
            ErasureError: they are named in no way, or in two.
        """
        if self.query is not None and (self.external_ids or self.source is not None):
            raise ErasureError("--query: cannot be combined with --id or --source; name the articles in one way")
        if self.query is None and not self.external_ids and self.source is None:
            raise ErasureError("no article is named; use --id, --source or --query")

    @property
    def kind(self) -> Kind:
        """How the articles are named."""
        return "query" if self.query else "id" if self.external_ids else "source"


def find_ids(workspace: Workspace, selection: Selection) -> list[int]:
    """Return the ids of the selected articles, sorted.

    Raises:
        ErasureError: the query cannot be read or run, or returns something else than ids of articles.
    """
    if selection.query is not None:
        return _run_query(workspace, selection.query)
    with workspace.database.connect() as connection:
        if selection.external_ids:
            return erasures.ids_by_external_id(connection, selection.external_ids, selection.source)
        return erasures.ids_by_source(connection, selection.source or "")


def _run_query(workspace: Workspace, path: Path) -> list[int]:
    """Run the user's SELECT in a transaction that cannot write."""
    try:
        statement = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ErasureError(f"{path}: cannot read: {reason}") from error
    if not statement.strip():
        raise ErasureError(f"{path}: is empty; write a SELECT of article ids")
    options = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    with workspace.database.connect().execution_options(**options) as connection:
        try:
            rows = connection.execute(external_databases.user_select(statement)).all()
        except SQLAlchemyError as error:
            raise ErasureError(f"{path}: the query failed: {external_databases.first_line(error)}") from error
        return _existing(connection, path, rows)


def _existing(connection: Connection, path: Path, rows: Sequence[Sequence[object]]) -> list[int]:
    """Return the ids in the rows, after a check that each is an article's."""
    ids = [value for row in rows for value in row if isinstance(value, int) and not isinstance(value, bool)]
    if any(len(row) != 1 for row in rows) or len(ids) != len(rows):
        raise ErasureError(f"{path}: must return one column, with ids of articles (articles.id)")
    existing = {article.id for article in erasures.identities(connection, ids)}
    if unknown := sorted(set(ids) - existing):
        raise ErasureError(f"{path}: {len(unknown)} of the ids, such as {unknown[0]}, are not ids of articles")
    return sorted(existing)
