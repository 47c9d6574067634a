"""# Watch the classifier

Compares the newest articles with the articles on which the champion was evaluated: category mix, length and confidence.
It estimates the accuracy of unreviewed labels from their confidence, and checks the confidence against randomly drawn
labels that people reviewed. The results are stored in `drift_runs`.

**Runs** daily at 06:00 UTC, for each task of the classifier. If a task has no champion, its check is skipped.

**Parameters**: `task` checks one task only. Settings choose the articles and the limits: `CLASSIFIER_DRIFT_DAYS`,
`CLASSIFIER_DRIFT_ARTICLES`, `CLASSIFIER_DRIFT_MIN_ARTICLES`, `CLASSIFIER_DRIFT_MAX_DISTANCE` and
`CLASSIFIER_DRIFT_MAX_ACCURACY_LOSS`.

**Again** is always safe: clear the tasks, or start a new run. Each run adds a row to `drift_runs`, and changes nothing
else.

**When it fails** in the task `alarm`, its last line names each alarm, how far the value is from the test articles'
value, since when, and what to do. Labelling continues. The task fails every day until the articles are as before, a new
champion was evaluated on such articles, or the limit is raised. If `check_drift` fails, its last line gives the reason.
If the champion has no evaluation, run `classifier evaluate champion`.

**Affects** only the people who get the alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import dag, task, task_group

from classifier_airflow import tasks_of_run
from classifier_airflow.instances import DRIFT
from classifier_airflow.tasks_of_run import NAME_TEMPLATE

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from classifier_airflow.dags.options import DagOptions


@task
def choose(params=None) -> list[dict]:
    """Return the classifier's tasks that are checked."""
    from classifier_airflow.tasks_of_run import choose_tasks

    return choose_tasks(params["task"])


@task(map_index_template=NAME_TEMPLATE)
def check_drift(chosen: dict) -> dict[str, str | int | float | list[str] | None]:
    """Run every check, and return the figures and the alarms."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import NoChampionError
    from classifier.pipeline.monitoring import drift_check
    from classifier_airflow import metrics
    from classifier_airflow.workspace import workspace

    try:
        report = drift_check.check_drift(workspace(chosen))
    except NoChampionError as error:
        raise AirflowSkipException(str(error)) from error
    metrics.send_drift(chosen)
    return {
        "model": report.model,
        "articles": report.articles,
        "audited": report.audited,
        "mean_confidence": report.mean_confidence,
        "abstained": report.abstained,
        "alarms": list(report.alarms),
    }


@task(map_index_template=NAME_TEMPLATE)
def alarm(report):
    """Fail if a check raised an alarm, and name each alarm."""
    from classifier.exceptions import AlarmError

    if report["alarms"]:
        raise AlarmError(" | ".join(report["alarms"]))


@task_group(prefix_group_id=False)
def monitor(chosen):
    """Check one of the classifier's tasks."""
    alarm(check_drift(chosen))


def create(options: DagOptions) -> DAG:
    """Return the DAG."""
    arguments = options.of_dag(DRIFT, __doc__, {"task": tasks_of_run.param()})

    @dag(schedule=options.schedules[DRIFT], max_active_runs=1, **arguments)
    def watch_classifier():
        monitor.expand(chosen=choose())

    return watch_classifier()
