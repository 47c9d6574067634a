"""What the demo has Airflow do, through its REST API: ingest, retrain, label."""

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

ASSET_S = 60.0
"""How long a promotion may take to start `label_articles` through its asset, before it is started by hand."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What the demo has Airflow do."""

    client: RestClient
    airflow: StandaloneAirflow
    workspace: Workspace
    display: Display

    def run(self, articles: reuters_files.Files) -> report.Report:
        """Ingest the files, train on them, label what is left, and say how it went."""
        self._end_left_runs()
        began = datetime.now(UTC)
        self._ingest(articles)
        candidate = self._retrain()
        self._check_champion()
        self._label(began)
        answers = reuters_files.read_answers(articles.answers)
        return report.gather(self.workspace, answers, candidate, self._speed(began))

    def _end_left_runs(self) -> None:
        """End what a demo that was interrupted has left, or Airflow would do all of that first."""
        for run in [run for dag in DAGS for run in self.client.unfinished(dag)]:
            self.client.end(run, "The demo that began it was interrupted.")
            self.display.say(f"Ended a run of {run.dag} that an interrupted demo had left.")

    def _ingest(self, articles: reuters_files.Files) -> None:
        named = {"text": "text", "id": "id"}
        train = {**named, "files": str(articles.train), "category": "category", "proportions": "0.9,0.1,0"}
        test = {**named, "files": str(articles.test), "category": "category", "split": "split"}
        incoming = {**named, "files": str(articles.incoming), "proportions": "1,0,0"}
        with self.display.step("Ingest three files") as step:
            runs = [self.client.trigger("ingest_articles", train)]
            for dag in ("ingest_articles", "label_articles"):
                self.client.unpause(dag)
            # R8 has texts in both files: whichever comes first decides where the training file's ones belong
            self._until_returned(runs[0], Task("ingest", 0, None, 1), step)
            runs += [self.client.trigger("ingest_articles", conf) for conf in (test, incoming)]
            counts = [self._result(run, "ingest", step) for run in runs]
            read, new, bad = (sum(count[name] for count in counts) for name in ("read", "new", "rejected"))
            step.result(f"{read:,} rows read, {new:,} of them new, {bad:,} bad")

    def _retrain(self) -> str:
        with self.display.step("Train, evaluate and promote a model") as step:
            run = self.client.trigger("retrain_classifier", TRAINING)
            self.client.unpause("retrain_classifier")
            promoted = self._result(run, "promote", step, every_s=3)
            candidate = str(self.client.returned(run, _named(self.client.tasks(run), "train")))
            step.result("promoted" if promoted else "not promoted: classifier promotions says why")
        return candidate

    def _check_champion(self) -> None:
        """Say why there is nobody to label, where the gate has held the first model."""
        with self.workspace.database.connect() as connection:
            if model_rows.champion(connection) is None:
                reason = promotions.history(connection, limit=1)[0].reason
                raise AirflowFailedError(f"the gate let no model through, so nothing can be labelled: {reason}")

    def _label(self, began: datetime) -> None:
        with self.display.step("Label the incoming rows") as step:
            deadline = time.monotonic() + ASSET_S
            by_hand: DagRun | None = None
            while waiting := self._waiting():
                self.airflow.check()
                step.now(f"{waiting:,} wait")
                runs = self.client.runs("label_articles", after=began)
                if failed := next((run for run in runs if run.state == "failed"), None):
                    raise self._failure(failed)
                if any(run.state not in FINISHED for run in runs):
                    deadline = time.monotonic() + ASSET_S
                elif time.monotonic() > deadline:
                    if by_hand:
                        raise AirflowFailedError(f"{waiting} rows still wait for a label after {by_hand.id}")
                    by_hand = self.client.trigger("label_articles", {})
                time.sleep(1)
            self._settle(began)
            step.result("nothing waits")

    def _settle(self, began: datetime) -> None:
        """Wait until the last labelling run has said what it did."""
        while any(run.state not in FINISHED for run in self.client.runs("label_articles", after=began)):
            self.airflow.check()
            time.sleep(1)

    def _waiting(self) -> int:
        """Return how many articles of the present champion still have no label or wait for a new one."""
        models = tables.models.c
        with self.workspace.database.connect() as found:
            queued = int(found.execute(select(func.count()).select_from(tables.labelling_queue)).scalar_one())
            backlog = found.execute(
                select(func.count()).where(models.status == "champion", models.backfilled_to.is_not(None))
            ).scalar_one()
        return queued or int(backlog)

    def _speed(self, began: datetime) -> report.Speed:
        done = [
            self.client.returned(run, task)
            for run in self.client.runs("label_articles", after=began)
            for task in self.client.tasks(run)
            if task.name == "label" and task.state == "success"
        ]
        counts = [one for one in done if one]
        return report.Speed(int(sum(one["labelled"] for one in counts)), float(sum(one["seconds"] for one in counts)))

    def _until_returned(self, run: DagRun, task: Task, step: Step) -> None:
        """Wait until a task has returned something, or its run is over."""
        while self.client.returned(run, task) is None and self.client.run(run).state not in FINISHED:
            self.airflow.check()
            step.now(self._progress(run))
            time.sleep(0.5)

    def _result(self, run: DagRun, task: str, step: Step, *, every_s: float = 1) -> Any:
        """Wait for a run to succeed, and return what its task has returned."""
        while (now := self.client.run(run)).state not in FINISHED:
            self.airflow.check()
            step.now(self._progress(run))
            time.sleep(every_s)
        if now.state == "failed":
            raise self._failure(run)
        return self.client.returned(run, _named(self.client.tasks(run), task))

    def _progress(self, run: DagRun) -> str:
        """Return what is under way, and how far a training is by its log."""
        active = [task for task in self.client.tasks(run) if task.state in {"running", "up_for_retry", "queued"}]
        if not active:
            return "waiting for the scheduler"
        task = active[0]
        log = self.client.log(run, task) if task.name == "train" else []
        steps = [line for line in log if line.startswith("step ")]
        attempt = f", attempt {task.attempt}" if task.attempt > 1 else ""
        return f"{task.name}: {steps[-1]}" if steps else f"{task.name} is {task.state}{attempt}"

    def _failure(self, run: DagRun) -> AirflowFailedError:
        """Return the error that names the task that failed and what it said last."""
        failed = next((task for task in self.client.tasks(run) if task.state == "failed"), None)
        if failed is None:
            return AirflowFailedError(f"{run.dag} failed, in run {run.id}")
        log = self.client.log(run, failed)
        told = [line for line in log if " failed in run " in line]  # as the DAGs' callback writes it
        last = (log or ["its log is empty"])[-1]
        return AirflowFailedError(told[-1] if told else f"{run.dag}.{failed.name} failed: {last}")


def _named(tasks: list[Task], name: str) -> Task:
    return next(task for task in tasks if task.name == name)
