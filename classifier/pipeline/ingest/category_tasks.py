"""Find the tasks of the columns that hold categories, before a unit is read, and write the annotations for them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pandas as pd
from sqlalchemy import Connection, Engine

from classifier.articles import Task
from classifier.ingest.category_values import category_names
from classifier.ingest.columns import Columns, category_field, category_fields
from classifier.store import task_rows

NO_IDS: Mapping[str, int] = {}


def find_tasks(
    database: Engine, columns: Columns, *, task: str | None = None, ids: Mapping[str, int] = NO_IDS
) -> dict[str, Task]:
    """Return the task of each field that holds categories.

    The column `category` belongs to the named task, else to that of the workspace. `ids` are the tasks of fields that
    were found before. If nothing names a task or a column of categories, the database is not asked.

    Raises:
        TaskError: a task does not exist or is archived, or there are several and none was named.
    """
    choice = database.get_execution_options().get(task_rows.TASK_OPTION)
    chosen = task if task is not None else choice and choice.name
    names: dict[str, str | int | None] = {category_field(each.task): each.task for each in columns.categories}
    if columns.category is not None or (chosen is not None and not names):
        names["category"] = chosen
    names |= ids
    if not names:
        return {}
    with database.connect() as connection:
        return {field: task_rows.find_active(connection, name) for field, name in names.items()}


def annotations_json(connection: Connection, rows: pd.DataFrame, tasks: Mapping[str, Task]) -> list[str | None]:
    """Return each row's annotations as JSON, by the id of the task; None for a row without an annotation.

    The field of a task that is not named belongs to the connection's task.
    """
    annotations: list[dict[str, tuple[str, ...]]] = [{} for _ in range(len(rows))]
    for name in category_fields(rows):
        if not rows[name].notna().any():
            continue
        task = tasks.get(name) or task_rows.current(connection)
        for annotation, categories in zip(annotations, rows[name].tolist(), strict=True):
            if categories is not None:
                annotation[str(task.id)] = category_names(categories)
    return [json.dumps(annotation, ensure_ascii=False) if annotation else None for annotation in annotations]
