"""Remove deleted rows from the server's files. Functions take a connection that commits each statement."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, func, select

from classifier.store.queries import query


def data_directory(connection: Connection) -> Path | None:
    """Return the directory of the server's files, or None if this role may not know it."""
    directory = connection.execute(query("data_directory")).scalar()
    return Path(directory).resolve() if directory else None


def rewrite_tables(connection: Connection) -> None:
    """Write the tables into new files, without deleted rows. The tables are locked, one after the other."""
    connection.execute(select(func.set_config("statement_timeout", "0", False)))
    connection.execute(query("rewrite_tables"))


def forget_log(connection: Connection) -> None:
    """Delete the old files of the write-ahead log and of the planner's statistics; only a superuser may do this."""
    connection.execute(query("rewrite_statistics"))
    connection.execute(query("keep_no_old_log"))
    connection.execute(query("reload_settings"))
    try:
        # files that were kept for later use have former rows as well: each is begun, and then deleted
        for _ in range(connection.execute(query("count_log_files")).scalar_one() + 1):
            connection.execute(query("end_log_file"))
        for _ in range(2):  # the second one deletes what the first one still needs
            connection.execute(query("delete_old_log"))
    finally:
        connection.execute(query("keep_old_log"))
        connection.execute(query("reload_settings"))
