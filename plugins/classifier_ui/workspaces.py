"""The databases that the pages use: one engine for reading, with short timeouts, and one for actions.

The workspaces are of the task that the present request shows.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from threading import Lock

from classifier_airflow import workspace

from classifier import settings
from classifier.pipeline.review import explanation_process
from classifier.pipeline.review.explanation_process import ExplanationProcess
from classifier.workspace import Workspace, open_workspace
from classifier_ui import reading_cache

request_task: ContextVar[int | None] = ContextVar("request_task", default=None)
"""The id of the task that the present request shows; None stands for the only task."""

_opening = Lock()
"""Several threads may open the workspace first, and there must be one pool of connections."""


def reading() -> Workspace:
    """Return the workspace for reading: a connection for each reader thread, and a short statement timeout."""
    with _opening:
        return _reading().with_task(request_task.get())


def acting() -> Workspace:
    """Return the workspace for actions, whose statements may take as long as on the command line."""
    with _opening:
        return _acting().with_task(request_task.get())


@cache
def explanations() -> ExplanationProcess:
    """Return the process that explains labels; it starts at its first request."""
    return ExplanationProcess(workspace.database_url, timeout_s=explanation_process.TIMEOUT_S)


def close() -> None:
    """Close the open workspaces, and end the process that explains labels; the next reading opens them again."""
    if explanations.cache_info().currsize:
        explanations().close()
        explanations.cache_clear()
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
