"""What has been read of each source's units, so that unchanged units are skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from classifier.store import tables


def find(connection: Connection, source: str, unit: str) -> Row[*tuple[Any, ...]] | None:
    """Return what has been read of a source's unit, or None if it was never read."""
    state = tables.source_state
    return connection.execute(select(state).where(state.c.source == source, state.c.unit == unit)).one_or_none()


def of_unit(connection: Connection, unit: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return what has been read of a unit under the name of any source; the last reading first."""
    state = tables.source_state
    return connection.execute(select(state).where(state.c.unit == unit).order_by(state.c.seen_at.desc())).all()


def save(connection: Connection, source: str, unit: str, values: Mapping[str, Any]) -> None:
    """Store what has been read of a unit, in the same transaction as its rows."""
    names = ("size", "modified_at", "sha256", "etag", "last_modified", "shared_guids")
    state = {**dict.fromkeys(names), **values}
    statement = upsert(tables.source_state).values(source=source, unit=unit, **state)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["source", "unit"], set_={**state, "seen_at": func.now()})
    )
