"""Read which columns hold the categories of which tasks: "topics", or "topic=topics" and "place=places"."""

from __future__ import annotations

from collections.abc import Sequence

from classifier.exceptions import SettingsError
from classifier.ingest.columns import TaskColumn

CategoryColumns = tuple[str | None, tuple[TaskColumn, ...]]
"""The column of the only task, if it has one, and the columns of named tasks."""

_FORM = "write TASK=COLUMN for each task, such as topic=topics"


def parse_category_columns(values: Sequence[str], task: str | None = None) -> CategoryColumns:
    """Return the columns of tasks.

    A value is split at its first "=", because no task's name has one. A value that begins with "=" is the column of the
    only task; so is every value if a `task` was named apart.

    Raises:
        SettingsError: a value lacks a task or a column, or two columns are for one task.
    """
    columns: list[str] = []
    of_tasks: list[TaskColumn] = []
    for value in values:
        name, equals, column = ("", "", value) if task is not None else value.partition("=")
        if not name or not equals:
            columns.append(column if equals or task is not None else name)
        else:
            of_tasks.append(TaskColumn(name.strip(), column))
        if not (column if equals else value):
            raise SettingsError(f"category {value!r}: names no column; {_FORM}")
    if task is not None and len(columns) > 1:
        raise SettingsError(f"category: {len(columns)} columns are for the task {task}; without --task, {_FORM}")
    if len(columns) > 1 or (columns and of_tasks):
        raise SettingsError(f"category {columns[-1]!r}: is one of several, so it must name its task; {_FORM}")
    names = [each.task for each in of_tasks]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"category: the task {repeated} has several columns; name one")
    return (columns[0] if columns else None), tuple(of_tasks)


def split_category_columns(value: str | None, task: str | None = None) -> CategoryColumns:
    """Return the columns of a text such as "topics", or "topic=topics, place=places"; of a named task, only one.

    Raises:
        SettingsError: a part lacks a task or a column, or two columns are for one task.
    """
    if value is None or task is not None or "=" not in value.removeprefix("="):
        return parse_category_columns([value] if value else [], task)
    return parse_category_columns([part.strip() for part in value.split(",")])
