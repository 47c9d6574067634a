"""Add, list, rename, archive and restore tasks: the questions that are asked of articles."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from classifier.articles import Task, TaskKind
from classifier.exceptions import TaskError
from classifier.names import control_character, normalize_category
from classifier.pipeline.use_case import use_case
from classifier.store import labelling_queue, model_rows, task_rows
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_NAME_LENGTH = 60
"""Characters. Names are shown in menus and in the tables of runs."""

MAX_DESCRIPTION_LENGTH = 1000

INITIAL_NAME = "default"
"""The task of a new database."""

_RESERVED = ",=;/"
"""Characters that separate names in options, files and addresses."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """A task with the numbers of its categories, of its models and of the articles that wait for its label."""

    task: str
    kind: str
    min_labels: int
    description: str
    archived_at: datetime | None
    categories: int
    models: int
    champion: str | None
    waiting: int


@use_case
def list_summaries(workspace: Workspace, *, archived: bool = False) -> list[TaskSummary]:
    """Return the tasks in the order of their creation; with `archived`, archived ones too."""
    with workspace.database.connect() as connection:
        return [task for task in _summaries(connection) if archived or task.archived_at is None]


@use_case
def describe(workspace: Workspace, name: str | None = None) -> TaskSummary:
    """Return a task: that of the name, or the workspace's.

    Raises:
        TaskError: there is no such task, or there are several and none was named.
    """
    with workspace.database.connect() as connection:
        task = task_rows.find(connection, name) if name else task_rows.current(connection)
        return next(summary for summary in _summaries(connection) if summary.task == task.name)


@use_case
def add(
    workspace: Workspace, name: str, *, kind: TaskKind = "single", min_labels: int | None = None, description: str = ""
) -> TaskSummary:
    """Add a task. The task of a new database becomes the first one that is added, as long as it was not used.

    `min_labels` is the number of labels that a model gives each article at least: 1 for a single-label task, and by
    default 0 for a multi-label task.

    Raises:
        TaskError: the name cannot be used or exists already.
    """
    fewest = min_labels if min_labels is not None else int(kind == "single")
    if kind == "single" and fewest != 1:
        raise TaskError("--min-labels: a single-label task always gives one label; leave it out, or add --multi")
    description = _checked_description(description)
    with workspace.database.begin() as connection:
        task_rows.lock(connection)
        name = _checked_name(connection, name)
        initial = _unused_initial_task(connection)
        if initial is None:
            task_rows.add(connection, name, kind, fewest, description)
        else:
            values = {"name": name, "kind": kind, "min_labels": fewest, "description": description}
            task_rows.change(connection, initial.id, **values)
        log.info("added the task %s", name)
        return next(summary for summary in _summaries(connection) if summary.task == name)


@use_case
def rename(workspace: Workspace, name: str, new_name: str) -> TaskSummary:
    """Rename a task. What runs for it continues, because everything refers to tasks by their ids.

    Raises:
        TaskError: there is no such task, or the new name cannot be used or exists already.
    """
    with workspace.database.begin() as connection:
        task_rows.lock(connection)
        task = task_rows.find(connection, name)
        new_name = _checked_name(connection, new_name, renamed=task)
        task_rows.change(connection, task.id, name=new_name)
        return next(summary for summary in _summaries(connection) if summary.task == new_name)


@use_case
def archive(workspace: Workspace, name: str) -> TaskSummary:
    """Archive a task: its models, labels and annotations stay, but nothing is trained, labelled or shown for it.

    Raises:
        TaskError: there is no such task, it is archived, or it is the only one.
    """
    with workspace.database.begin() as connection:
        labelling_queue.lock(connection)
        task_rows.lock(connection)
        task = task_rows.find(connection, name)
        if task.archived_at is not None:
            raise TaskError(f"{name}: is archived already; see: classifier tasks list --archived")
        if len(task_rows.active(connection)) == 1:
            raise TaskError(f"{name}: is the only task; add another one first: classifier tasks add NAME")
        task_rows.change(connection, task.id, archived_at=datetime.now(UTC))
        task_rows.dequeue_all(connection, task.id)
        return next(summary for summary in _summaries(connection) if summary.task == task.name)


@use_case
def restore(workspace: Workspace, name: str) -> TaskSummary:
    """Restore an archived task; articles that came meanwhile are enqueued for its champion.

    Raises:
        TaskError: there is no such task, or it is not archived.
    """
    with workspace.database.begin() as connection:
        model_rows.lock_champion(connection)
        task_rows.lock(connection)
        task = task_rows.find(connection, name)
        if task.archived_at is None:
            raise TaskError(f"{name}: is not archived")
        task_rows.change(connection, task.id, archived_at=None)
        task_rows.restart_backfill(connection, task.id)
        return next(summary for summary in _summaries(connection) if summary.task == task.name)


def _summaries(connection: Connection) -> list[TaskSummary]:
    numbers = {row.task_id: row for row in task_rows.statistics(connection)}
    return [
        TaskSummary(
            task.name,
            task.kind,
            task.min_labels,
            task.description,
            task.archived_at,
            numbers[task.id].categories,
            numbers[task.id].models,
            numbers[task.id].champion,
            numbers[task.id].waiting,
        )
        for task in task_rows.list_tasks(connection)
    ]


def _unused_initial_task(connection: Connection) -> Task | None:
    """Return the task of a new database, if it is the only one and has no annotation and no model."""
    tasks = task_rows.list_tasks(connection)
    is_initial = len(tasks) == 1 and tasks[0].name == INITIAL_NAME
    return tasks[0] if is_initial and task_rows.is_unused(connection, tasks[0].id) else None


def _checked_name(connection: Connection, name: str, *, renamed: Task | None = None) -> str:
    """Return a task's name without white space at its ends; a renamed task may change the case of its own.

    Raises:
        TaskError: it is empty, too long, a number or taken, or has a character that separates names.
    """
    name = normalize_category(name)
    advice = "choose another name, such as topic"
    if not name or len(name) > MAX_NAME_LENGTH:
        raise TaskError(f"{name[:40]!r}: a task's name has 1 to {MAX_NAME_LENGTH} characters; {advice}")
    if control := control_character(name):
        raise TaskError(f"{name!r}: has the control character {control}; {advice}")
    if reserved := next((character for character in name if character in _RESERVED), None):
        raise TaskError(f"{name!r}: has the character {reserved!r}, which separates names; {advice}")
    if name.isdigit() or name.startswith("-"):
        raise TaskError(f"{name!r}: a task's name is not a number and does not begin with a hyphen; {advice}")
    others = [task for task in task_rows.list_tasks(connection) if renamed is None or task.id != renamed.id]
    if any(task.name.casefold() == name.casefold() for task in others):
        raise TaskError(f"{name}: exists already; see: classifier tasks list --archived")
    return name


def _checked_description(description: str) -> str:
    """Return a description without white space at its ends.

    Raises:
        TaskError: it is too long.
    """
    description = description.strip()
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise TaskError(f"--description: has {len(description):,} characters; at most {MAX_DESCRIPTION_LENGTH:,} fit")
    return description
