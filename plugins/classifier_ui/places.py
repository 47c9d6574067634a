"""The databases that the page uses: one engine to read with, in a hurry, and one to act with."""

from __future__ import annotations

from functools import cache

from classifier_airflow import places

from classifier import settings
from classifier.workspace import Workspace, open_workspace
from classifier_ui import board


@cache
def reading() -> Workspace:
    """Open the database with as many connections as there are readers, and statements that end soon."""
    found = settings.load()
    hurried = found.model_copy(update={"statement_timeout_s": found.page_timeout_s})
    return open_workspace(hurried, database_url=places.database_url(), at_most=board.THREADS)


@cache
def acting() -> Workspace:
    """Open it for what changes something, which may take as long as on the command line."""
    return open_workspace(settings.load(), database_url=places.database_url(), at_most=board.ACTING)
