"""Run the DAGs through Airflow's REST API: ingest, retrain, label."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from classifier.demo import report, reuters_files
from classifier.demo.display import Display, Step
from classifier.local_airflow.rest_client import FINISHED, DagRun, RestClient, Task
from classifier.local_airflow.standalone import AirflowFailedError, StandaloneAirflow
from classifier.store import model_rows, promotions, tables
from classifier.workspace import Workspace

TRAINING: Mapping[str, Any] = {
    "recipe": "default",  # half of the recipe r8's epochs and time are enough to see it work
    "hyper_parameters": {"epochs": 2, "learning_rate": 1e-4, "max_length": 128, "ensemble": "linear"},
    "min_new_annotations": 0,  # a second demo shows a training, too
}

DAGS = ("ingest_articles", "retrain_classifier", "label_articles")

ASSET_TIMEOUT_S = 60.0
"""Seconds that a promotion may take to start `label_articles` through its asset, before the demo triggers it."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """The runs of the demo, in a running Airflow."""

    client: RestClient
    airflow: StandaloneAirflow
    workspace: Workspace
    display: Display

    def run(self, articles: reuters_files.Files) -> report.Report:
        """Ingest the files, train on them, label the incoming rows, and return the report."""
        self._end_unfinished_runs()
        began = datetime.now(UTC)
        self._ingest(articles)
        candidate = self._retrain()
        self._check_champion()
        self._label(began)
        answers = reuters_files.read_answers(articles.answers)
        return report.read_report(self.workspace, answers, candidate, self._speed(began))

    def _end_unfinished_runs(self) -> None:
        """End the runs of an interrupted demo, which Airflow would finish before the new ones."""
        for run in [run for dag in DAGS for run in self.client.unfinished(dag)]:
            self.client.end(run, "The demo that started it was interrupted.")
            self.display.print(f"Ended a run of {run.dag} that an interrupted demo had left.")

    def _ingest(self, articles: reuters_files.Files) -> None:
        columns = {"text": "text", "id": "id"}
        train = {**columns, "files": str(articles.train), "category": "category", "proportions": "0.9,0.1,0"}
        test = {**columns, "files": str(articles.test), "category": "category", "split": "split"}
        incoming = {**columns, "files": str(articles.incoming), "proportions": "1,0,0"}
        with self.display.step("Ingest three files") as step:
            runs = [self.client.trigger("ingest_articles", train)]
            for dag in ("ingest_articles", "label_articles"):
                self.client.unpause(dag)
            # some texts are in both files, and the first file that is ingested decides their split
            self._wait_until_returned(runs[0], Task("ingest", 0, None, 1), step)
            runs += [self.client.trigger("ingest_articles", conf) for conf in (test, incoming)]
            counts = [self._result(run, "ingest", step) for run in runs]
            read, new, rejected = (sum(count[name] for count in counts) for name in ("read", "new", "rejected"))
            step.result(f"{read:,} rows read, {new:,} new, {rejected:,} rejected")

    def _retrain(self) -> str:
        with self.display.step("Train, evaluate and promote a model") as step:
            run = self.client.trigger("retrain_classifier", TRAINING)
            self.client.unpause("retrain_classifier")
            promoted = self._result(run, "promote", step, interval_s=3)
            candidate = str(self.client.returned(run, _task(self.client.tasks(run), "train")))
            step.result("promoted" if promoted else "not promoted; see: classifier promotions")
        return candidate

    def _check_champion(self) -> None:
        """Raise, with the gate's reason, if the first model was not promoted: nothing can label the rows."""
        with self.workspace.database.connect() as connection:
            if model_rows.champion(connection) is None:
                reason = promotions.history(connection, limit=1)[0].reason
                raise AirflowFailedError(f"no model was promoted, so nothing can be labelled: {reason}")

    def _label(self, began: datetime) -> None:
        with self.display.step("Label the incoming rows") as step:
            deadline = time.monotonic() + ASSET_TIMEOUT_S
            triggered: DagRun | None = None
            while waiting := self._waiting():
                self.airflow.check()
                step.progress(f"{waiting:,} left")
                runs = self.client.runs("label_articles", after=began)
                if failed := next((run for run in runs if run.state == "failed"), None):
                    raise self._failure(failed)
                if any(run.state not in FINISHED for run in runs):
                    deadline = time.monotonic() + ASSET_TIMEOUT_S
                elif time.monotonic() > deadline:
                    if triggered:
                        raise AirflowFailedError(f"{waiting} rows have no label after run {triggered.id}")
                    triggered = self.client.trigger("label_articles", {})
                time.sleep(1)
            self._wait_for_labelling_runs(began)
            step.result("none left")

    def _wait_for_labelling_runs(self, began: datetime) -> None:
        """Wait until all labelling runs have returned what they did."""
        while any(run.state not in FINISHED for run in self.client.runs("label_articles", after=began)):
            self.airflow.check()
            time.sleep(1)

    def _waiting(self) -> int:
        """Return the number of queued articles, or 1 if the champion's backlog is not queued completely."""
        models = tables.models.c
        backfilling = select(func.count()).where(models.status == "champion", models.backfilled_to.is_not(None))
        with self.workspace.database.connect() as connection:
            queued = int(connection.execute(select(func.count()).select_from(tables.labelling_queue)).scalar_one())
            return queued or int(connection.execute(backfilling).scalar_one())

    def _speed(self, began: datetime) -> report.Speed:
        returned = [
            self.client.returned(run, task)
            for run in self.client.runs("label_articles", after=began)
            for task in self.client.tasks(run)
            if task.name == "label" and task.state == "success"
        ]
        counts = [value for value in returned if value]
        articles, seconds = (sum(count[name] for count in counts) for name in ("labelled", "seconds"))
        return report.Speed(int(articles), float(seconds))

    def _wait_until_returned(self, run: DagRun, task: Task, step: Step) -> None:
        """Wait until a task has returned a value or its run has ended."""
        while self.client.returned(run, task) is None and self.client.run(run).state not in FINISHED:
            self.airflow.check()
            step.progress(self._progress(run))
            time.sleep(0.5)

    def _result(self, run: DagRun, task: str, step: Step, *, interval_s: float = 1) -> Any:
        """Wait until a run has succeeded, and return the value that its task returned."""
        while (current := self.client.run(run)).state not in FINISHED:
            self.airflow.check()
            step.progress(self._progress(run))
            time.sleep(interval_s)
        if current.state == "failed":
            raise self._failure(run)
        return self.client.returned(run, _task(self.client.tasks(run), task))

    def _progress(self, run: DagRun) -> str:
        """Return the task that runs, with the step of a training from its log."""
        active = [task for task in self.client.tasks(run) if task.state in {"running", "up_for_retry", "queued"}]
        if not active:
            return "waiting for the scheduler"
        task = active[0]
        log = self.client.log(run, task) if task.name == "train" else []
        steps = [line for line in log if line.startswith("step ")]
        attempt = f", attempt {task.attempt}" if task.attempt > 1 else ""
        return f"{task.name}: {steps[-1]}" if steps else f"{task.name} is {task.state}{attempt}"

    def _failure(self, run: DagRun) -> AirflowFailedError:
        """Return an error with the failed task's name and the reason in its log."""
        failed = next((task for task in self.client.tasks(run) if task.state == "failed"), None)
        if failed is None:
            return AirflowFailedError(f"{run.dag} failed in run {run.id}")
        log = self.client.log(run, failed)
        reasons = [line for line in log if " failed in run " in line]  # the line of the DAGs' failure callback
        last = (log or ["its log is empty"])[-1]
        return AirflowFailedError(reasons[-1] if reasons else f"{run.dag}.{failed.name} failed: {last}")


def _task(tasks: list[Task], name: str) -> Task:
    return next(task for task in tasks if task.name == name)
