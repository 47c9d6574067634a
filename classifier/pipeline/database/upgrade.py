"""Upgrade the database's tables to the version of this code."""

from __future__ import annotations

from classifier.store import connections, roles, schema, studies
from classifier.workspace import Workspace


def upgrade_schema(workspace: Workspace) -> str:
    """Run the missing migrations, including Optuna's, and return the resulting version of the tables.

    If the database's roles exist, they are granted rights on new tables.
    """
    with connections.translate_errors(workspace.database):
        with workspace.database.connect() as connection:
            version = schema.upgrade(connection)
        studies.upgrade(workspace.database)
        with workspace.database.begin() as connection:
            roles.renew_grants(connection)
    return version
