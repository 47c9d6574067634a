"""Bring the database's tables to the version of this code."""

from __future__ import annotations

from classifier.store import connections, roles, schema, studies
from classifier.workspace import Workspace


def upgrade_schema(workspace: Workspace) -> str:
    """Run the migrations that are missing, Optuna's too, and return the version that the tables have then.

    The database's roles, where there are any, are granted what is new.
    """
    with connections.translate_errors(workspace.database):
        with workspace.database.connect() as connection:
            version = schema.upgrade(connection)
        studies.upgrade(workspace.database)
        with workspace.database.begin() as connection:
            roles.renew_grants(connection)
    return version
