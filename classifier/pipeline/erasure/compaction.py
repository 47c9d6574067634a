"""Remove erased rows from the files of the database server, where no query shows them but a copy of the disk does."""

from __future__ import annotations

from classifier.store import compaction
from classifier.workspace import Workspace


def compact(workspace: Workspace, *, rewrite: bool | None) -> bool:
    """Write the tables into new files if `rewrite` is true, or None and the server is the embedded one.

    For the embedded server, old files of its write-ahead log are deleted as well. Return whether tables were rewritten.
    """
    with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_embedded = compaction.data_directory(connection) == workspace.settings.postgres_directory
        if rewrite is False or (rewrite is None and not is_embedded):
            return False
        compaction.rewrite_tables(connection)
        if is_embedded:
            compaction.forget_log(connection)
    workspace.database.dispose()  # a pooled connection would keep its unlimited statement timeout
    return True
