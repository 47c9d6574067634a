"""The databases that the page uses: one engine to read with, in a hurry, and one to act with."""

from __future__ import annotations

from functools import cache
from threading import Lock

from classifier_airflow import workspace

from classifier import settings
from classifier.workspace import Workspace, open_workspace
from classifier_ui import reading_cache

_opening = Lock()
"""Several threads may be the first to ask, and there is to be one pool of connections."""


def reading() -> Workspace:
    """Return the database with as many connections as there are readers, and statements that end soon."""
    with _opening:
        return _reading()


def acting() -> Workspace:
    """Return it for what changes something, which may take as long as on the command line."""
    with _opening:
        return _acting()


def close() -> None:
    """Close what is open; the next reading opens it anew."""
    with _opening:
        for opened in (_reading, _acting):
            if opened.cache_info().currsize:
                opened().database.dispose()
            opened.cache_clear()


@cache
def _reading() -> Workspace:
    found = settings.load()
    hurried = found.model_copy(update={"statement_timeout_s": found.page_timeout_s})
    return open_workspace(hurried, database_url=workspace.database_url(), max_connections=reading_cache.THREADS)


@cache
def _acting() -> Workspace:
    return open_workspace(settings.load(), database_url=workspace.database_url(), max_connections=reading_cache.ACTING)
