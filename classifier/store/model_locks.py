"""Advisory locks on models' files: readers share one, and a model is deleted only while no reader holds it.

The database is where all machines meet, and its locks end with the process that holds them. Functions take a
connection, never wait and never commit.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from classifier import advisory_locks


def try_share(connection: Connection, model_id: int) -> bool:
    """Take the readers' lock for the connection's session; return False if the model is being deleted."""
    return bool(connection.scalar(select(func.pg_try_advisory_lock_shared(advisory_locks.MODEL_FILES, model_id))))


def release_shared(connection: Connection, model_id: int) -> None:
    """Release the readers' lock."""
    connection.execute(select(func.pg_advisory_unlock_shared(advisory_locks.MODEL_FILES, model_id)))


def try_own(connection: Connection, model_id: int) -> bool:
    """Keep readers out until the transaction ends; return False if one holds the lock."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(advisory_locks.MODEL_FILES, model_id))))
