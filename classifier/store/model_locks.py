"""Advisory locks on models' files: readers share a lock, and a model is deleted only while no reader holds it.

All machines share the database, and Postgres releases a lock when its connection closes. Functions take a connection,
never wait and never commit.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from classifier import advisory_locks


def try_share(connection: Connection, model_id: int) -> bool:
    """Acquire the readers' lock until the connection closes; return False if the model is being deleted."""
    return bool(connection.scalar(select(func.pg_try_advisory_lock_shared(advisory_locks.MODEL_FILES, model_id))))


def release_shared(connection: Connection, model_id: int) -> None:
    """Release the readers' lock."""
    connection.execute(select(func.pg_advisory_unlock_shared(advisory_locks.MODEL_FILES, model_id)))


def try_own(connection: Connection, model_id: int) -> bool:
    """Acquire the exclusive lock until the transaction ends; return False if a reader holds the lock."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(advisory_locks.MODEL_FILES, model_id))))
