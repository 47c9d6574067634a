"""# Review articles

Fills `review_queue` with the articles whose annotation improves the champion most: uncertain ones, diverse ones, and
ones of rare categories. It also adds a random sample, on which the champion's accuracy is measured.

**Runs** daily at 05:00 UTC, after the night's training and labelling, for each task of the classifier. If a task has no
champion, it is skipped.

**Then** annotators answer on the classifier's page, under *Review*. Or they fill in a sheet: `classifier review export
FILE.csv` writes it, annotators fill in the columns category and annotator, and `classifier review import FILE.csv`
imports the answers. The next `retrain_classifier` trains on them. `classifier review status` shows what waits, and the
champion's accuracy on the random sample. `CLASSIFIER_REVIEW_OVERLAP` lets several people annotate a share of the
articles: these wait for them in addition, and `classifier review agreement` shows how far they agree.

**Parameters**: `task` fills the queue of one task only. `number` and `audit` are the sizes to which the queue is
filled: articles chosen by the champion, and randomly drawn articles. `doubtful` queues the most doubtful annotations of
`doubtful_split` as well; 0 queues none. With those of the validation and test splits, as many others are queued, drawn
at random, and annotators cannot tell which are which.

**Again** is always safe: clear the task, or start a new run. Articles that already wait count towards `number` and
`audit`, so their number never grows beyond these sizes. Doubtful articles come in addition; those that already wait are
not queued again.

**When it fails** the last line of the task's log gives the reason. Clear the task. No other DAG depends on this one. If
another run or `classifier review doubtful --queue` has queued doubtful articles meanwhile, the task is tried again.

**Affects** only the annotators, who get new questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param, dag, task

from classifier_airflow import tasks_of_run
from classifier_airflow.instances import REVIEW
from classifier_airflow.tasks_of_run import NAME_TEMPLATE

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from classifier_airflow.dags.options import DagOptions


@task
def choose(params=None) -> list[dict]:
    """Return the classifier's tasks whose queues are filled."""
    from classifier_airflow.tasks_of_run import choose_tasks

    return choose_tasks(params["task"])


@task(map_index_template=NAME_TEMPLATE)
def fill(chosen: dict, params=None) -> dict[str, int | dict[str, int]]:
    """Fill the queue, and return how many articles were added, by reason, and how many wait."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import NoChampionError
    from classifier.pipeline.review import annotation_checks, review_queue
    from classifier_airflow.workspace import workspace

    of_task = workspace(chosen)
    try:
        report = review_queue.fill_queue(of_task, number=params["number"], audit=params["audit"])
    except NoChampionError as error:
        raise AirflowSkipException(str(error)) from error
    if not params["doubtful"]:
        return {"added": report.added, "waiting": report.waiting}
    checks = annotation_checks.queue_doubtful(of_task, scope=params["doubtful_split"], number=params["doubtful"])
    added = {**report.added, "doubtful": checks.doubtful, "control": checks.control}
    return {"added": added, "waiting": report.waiting + checks.doubtful + checks.control}


def create(options: DagOptions) -> DAG:
    """Return the DAG."""

    @dag(schedule=options.schedules[REVIEW], max_active_runs=1, **options.of_dag(REVIEW, __doc__, _params()))
    def review_articles():
        fill.expand(chosen=choose())

    return review_articles()


def _params() -> dict[str, Param]:
    return {
        "task": tasks_of_run.param(),
        "number": Param(
            100,
            type="integer",
            minimum=0,
            maximum=10_000,
            description="Articles chosen by the champion that the queue holds.",
        ),
        "audit": Param(
            20,
            type="integer",
            minimum=0,
            maximum=10_000,
            description="Randomly drawn articles that the queue holds as well.",
        ),
        "doubtful": Param(
            0,
            type="integer",
            minimum=0,
            maximum=10_000,
            description="Articles whose annotation is probably wrong that are queued as well; 0 queues none.",
        ),
        "doubtful_split": Param(
            "train",
            enum=["train", "validation", "test", "all"],
            description="Split of the doubtful articles.",
        ),
    }
