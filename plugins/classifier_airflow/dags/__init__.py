"""Create the classifier's DAGs, with the options that another Airflow may need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from classifier.exceptions import SettingsError
from classifier_airflow import instances
from classifier_airflow.dags.options import SCHEDULES, DagOptions
from classifier_airflow.instances import DAGS, Instance

if TYPE_CHECKING:
    from airflow.sdk import DAG


def create_dags(
    instance: str = "",
    *,
    only: Collection[str] = DAGS,
    schedules: Mapping[str, Any] | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    task: str | None = None,
    connection: str | None = None,
    gpu_pool: str | None = None,
    gpu_queue: str = "gpu",
    default_args: Mapping[str, Any] | None = None,
    tags: Collection[str] = ("classifier",),
) -> dict[str, DAG]:
    """Create the DAGs of an instance, and return them by the names in `DAGS`. A DAG file calls this at its top level.

    Args:
        instance: Name of one of several instances, with which its DAGs, assets, pool and connection begin.
        only: The DAGs to create.
        schedules: Schedules that differ from `SCHEDULES`, by DAG; None leaves a DAG to its assets and to users. A cron
            expression of `label_articles` replaces the half hour only: its assets start the DAG, too.
        params: Defaults of the DAGs' parameters that differ, by DAG. Scheduled runs have these values.
        task: Default of every DAG's parameter `task`: the classifier's task that scheduled runs work on.
        connection: Airflow connection of the database; by default, that of the settings.
        gpu_pool: Pool of the training; by default `gpu`, or `NAME_gpu`.
        gpu_queue: Queue of the training.
        default_args: Arguments of every task that differ from `DEFAULT_ARGS`, such as `queue`, `pool` or `owner`.
        tags: Tags of the DAGs.

    Raises:
        SettingsError: the instance's name is invalid, or there is no such DAG or parameter.
    """
    if unknown := sorted({*only, *(schedules or {}), *(params or {})} - {*DAGS}):
        raise SettingsError(f"create_dags: unknown DAG {unknown[0]!r}; choose from {', '.join(DAGS)}")
    created = Instance(instance, connection)
    instances.add(created)
    options = DagOptions(
        created,
        schedules={**SCHEDULES, **(schedules or {})},
        gpu_pool=gpu_pool or created.prefixed("gpu"),
        gpu_queue=gpu_queue,
        default_args=dict(default_args or {}),
        params={name: {"task": task, **(params or {}).get(name, {})} for name in DAGS},
        tags=tuple(tags),
    )
    return {name: import_module(f"{__name__}.{name}").create(options) for name in DAGS if name in only}
