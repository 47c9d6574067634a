"""The database's two roles beside its owner, who makes the tables: one that works with them, and one that only reads.

A role belongs to one database and has its name in front: `articles_pipeline`, `articles_analyst`.
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
    """Change roles alone, for as long as this transaction lives."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.ROLES)))


def require_owner(connection: Connection) -> None:
    """Raise `DatabaseRightsError` unless this role owns the tables: to others Postgres' GRANT is a warning at most."""
    owns = text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST('articles' AS regclass)")
    if not connection.scalar(owns):
        address = urls.redacted(connection.engine.url)
        raise DatabaseRightsError(f"{address}: only the owner of the tables may do this")


def exists(connection: Connection, role: str) -> bool:
    """Say whether the server has a role."""
    found = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(found, {"role": role}))


def create(connection: Connection, purpose: Purpose, role: str) -> None:
    """Create a role that may log in.

    Raises:
        DatabaseRightsError: this role may not create others.
    """
    try:
        _run(connection, _CREATE[purpose], role=composing.Identifier(role))
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise DatabaseRightsError(
            f"role {role!r} is not there, and {connection.engine.url.username!r} may not create it; let an "
            f'administrator run CREATE ROLE "{role}" LOGIN, then run again: classifier db roles'
        ) from error


def set_password(connection: Connection, role: str, password: str) -> None:
    """Give a role a password, which the server gets as a SCRAM verifier."""
    raw = connection.connection.driver_connection
    verifier = extensions.encrypt_password(password, role, raw, "scram-sha-256")
    _run(connection, "set_password", role=composing.Identifier(role), verifier=composing.Literal(verifier))


def close_database(connection: Connection) -> None:
    """Leave the database to its owner and to those who are granted something."""
    _run(connection, "close_database", database=_database(connection))


def grant(connection: Connection, purpose: Purpose, role: str) -> None:
    """Grant a role what it needs of the tables that there are, and nothing else."""
    _run(connection, _GRANT[purpose], database=_database(connection), role=composing.Identifier(role))


def renew_grants(connection: Connection) -> None:
    """Grant the roles that there are what they need of tables that have come since."""
    lock(connection)
    require_owner(connection)
    for purpose in PURPOSES:
        if exists(connection, role := role_name(connection, purpose)):
            grant(connection, purpose, role)


def _database(connection: Connection) -> composing.Identifier:
    return composing.Identifier(connection.scalar(select(func.current_database())))


def _run(connection: Connection, statement: str, **parts: composing.Composable) -> None:
    """Run a named statement whose names, which cannot be bound, psycopg2 quotes."""
    composed = composing.SQL(sql(statement)).format(**parts)
    connection.exec_driver_sql(composed.as_string(connection.connection.driver_connection))
