"""Create the database's roles, or update their passwords and rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.pipeline.use_case import use_case
from classifier.store import roles
from classifier.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Role:
    """A role, and what was done to it. Without a password, it cannot log in where the server requires one."""

    name: str
    created: bool
    password_set: bool


@use_case
def create_roles(workspace: Workspace) -> list[Role]:
    """Create missing roles, set the passwords of the settings, and grant each role what it needs.

    Afterwards, no other role may use the database, except for its owner. Safe to run again.

    Raises:
        DatabaseRightsError: the present role does not own the tables, or may not create roles.
    """
    settings = workspace.settings
    passwords: dict[roles.Purpose, SecretStr | None] = {
        "pipeline": settings.pipeline_password,
        "analyst": settings.analyst_password,
    }
    with workspace.database.begin() as connection:
        roles.lock(connection)
        roles.require_owner(connection)
        roles.close_database(connection)
        result = []
        for purpose, password in passwords.items():
            role = roles.role_name(connection, purpose)
            if missing := not roles.exists(connection, role):
                roles.create(connection, purpose, role)
            if password is not None:
                roles.set_password(connection, role, password.get_secret_value())
            roles.grant(connection, purpose, role)
            result.append(Role(role, missing, password is not None))
    return result
