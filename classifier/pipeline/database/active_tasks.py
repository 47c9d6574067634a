"""The tasks that are not archived: those that a run of a DAG works on, and that a page can show."""

from __future__ import annotations

from classifier.articles import Task
from classifier.exceptions import ModelNotFoundError
from classifier.pipeline.use_case import use_case
from classifier.store import model_rows, task_rows
from classifier.workspace import Workspace


@use_case
def list_active(workspace: Workspace) -> list[Task]:
    """Return the tasks that are not archived, in the order of their creation."""
    with workspace.database.connect() as connection:
        return task_rows.active(connection)


@use_case
def find_active(workspace: Workspace, name: str) -> Task:
    """Return the task of a name.

    Raises:
        TaskError: there is no such task, or it is archived.
    """
    with workspace.database.connect() as connection:
        return task_rows.find_active(connection, name)


@use_case
def find_of_model(workspace: Workspace, model: str) -> Task:
    """Return the task of a model.

    Raises:
        ModelNotFoundError: there is no such model.
        TaskError: the task is archived.
    """
    with workspace.database.connect() as connection:
        name = model_rows.task_of(connection, model)
    if name is None:
        raise ModelNotFoundError(f"{model}: no such model; see: classifier models")
    return find_active(workspace, name)


@use_case
def list_annotated(workspace: Workspace) -> list[Task]:
    """Return the tasks that are not archived and of which an article is annotated."""
    with workspace.database.connect() as connection:
        annotated = task_rows.annotated_ids(connection)
        return [task for task in task_rows.active(connection) if task.id in annotated]
