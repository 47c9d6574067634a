"""Bring the database's tables to the version of this code."""

from __future__ import annotations

from classifier.store import connection as connections
from classifier.store import schema
from classifier.workspace import Workspace


def run(workspace: Workspace) -> str:
    """Run the migrations that are missing, and return the version that the tables have then."""
    with connections.translated(workspace.database), workspace.database.connect() as connection:
        return schema.upgrade(connection)
