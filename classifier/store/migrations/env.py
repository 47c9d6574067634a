"""Run migrations: one transaction each, and one process at a time.

A migration that waits longer than five seconds for a lock fails, so that readers do not queue behind it. An advisory
lock prevents two machines from migrating at once.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from classifier import advisory_locks
from classifier.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": advisory_locks.SCHEMA_UPGRADE})
connection.execute(text("SET lock_timeout = '5s'"))
connection.execute(text("SET statement_timeout = '30min'"))
connection.commit()
try:
    with context.begin_transaction():
        context.run_migrations()
finally:
    connection.rollback()
    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": advisory_locks.SCHEMA_UPGRADE})
    connection.execute(text("RESET lock_timeout"))
    connection.execute(text("RESET statement_timeout"))
    connection.commit()
