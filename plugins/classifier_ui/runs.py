"""What a run of a DAG did, from what its tasks returned to Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from classifier.workspace import Workspace
from classifier_ui.permissions import INGEST, LABEL, RETRAIN
from classifier_ui.sections import evaluation
from classifier_ui.sections.evaluation import Shown

RETURNED = "return_value"


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run; `index` is -1 unless it is mapped, `returned` None where it returned nothing yet."""

    name: str
    index: int
    label: str
    state: str | None
    seconds: float | None
    returned: Any

    @property
    def counts(self) -> Mapping[str, Any]:
        """What it returned, where that is counts."""
        return self.returned if isinstance(self.returned, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Run:
    """A run with its tasks, by name and index."""

    dag: str
    id: str
    state: str
    tasks: tuple[Task, ...]
    shown: Shown | None = None

    def named(self, name: str) -> list[Task]:
        """Return the tasks of a name: several where it is mapped."""
        return [task for task in self.tasks if task.name == name]

    def of(self, name: str) -> Task | None:
        """Return the one task of a name."""
        return next(iter(self.named(name)), None)

    def total(self, task: str, count: str) -> float:
        """Add up a count that mapped tasks returned."""
        return sum(float(one.counts.get(count, 0)) for one in self.named(task))

    @property
    def rate(self) -> float | None:
        """The articles a second that the run's labellers made together, each by its own seconds."""
        done = [one.counts for one in self.named("label") if one.counts.get("seconds")]
        return sum(one["labelled"] / one["seconds"] for one in done) or None


def read(workspace: Workspace, dag: str, run_id: str) -> Run | None:
    """Return a run of the classifier's DAGs, with its candidate where it trained one; None where there is none."""
    found = _run(dag, run_id) if dag in {INGEST, RETRAIN, LABEL} else None
    if found is None or dag != RETRAIN:
        return found
    train = found.of("train")
    if train is None:
        return found
    shown = None
    if isinstance(train.returned, str):
        shown = evaluation.of_model(workspace, train.returned)
    elif train.state == "running":
        shown = evaluation.under_way(workspace)
    return Run(found.dag, found.id, found.state, found.tasks, shown)


def _run(dag: str, run_id: str) -> Run | None:
    # not scoped: the thread is no request's, and keeps no session
    with create_session(scoped=False) as session:
        state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag, DagRun.run_id == run_id))
        if state is None:
            return None
        of_run = TaskInstance.dag_id == dag, TaskInstance.run_id == run_id
        instances = session.scalars(select(TaskInstance).where(*of_run)).all()
        values = session.execute(
            select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
                XComModel.dag_id == dag, XComModel.run_id == run_id, XComModel.key == RETURNED
            )
        )
        returned = {(row.task_id, row.map_index): row.value for row in values}
        tasks = [_task(one, returned.get((one.task_id, one.map_index))) for one in instances]
    return Run(dag, run_id, str(state), tuple(sorted(tasks, key=lambda one: (one.name, one.index))))


def _task(instance: Any, returned: Any) -> Task:
    ended = instance.end_date or datetime.now(UTC)
    seconds = (ended - instance.start_date).total_seconds() if instance.start_date else None
    label = instance.rendered_map_index or (
        f"{instance.task_id} {instance.map_index}" if instance.map_index >= 0 else ""
    )
    state = None if instance.state is None else str(instance.state)
    return Task(instance.task_id, instance.map_index, label or instance.task_id, state, seconds, returned)
