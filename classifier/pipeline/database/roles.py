"""Make the database's roles, or bring their passwords and rights to what they should be."""

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
    """A role, and what was done to it. Without a password it cannot log in where one is asked for."""

    name: str
    created: bool
    password_set: bool


@use_case
def create_roles(workspace: Workspace) -> list[Role]:
    """Create the roles that are missing, give them the settings' passwords, and grant each what it needs.

    Nobody else may use the database afterwards, but for its owner. Safe to run again.

    Raises:
        DatabaseRightsError: the settings' role does not own the tables, or may not create roles.
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
        done = []
        for purpose, password in passwords.items():
            role = roles.role_name(connection, purpose)
            if missing := not roles.exists(connection, role):
                roles.create(connection, purpose, role)
            if password is not None:
                roles.set_password(connection, role, password.get_secret_value())
            roles.grant(connection, purpose, role)
            done.append(Role(role, missing, password is not None))
    return done
