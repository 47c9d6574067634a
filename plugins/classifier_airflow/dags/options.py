"""What a DAG file may choose: the instance, schedules, pool, queue and arguments of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Param
from pendulum import datetime

from classifier.exceptions import SettingsError
from classifier_airflow.instances import DRIFT, INGEST, LABEL, RETRAIN, REVIEW, Instance
from classifier_airflow.task_defaults import DEFAULT_ARGS

SCHEDULES = {INGEST: "@hourly", RETRAIN: "0 2 * * *", LABEL: "*/30 * * * *", REVIEW: "0 5 * * *", DRIFT: "0 6 * * *"}
"""The schedules, in UTC. Assets start `label_articles`, too."""


@dataclass(frozen=True, slots=True)
class DagOptions:
    """The options of the DAGs of an instance; `default_args` and `params` are what differs."""

    instance: Instance
    schedules: Mapping[str, Any]
    gpu_pool: str
    gpu_queue: str
    default_args: Mapping[str, Any]
    params: Mapping[str, Mapping[str, Any]]
    tags: tuple[str, ...]

    def of_dag(self, name: str, runbook: str | None, params: Mapping[str, Param]) -> dict[str, Any]:
        """Return the arguments of `dag` that the DAGs have in common; `params` get the defaults that differ.

        Raises:
            SettingsError: the DAG has no parameter of a name.
        """
        for key, value in self.params.get(name, {}).items():
            if key not in params:
                raise SettingsError(f"params of {name}: unknown parameter {key!r}; choose from {', '.join(params)}")
            params[key].value = value
        return {
            "dag_id": self.instance.prefixed(name),
            "start_date": datetime(2026, 1, 1, tz="UTC"),
            "catchup": False,
            "default_args": {**DEFAULT_ARGS, **self.default_args},
            "doc_md": runbook,
            "params": dict(params),
            "tags": list(self.tags),
        }
