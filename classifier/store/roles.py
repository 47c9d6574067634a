"""The database's two roles besides the owner of its tables: one for the pipeline, one for analysts.

A role belongs to one database, whose name is its prefix: `articles_pipeline`, `articles_analyst`.
"""

from __future__ import annotations

from typing import Literal, get_args

from psycopg2 import extensions
from psycopg2 import sql as composing
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import ProgrammingError

from classifier import advisory_locks
from classifier.exceptions import DatabaseRightsError
from classifier.store import urls
from classifier.store.queries import sql

Purpose = Literal["pipeline", "analyst"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

INSUFFICIENT_PRIVILEGE = "42501"

_CREATE: dict[Purpose, str] = {"pipeline": "create_role", "analyst": "create_reader"}
_GRANT: dict[Purpose, str] = {"pipeline": "grant_pipeline", "analyst": "grant_analyst"}


def role_name(connection: Connection, purpose: Purpose) -> str:
    """Return the name of this database's role."""
    return f"{connection.scalar(select(func.current_database()))}_{purpose}"


def lock(connection: Connection) -> None:
    """Lock changing roles until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.ROLES)))


def require_owner(connection: Connection) -> None:
    """Raise `DatabaseRightsError` unless this role owns the tables: for others, GRANT only warns."""
    is_owner = text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST('articles' AS regclass)")
    if not connection.scalar(is_owner):
        address = urls.redacted(connection.engine.url)
        raise DatabaseRightsError(f"{address}: only the owner of the tables may do this")


def exists(connection: Connection, role: str) -> bool:
    """Return whether the server has a role."""
    statement = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(statement, {"role": role}))


def create(connection: Connection, purpose: Purpose, role: str) -> None:
    """Create a role that may log in.

    Raises:
        DatabaseRightsError: this role may not create roles.
    """
    try:
        _run(connection, _CREATE[purpose], role=composing.Identifier(role))
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise DatabaseRightsError(
            f"role {role!r} not found, and {connection.engine.url.username!r} may not create it; ask an "
            f'administrator to run CREATE ROLE "{role}" LOGIN, then run again: classifier db roles'
        ) from error


def set_password(connection: Connection, role: str, password: str) -> None:
    """Set a role's password; the server receives only its SCRAM verifier."""
    raw = connection.connection.driver_connection
    verifier = extensions.encrypt_password(password, role, raw, "scram-sha-256")
    _run(connection, "set_password", role=composing.Identifier(role), verifier=composing.Literal(verifier))


def close_database(connection: Connection) -> None:
    """Revoke everybody's rights on the database, except for its owner and roles with grants of their own."""
    _run(connection, "close_database", database=_database(connection))


def grant(connection: Connection, purpose: Purpose, role: str) -> None:
    """Grant a role what it needs on the existing tables, and nothing else."""
    _run(connection, _GRANT[purpose], database=_database(connection), role=composing.Identifier(role))


def renew_grants(connection: Connection) -> None:
    """Grant the existing roles what they need on tables that were added since."""
    lock(connection)
    require_owner(connection)
    for purpose in PURPOSES:
        if exists(connection, role := role_name(connection, purpose)):
            grant(connection, purpose, role)


def _database(connection: Connection) -> composing.Identifier:
    return composing.Identifier(connection.scalar(select(func.current_database())))


def _run(connection: Connection, statement: str, **parts: composing.Composable) -> None:
    """Execute a named statement with identifiers, which psycopg2 quotes, since they cannot be bound."""
    composed = composing.SQL(sql(statement)).format(**parts)
    connection.exec_driver_sql(composed.as_string(connection.connection.driver_connection))
