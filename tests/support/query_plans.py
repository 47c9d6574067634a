"""Read Postgres' plans: which tables a statement scans from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, text


def scanned(database: Engine, statement: str, **values: Any) -> set[str]:
    """Return the tables that a statement's plan reads from end to end."""
    with database.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {statement}"), values).scalar_one()
    return {node["Relation Name"] for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
