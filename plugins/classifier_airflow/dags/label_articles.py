"""# Label articles

Labels every article in `labelling_queue` with the champion, page by page. One transaction claims a page, writes its
predictions and removes it from the queue.

**Runs** when articles arrive, when the champion changes, and every half hour in case an event was lost. A run always
labels the whole queue: new and changed articles first, then the articles that a new champion relabels. If there is no
champion, the run is skipped. If there are several tasks, each has a queue and workers of its own, and a run that only a
new champion has triggered labels only the champion's task.

**Parameters**: `task` labels one task only. `workers` share the queue of a task. `limit` stops each worker early.
`max_rate` limits all workers of all tasks together, to limit the load on the database. `page_size` is the number of
articles in one transaction, and `engine` the inference engine.

**Again** is always safe: clear the task, or start a new run. A worker may be killed at any moment: its page rolls back
and is free again. Any number of workers may run at once, here or as `classifier label` elsewhere.

**When it fails** the last line of the task's log gives the reason. An article that the model cannot label goes to
`dead_letters` with a reason, and does not fail the run. If the champion's files are missing or changed, the task fails:
restore the model's directory from a backup, then clear the task.

**Affects** every reader of `article_labels`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task

from classifier_airflow import tasks_of_run
from classifier_airflow.instances import LABEL

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from classifier_airflow.dags.options import DagOptions


@task
def workers(params=None, triggering_asset_events=None) -> list[dict]:
    """Return the share of each worker: a task of the classifier, and the worker's number."""
    from classifier_airflow.tasks_of_run import share_labelling

    return share_labelling(params, triggering_asset_events or {})


@task(execution_timeout=timedelta(hours=12), map_index_template="{{ worker }}")
def label(share: dict, all_shares: list[dict], params=None) -> dict[str, float]:
    """Label until the task's queue is empty, and return the counts and the seconds."""
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import NoChampionError
    from classifier.pipeline.labelling import queue
    from classifier_airflow import lineage, metrics
    from classifier_airflow.tasks_of_run import describe_share
    from classifier_airflow.workspace import workspace

    get_current_context()["worker"] = describe_share(share)
    chosen, rate = share["task"], params["max_rate"]
    opened = workspace(chosen)
    try:
        report = queue.label_queue(
            opened,
            limit=params["limit"],
            page_size=params["page_size"],
            engine=params["engine"],
            max_rate=rate and rate / len(all_shares),
            on_page=metrics.count_labelled(opened, chosen),
        )
    except NoChampionError as error:
        raise AirflowSkipException(str(error)) from error
    metrics.send_labelling(report, chosen)
    metrics.send_status(chosen)
    lineage.report_labelling(report, chosen)
    return {
        "labelled": report.labelled,
        "dead_letters": report.dead_letters,
        "waiting": report.waiting,
        "seconds": round(report.seconds, 2),
    }


def create(options: DagOptions) -> DAG:
    """Return the DAG."""

    @dag(schedule=_schedule(options), max_active_runs=1, **options.of_dag(LABEL, __doc__, _params()))
    def label_articles():
        shares = workers()
        label.partial(all_shares=shares).expand(share=shares)

    return label_articles()


def _schedule(options: DagOptions) -> Any:
    """Return the schedule: a cron expression, and the assets, starts the DAG; None leaves it to the assets."""
    chosen = options.schedules[LABEL]
    assets = options.instance.articles | options.instance.champion
    if chosen is None:
        return assets
    if isinstance(chosen, str):
        return AssetOrTimeSchedule(timetable=CronTriggerTimetable(chosen, timezone="UTC"), assets=assets)
    return chosen


def _params() -> dict[str, Param]:
    return {
        "task": tasks_of_run.param(),
        "workers": Param(
            1, type="integer", minimum=1, maximum=64, description="Workers that share the queue of a task."
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            description="Articles after which each worker stops; by default, none.",
        ),
        "max_rate": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            description="Maximum articles a second, of all workers together; by default, no maximum.",
        ),
        "page_size": Param(
            2048, type="integer", minimum=1, maximum=10_000, description="Maximum articles in one transaction."
        ),
        "engine": Param("auto", enum=["auto", "openvino", "keras"], description="Inference engine."),
    }
