"""The results of a DAG run, from the values that its tasks returned to Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from classifier_airflow import instances, tasks_of_run
from classifier_airflow.instances import INGEST, LABEL, RETRAIN
from sqlalchemy import select

from classifier.workspace import Workspace
from classifier_ui.sections import evaluation
from classifier_ui.sections.evaluation import ModelView

RETURN_VALUE = "return_value"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A task of a run; `index` is -1 unless it is mapped, `returned` is None if it has returned nothing yet."""

    name: str
    index: int
    label: str
    state: str | None
    seconds: float | None
    returned: Any

    @property
    def counts(self) -> Mapping[str, Any]:
        """The counts that it returned; empty if it returned something else."""
        return self.returned if isinstance(self.returned, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Training:
    """What a run trains for one of the classifier's tasks; `task` is its name, empty if the run has only one."""

    task: str
    train: TaskResult
    approve: TaskResult | None
    view: ModelView | None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its Airflow tasks, by name and index, and what it trains; `dag` is the DAG's name in `DAGS`."""

    dag: str
    id: str
    state: str
    tasks: tuple[TaskResult, ...]
    trainings: tuple[Training, ...] = ()

    @property
    def model_view(self) -> ModelView | None:
        """The model that the run trains first."""
        return next((training.view for training in self.trainings if training.view), None)

    def tasks_of(self, name: str) -> list[TaskResult]:
        """Return the tasks of a name: several if it is mapped."""
        return [task for task in self.tasks if task.name == name]

    def task(self, name: str) -> TaskResult | None:
        """Return the only task of a name."""
        return next(iter(self.tasks_of(name)), None)

    def total(self, name: str, count: str) -> float:
        """Return the sum of a count over mapped tasks."""
        return sum(float(task.counts.get(count, 0)) for task in self.tasks_of(name))

    @property
    def waiting(self) -> int | None:
        """The articles that waited when the last worker of each task ended; None if no worker has ended."""
        share = self.task(tasks_of_run.SHARE)
        shares = share.returned if share and isinstance(share.returned, list) else []
        by_task: dict[object, int] = {}
        for worker in self.tasks_of("label"):
            if (waiting := worker.counts.get("waiting")) is None:
                continue
            # shares of earlier versions are numbers of workers
            of_task = shares[worker.index] if worker.index < len(shares) else None
            task = of_task["task"]["id"] if isinstance(of_task, Mapping) else None
            by_task[task] = min(waiting, by_task.get(task, waiting))
        return sum(by_task.values()) if by_task else None

    @property
    def rate(self) -> float | None:
        """The articles a second that the run's workers labelled together, each by its own seconds."""
        counts = [task.counts for task in self.tasks_of("label") if task.counts.get("seconds")]
        return sum(count["labelled"] / count["seconds"] for count in counts) or None


def read_run(workspace: Workspace, dag: str, run_id: str) -> RunView | None:
    """Return a run of the instance's DAGs, with the candidates that it trained; None if there is no such run."""
    name = instances.current().dag_of(dag)
    run = _read_run(name, dag, run_id) if name in {INGEST, RETRAIN, LABEL} else None
    if run is None or name != RETRAIN:
        return run
    choose = run.task(tasks_of_run.CHOOSE)
    chosen = choose.returned if choose and isinstance(choose.returned, list) else []
    approvals = {task.index: task for task in run.tasks_of("approve")}
    trainings = []
    for train in run.tasks_of("train"):
        # runs of earlier versions are not mapped, and are of the only task
        task = chosen[train.index] if 0 <= train.index < len(chosen) else None
        view = _read_training(workspace.with_task(task["id"] if task else None), train)
        name = task["name"] if task and len(chosen) > 1 else ""
        trainings.append(Training(name, train, approvals.get(train.index), view))
    return replace(run, trainings=tuple(trainings))


def _read_training(workspace: Workspace, train: TaskResult) -> ModelView | None:
    """Return the model that an Airflow task has trained, or the curves while it trains."""
    if isinstance(train.returned, str):
        return evaluation.read_model(workspace, train.returned)
    return evaluation.read_running_training(workspace) if train.state == "running" else None


def _read_run(name: str, dag: str, run_id: str) -> RunView | None:
    # not scoped: this thread belongs to no request, and keeps no session
    with create_session(scoped=False) as session:
        state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag, DagRun.run_id == run_id))
        if state is None:
            return None
        of_run = TaskInstance.dag_id == dag, TaskInstance.run_id == run_id
        instances = session.scalars(select(TaskInstance).where(*of_run)).all()
        values = session.execute(
            select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
                XComModel.dag_id == dag, XComModel.run_id == run_id, XComModel.key == RETURN_VALUE
            )
        )
        returned = {(row.task_id, row.map_index): row.value for row in values}
        tasks = [_task_result(task, returned.get((task.task_id, task.map_index))) for task in instances]
    return RunView(name, run_id, str(state), tuple(sorted(tasks, key=lambda task: (task.name, task.index))))


def _task_result(instance: Any, returned: Any) -> TaskResult:
    ended = instance.end_date or datetime.now(UTC)
    seconds = (ended - instance.start_date).total_seconds() if instance.start_date else None
    label = instance.rendered_map_index or (
        f"{instance.task_id} {instance.map_index}" if instance.map_index >= 0 else ""
    )
    state = None if instance.state is None else str(instance.state)
    return TaskResult(instance.task_id, instance.map_index, label or instance.task_id, state, seconds, returned)
