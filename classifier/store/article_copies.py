"""The lock on copies of articles outside the database: a training's word pieces, checkpoints and snapshot.

Trainings, evaluations and checks of annotations share it; an erasure needs it alone. Postgres releases it when the
connection closes.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from classifier import advisory_locks


def share(connection: Connection) -> None:
    """Wait for an erasure to end, and share the lock until the connection closes."""
    connection.execute(select(func.pg_advisory_lock_shared(advisory_locks.ARTICLE_COPIES)))


def release_shared(connection: Connection) -> None:
    """Release the shared lock."""
    connection.execute(select(func.pg_advisory_unlock_shared(advisory_locks.ARTICLE_COPIES)))


def try_own(connection: Connection) -> bool:
    """Acquire the lock alone until the connection closes; return False if it is shared."""
    return bool(connection.scalar(select(func.pg_try_advisory_lock(advisory_locks.ARTICLE_COPIES))))


def release(connection: Connection) -> None:
    """Release the lock that `try_own` acquired."""
    connection.execute(select(func.pg_advisory_unlock(advisory_locks.ARTICLE_COPIES)))
