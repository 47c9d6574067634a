"""The databases that the pages use: for each instance, one engine for reading, with short timeouts, one for actions.

The workspaces are of the instance and of the task that the present request shows.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from threading import Lock

from classifier_airflow import instances, workspace
from classifier_airflow.instances import Instance

from classifier.pipeline.review import explanation_process
from classifier.pipeline.review.explanation_process import ExplanationProcess
from classifier.workspace import Workspace, open_workspace
from classifier_ui import reading_cache

request_task: ContextVar[int | None] = ContextVar("request_task", default=None)
"""The id of the task that the present request shows; None stands for the only task."""

_opening = Lock()
"""Several threads may open the workspace first, and there must be one pool of connections."""

_opened: dict[tuple[Instance, bool], Workspace] = {}
_explanations: dict[Instance, ExplanationProcess] = {}


def reading() -> Workspace:
    """Return the workspace for reading: a connection for each reader thread, and a short statement timeout."""
    with _opening:
        opened = _open(instances.current(), threads=reading_cache.READER_THREADS, is_reading=True)
        return opened.with_task(request_task.get())


def acting() -> Workspace:
    """Return the workspace for actions, whose statements may take as long as on the command line."""
    with _opening:
        opened = _open(instances.current(), threads=reading_cache.ACTION_THREADS)
        return opened.with_task(request_task.get())


def explanations() -> ExplanationProcess:
    """Return the process that explains the instance's labels; it starts at its first request."""
    instance = instances.current()
    with _opening:
        if instance not in _explanations:
            _explanations[instance] = ExplanationProcess(
                partial(workspace.database_url, instance),
                instance=instance.name,
                timeout_s=explanation_process.TIMEOUT_S,
            )
        return _explanations[instance]


def close() -> None:
    """Close the open workspaces, and end the processes that explain labels; the next reading opens them again."""
    for process in list(_explanations.values()):
        process.close()
    with _opening:
        for opened in _opened.values():
            opened.database.dispose()
        _explanations.clear()
        _opened.clear()


def _open(instance: Instance, *, threads: int, is_reading: bool = False) -> Workspace:
    """Return the workspace of an instance for one of its uses; the caller holds the lock."""
    key = instance, is_reading
    if key not in _opened:
        configured, url = instance.settings, workspace.database_url(instance)
        if is_reading:
            configured = configured.model_copy(update={"statement_timeout_s": configured.page_timeout_s})
        _opened[key] = open_workspace(configured, database_url=url, max_connections=threads)
    return _opened[key]
