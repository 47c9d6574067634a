"""Choose the classifier's tasks that a DAG run works on: its questions about the articles, such as their topic.

A run carries a task's id and name. It finds the task by its id, so that a rename while it runs changes nothing. The
names are those of the run's start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.sdk import Param

from classifier_airflow import instances

if TYPE_CHECKING:
    from classifier.articles import Task

log = logging.getLogger(__name__)

CHOOSE = "choose"
"""The Airflow task of a DAG that returns the chosen tasks, over which the others are mapped."""

SHARE = "workers"
"""The Airflow task of `label_articles` that returns the shares of the workers."""

NAME_TEMPLATE = f"{{{{ ti.xcom_pull(task_ids='{CHOOSE}', map_indexes=-1)[ti.map_index]['name'] }}}}"
"""The `map_index_template` that shows the chosen task's name."""

MAX_MAPPED = 1024
"""Airflow's limit of mapped tasks, `[core] max_map_length`, by default."""


def param(task: str | None = None) -> Param:
    """Return the parameter `task` of a DAG, whose default is a task, or None for every task."""
    return Param(
        task,
        type=["null", "string"],
        description="Name of the classifier's task. If empty: every task that is not archived.",
    )


class ChosenTask(TypedDict):
    """A task as XCom carries it; `several`: the database has other tasks, so that messages must name this one."""

    id: int
    name: str
    several: bool


class Share(TypedDict):
    """What one labelling worker labels; `worker` counts the workers of its task."""

    task: ChosenTask
    worker: int


def choose_tasks(name: str | None = None) -> list[ChosenTask]:
    """Return the task of a name, else every task that is not archived.

    Raises:
        TaskError: there is no such task, or it is archived.
    """
    from classifier.pipeline.database import active_tasks
    from classifier_airflow.workspace import workspace

    opened = workspace()
    active = active_tasks.list_active(opened)
    return _choose([active_tasks.find_active(opened, name)] if name else active, several=len(active) > 1)


def choose_for_training(params: Mapping[str, Any]) -> list[ChosenTask]:
    """Return the tasks to train: the named one, else that of a named model, else every one with annotations.

    The only task is trained even if no article is annotated: the training then says so. Of several tasks, one without
    annotations does not fail every night.

    Raises:
        TaskError: there is no such task, it is archived, or the candidate is the champion of one of several tasks.
        ModelNotFoundError: there is no such candidate.
    """
    from classifier.exceptions import TaskError
    from classifier.pipeline.database import active_tasks
    from classifier_airflow.workspace import workspace

    chosen = choose_tasks(params["task"])
    if len(chosen) <= 1:
        return chosen
    if params["candidate"] == "champion":
        names = ", ".join(each["name"] for each in chosen)
        raise TaskError(f"candidate: each task has a champion; set the parameter task to one of: {names}")
    start = None if params["from"] == "champion" else params["from"]
    if model := params["candidate"] or start:
        return _choose([active_tasks.find_of_model(workspace(), model)], several=True)
    annotated = {task.id for task in active_tasks.list_annotated(workspace())}
    for each in chosen:
        if each["id"] not in annotated:
            log.info("%s: nothing to train, since no article is annotated", each["name"])
    return [each for each in chosen if each["id"] in annotated]


def share_labelling(params: Mapping[str, Any], events: Mapping[Any, Iterable[Any]]) -> list[Share]:
    """Return a share for each worker of each task that the run labels.

    Those are the named task; else, if only new champions triggered the run, their tasks; else every task.

    Raises:
        TaskError: there is no such task, or there would be more workers than Airflow can map.
    """
    chosen = choose_tasks(params["task"])
    changed = None if params["task"] else _changed_tasks(events)
    if changed is not None:
        # an event's task may have been archived since
        chosen = [each for each in chosen if each["id"] in changed]
    if len(chosen) * params["workers"] > MAX_MAPPED:
        from classifier.exceptions import TaskError

        most = MAX_MAPPED // len(chosen)
        raise TaskError(
            f"workers: {params['workers']} for each of {len(chosen)} tasks are too many; set at most {most}"
        )
    return [{"task": each, "worker": worker} for each in chosen for worker in range(params["workers"])]


def describe_share(share: Share) -> str:
    """Return the name of a worker: its number, after its task if there are several."""
    return f"{prefix(share['task'])}worker {share['worker']}"


def prefix(chosen: ChosenTask | None) -> str:
    """Return what precedes a message about a task: its name if there are several tasks, else nothing."""
    return f"{chosen['name']}: " if chosen and chosen["several"] else ""


def chosen_task(ti: Any) -> ChosenTask:
    """Return the task on which a mapped Airflow task works."""
    chosen: list[ChosenTask] = ti.xcom_pull(task_ids=CHOOSE, map_indexes=-1)
    return chosen[ti.map_index]


def task_of_failure(instance: Any) -> ChosenTask | None:
    """Return the task on which a failed Airflow task worked; None if it is not mapped over tasks."""
    index = getattr(instance, "map_index", -1)
    if index is None or index < 0:
        return None
    for mapped_over in (CHOOSE, SHARE):
        items = instance.xcom_pull(task_ids=mapped_over, map_indexes=-1)
        item = items[index] if isinstance(items, list) and index < len(items) else {}
        if "several" in (chosen := item.get("task", item)):
            return chosen
    return None


def _changed_tasks(events: Mapping[Any, Iterable[Any]]) -> set[int] | None:
    """Return the ids of the tasks whose champions triggered a run; None if anything else triggered it, too."""
    instance = instances.current()
    if instance.champion not in events or instance.articles in events:
        return None
    extras = [event.extra or {} for event in events[instance.champion]]
    if any("task_id" not in extra for extra in extras):
        return None  # a user emitted the event
    return {int(extra["task_id"]) for extra in extras}


def _choose(tasks: Iterable[Task], *, several: bool) -> list[ChosenTask]:
    return [{"id": task.id, "name": task.name, "several": several} for task in tasks]
