"""The databases that the pages use: one engine for reading, with short timeouts, and one for actions."""

from __future__ import annotations

from functools import cache
from threading import Lock

from classifier_airflow import workspace

from classifier import settings
from classifier.workspace import Workspace, open_workspace
from classifier_ui import reading_cache

_opening = Lock()
"""Several threads may open the workspace first, and there must be one pool of connections."""


def reading() -> Workspace:
    """Return the workspace for reading: a connection for each reader thread, and a short statement timeout."""
    with _opening:
        return _reading()


def acting() -> Workspace:
    """Return the workspace for actions, whose statements may take as long as on the command line."""
    with _opening:
        return _acting()


def close() -> None:
    """Close the open workspaces; the next reading opens them again."""
    with _opening:
        for opened in (_reading, _acting):
            if opened.cache_info().currsize:
                opened().database.dispose()
            opened.cache_clear()


@cache
def _reading() -> Workspace:
    configured = settings.load()
    with_timeout = configured.model_copy(update={"statement_timeout_s": configured.page_timeout_s})
    return open_workspace(
        with_timeout, database_url=workspace.database_url(), max_connections=reading_cache.READER_THREADS
    )


@cache
def _acting() -> Workspace:
    return open_workspace(
        settings.load(), database_url=workspace.database_url(), max_connections=reading_cache.ACTION_THREADS
    )
