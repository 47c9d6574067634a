"""Run DAGs in the stack through Airflow's REST API, and read their progress from the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, text

from benchmarks.support import lost_labels
from classifier.local_airflow.rest_client import FINISHED, DagRun, RestClient, Task
from classifier.local_airflow.standalone import AirflowFailedError
from tests.support import synthetic
from tests.support.stack.stack import Stack

DAGS = {"ingest_articles", "retrain_classifier", "label_articles", "review_articles", "watch_classifier"}
HYPER_PARAMETERS = {"learning_rate": 0.01, "dtype": "float32", "patience": 100_000}
PAGE = 25
_TIMEOUT_S = 900.0

_LAST_TRAINING = "SELECT * FROM training_runs ORDER BY id DESC LIMIT 1"
_EPOCH = """
SELECT (max(seconds) - min(seconds)) / greatest(max(epoch) - min(epoch), 1) FROM training_metrics
WHERE macro_f1 IS NOT NULL AND run_id = (SELECT max(id) FROM training_runs WHERE status = 'succeeded')
"""


@dataclass
class Work:
    """The stack, a client of its API, and the articles' database."""

    stack: Stack
    client: RestClient
    database: Engine
    folder: Path
    batches: int = 0

    def ingest(self, rows: list[dict[str, str]], **columns: str) -> None:
        """Ingest rows while labelling is paused."""
        self.batches += 1
        self.pause("label_articles")
        file = synthetic.write_csv(self.folder / f"batch-{self.batches}.csv", rows)
        run = self.client.trigger("ingest_articles", {"files": str(file), "id": "id", **columns})
        self.client.unpause("ingest_articles")
        self.succeeded(run)

    def ingest_unlabelled(self, count: int) -> None:
        """Ingest a number of new articles without annotations."""
        rows = synthetic.articles(count, seed=100 + self.batches, prefix=f"b{self.batches}-")
        self.ingest([{"id": row["id"], "text": row["text"]} for row in rows], proportions="1,0,0")

    def begin_labelling(self, *, rate: float) -> DagRun:
        """Start labelling the queue in small batches, at `rate` articles a second at most."""
        run = self.client.trigger("label_articles", {"max_rate": rate, "page_size": PAGE})
        self.client.unpause("label_articles")
        return run

    def begin_training(self, *, seconds: float | None = None, seed: int = 1) -> DagRun:
        """Start a training: a short one, or one of about `seconds`, estimated from the last training's epochs."""
        epochs = 20
        if seconds:
            epochs = max(20, round(seconds / max(self.value(_EPOCH), 0.01)))
        conf = {
            "recipe": "r8",
            "min_new_annotations": 0,
            "hyper_parameters": {**HYPER_PARAMETERS, "epochs": epochs, "seed": seed},
        }
        run = self.client.trigger("retrain_classifier", conf)
        self.client.unpause("retrain_classifier")
        return run

    def begin(self, dag: str) -> DagRun:
        """Start a run without parameters, as a user would in the UI."""
        run = self.client.trigger(dag, {})
        self.client.unpause(dag)
        return run

    def pause(self, dag: str) -> None:
        """Keep further runs of a DAG from starting."""
        self.client.pause(dag)

    def state(self, run: DagRun) -> str:
        """Return a run's state, "unknown" if the API does not answer."""
        try:
            return self.client.run(run).state
        except AirflowFailedError:
            return "unknown"

    def finished(self, run: DagRun) -> str:
        """Wait until a run has ended; return its state."""
        self.until(lambda: self.state(run) in FINISHED, f"the end of {run.dag}", lambda: self.describe(run))
        return self.state(run)

    def succeeded(self, run: DagRun) -> None:
        """Wait until a run has ended, and assert that it succeeded."""
        assert self.finished(run) == "success", self.describe(run)

    def task(self, run: DagRun, name: str) -> Task:
        """Return a task of a run."""
        return next(task for task in self.client.tasks(run) if task.name == name)

    def log(self, run: DagRun, name: str) -> list[str]:
        """Return the log of a task, of all its attempts."""
        task = self.task(run, name)
        attempts = [Task(task.name, task.index, task.state, number) for number in range(1, task.attempt + 1)]
        return [line for attempt in attempts for line in self.client.log(run, attempt)]

    def describe(self, run: DagRun) -> str:
        """Return a run's tasks and the last lines of those that failed."""
        try:
            tasks = self.client.tasks(run)
            failed = [f"{task.name}: {self.client.log(run, task)[-3:]}" for task in tasks if task.state == "failed"]
        except AirflowFailedError as error:
            return str(error)
        return "\n".join([*(f"{task.name} {task.index} {task.state} {task.attempt}" for task in tasks), *failed])

    def training(self) -> Row[Any]:
        """Return the newest row of training_runs."""
        with self.database.connect() as connection:
            return connection.execute(text(_LAST_TRAINING)).one()

    def labelled(self) -> int:
        """Return the number of committed predictions."""
        return lost_labels.labelled(self.database)

    def value(self, statement: str) -> Any:
        """Return the single value of a statement."""
        with self.database.connect() as connection:
            return connection.execute(text(statement)).scalar_one()

    def until(
        self,
        done: Callable[[], object],
        what: str,
        why: Callable[[], object] = str,
        *,
        within_s: float = _TIMEOUT_S,
    ) -> float:
        """Wait until a condition holds; return the seconds that this took."""
        began = time.monotonic()
        while not done():
            assert time.monotonic() - began < within_s, f"{what}: not reached in {within_s:.0f} s: {why()}"
            time.sleep(0.5)
        return time.monotonic() - began


def count_faults(work: Work) -> Mapping[str, int]:
    """Return the numbers of missing, doubled and mixed labels, when no task runs."""
    return lost_labels.count(work.database)
