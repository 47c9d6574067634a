"""The rows of tasks. Functions take a connection and never commit.

A workspace has a task, and its connections know it: so that no function of the store can mix up two tasks, each asks
its connection (`current`). While there is one task, it need not be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Row, Select, delete, exists, insert, literal, select, update

from classifier.articles import Task, TaskKind
from classifier.exceptions import TaskError
from classifier.store import tables
from classifier.store.queries import query

TASK_OPTION = "task"
"""The execution option of a workspace's connections that is its `TaskChoice`."""


@dataclass(slots=True)
class TaskChoice:
    """The task that a workspace was opened for: a name, an id, or None for the only task. It is found once."""

    name: str | int | None = None
    _found: Task | None = field(default=None, repr=False)

    def find(self, connection: Connection) -> Task:
        """Return the task.

        Raises:
            TaskError: there is no such task, it is archived, or there are several and none was named.
        """
        if self._found is None:
            self._found = find_active(connection, self.name)
        return self._found


def current(connection: Connection) -> Task:
    """Return the task of the connection's workspace.

    Raises:
        TaskError: there is no such task, it is archived, or there are several and none was named.
    """
    choice: TaskChoice | None = connection.get_execution_options().get(TASK_OPTION)
    return find_active(connection, None) if choice is None else choice.find(connection)


def current_id(connection: Connection) -> int:
    """Return the id of the task of the connection's workspace, for statements.

    Raises:
        TaskError: there is no such task, it is archived, or there are several and none was named.
    """
    return current(connection).id


def find_active(connection: Connection, name: str | int | None) -> Task:
    """Return the task of a name or an id; None is the only one there is.

    Raises:
        TaskError: there is no such task, it is archived, or there are several and none was named.
    """
    task = find(connection, name)
    if task.archived_at is not None:
        raise TaskError(f"{task.name}: is archived; run: classifier tasks restore {task.name}")
    return task


def find(connection: Connection, name: str | int | None) -> Task:
    """Return the task of a name or an id; None is the only task that is not archived.

    Raises:
        TaskError: there is no such task, or there are several and none was named.
    """
    tasks = list_tasks(connection)
    active = [task for task in tasks if task.archived_at is None]
    names = ", ".join(task.name for task in active) or "none"
    if name is None:
        if len(active) == 1:
            return active[0]
        raise TaskError(f"there are several tasks: {names}; name one with --task" if active else _NO_TASK)
    for task in tasks:
        if name in {task.id, task.name}:
            return task
    raise TaskError(f"{name}: no such task; there are: {names}")


_NO_TASK = "there is no task; run: classifier tasks add NAME, or: classifier tasks restore NAME"


def list_tasks(connection: Connection) -> list[Task]:
    """Return every task in the order of their creation, archived ones too."""
    return [_task(row) for row in connection.execute(_select().order_by(tables.tasks.c.id))]


def active(connection: Connection) -> list[Task]:
    """Return the tasks that are not archived, in the order of their creation."""
    return [task for task in list_tasks(connection) if task.archived_at is None]


def add(connection: Connection, name: str, kind: TaskKind, min_labels: int, description: str) -> Task:
    """Insert a task."""
    tasks = tables.tasks
    values = {"name": name, "kind": kind, "min_labels": min_labels, "description": description}
    return _task(connection.execute(insert(tasks).values(values).returning(*_select().selected_columns)).one())


def change(connection: Connection, task_id: int, **values: object) -> Task:
    """Set columns of a task: name, kind, min_labels, description or archived_at."""
    tasks = tables.tasks
    statement = update(tasks).where(tasks.c.id == task_id).values(values).returning(*_select().selected_columns)
    return _task(connection.execute(statement).one())


def is_unused(connection: Connection, task_id: int) -> bool:
    """Return whether a task has no annotation, no model and no training."""
    of_task = (tables.annotations.c.task_id, tables.models.c.task_id, tables.training_runs.c.task_id)
    return not any(connection.scalar(select(exists().where(column == task_id))) for column in of_task)


def lock(connection: Connection) -> None:
    """Lock the tasks against other changes until the transaction ends; what refers to them is not blocked."""
    connection.execute(select(literal(1)).select_from(tables.tasks).with_for_update(key_share=True))


def statistics(connection: Connection) -> Sequence[Row[tuple[int, int, int, int, str | None]]]:
    """Return of each task its id, and its numbers of categories, models and waiting articles, and its champion."""
    return connection.execute(query("task_statistics")).all()


def annotated_ids(connection: Connection) -> set[int]:
    """Return the ids of the tasks of which an annotation was not retracted."""
    annotations, tasks = tables.annotations.c, tables.tasks.c
    has_annotation = exists().where(annotations.task_id == tasks.id, annotations.retracted_at.is_(None))
    return set(connection.scalars(select(tasks.id).where(has_annotation)))


def add_categories(connection: Connection, task_id: int, names: Sequence[str]) -> None:
    """Add the categories that the task does not have yet."""
    connection.execute(query("add_categories"), {"task_id": task_id, "names": sorted({*names})})


def delete_unused_categories(connection: Connection) -> None:
    """Delete the categories that no annotation has any more, after annotations were retracted or deleted.

    The lock waits for transactions that add annotations, whose categories would look unused until they commit.
    """
    connection.execute(query("lock_categories"))
    connection.execute(query("delete_unused_categories"))


def dequeue_all(connection: Connection, task_id: int) -> None:
    """Delete a task's entries from the labelling queue."""
    queue = tables.labelling_queue
    connection.execute(delete(queue).where(queue.c.task_id == task_id))


def restart_backfill(connection: Connection, task_id: int) -> None:
    """Start the backfill of a task's champion again, from the first article."""
    models = tables.models
    champion = (models.c.task_id == task_id) & (models.c.status == "champion")
    connection.execute(update(models).where(champion).values(backfilled_to=0))


def _select() -> Select[tuple[int, str, str, int, str, object]]:
    tasks = tables.tasks.c
    return select(tasks.id, tasks.name, tasks.kind, tasks.min_labels, tasks.description, tasks.archived_at)


def _task(row: Row[tuple[int, str, str, int, str, object]]) -> Task:
    return Task(*row)  # type: ignore[arg-type, call-arg]
