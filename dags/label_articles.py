"""# Label articles

Labels everything that waits in `labelling_queue` with the champion, page by page: claiming a page,
writing its predictions and taking it off the queue are one transaction.

**Runs** when articles arrive, when the champion changes, and every half hour in case an event was
lost. It always takes *all* that waits, never what an event names: new and changed articles first, then
what a new champion has to label again. Without a champion it skips.

**By hand**, with parameters: `workers` share the queue; `limit` stops each of them early; `max_rate` leaves the
database to others.

**Again** is always safe, and so is killing a worker at any moment: its page rolls back and is free
again. Any number of workers may run, here or by `classifier label` elsewhere.

**When it fails** the task's last line says why. An article that the model cannot label goes to
`dead_letters` with its reason and does not fail the run. A missing or changed artefact fails it: restore
the model's directory from a backup, then clear the task.

**Affects** every reader of `article_labels`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from classifier_airflow.assets import ARTICLES, CHAMPION
from classifier_airflow.task_defaults import DEFAULT_ARGS
from pendulum import datetime


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/30 * * * *", timezone="UTC"), assets=(ARTICLES | CHAMPION)
    ),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
    params={
        "workers": Param(1, type="integer", minimum=1, maximum=64, description="Labellers that share the queue."),
        "limit": Param(
            None, type=["null", "integer"], minimum=1, description="Articles after which each worker stops."
        ),
        "max_rate": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            description="Articles a second at most, of all workers together.",
        ),
        "page_size": Param(
            2048, type="integer", minimum=1, maximum=10_000, description="Articles in one transaction, at most."
        ),
        "engine": Param("auto", enum=["auto", "openvino", "keras"], description="What computes."),
    },
)
def label_articles():
    @task
    def workers(params=None) -> list[int]:
        """Return one number a worker."""
        return list(range(params["workers"]))

    @task(execution_timeout=timedelta(hours=12), map_index_template="worker {{ worker }}")
    def label(worker: int, params=None) -> dict[str, float]:
        """Label until nothing waits, and return how much and how fast."""
        from airflow.sdk import get_current_context
        from airflow.sdk.exceptions import AirflowSkipException
        from classifier_airflow import lineage, metrics
        from classifier_airflow.workspace import workspace

        from classifier.exceptions import NoChampionError
        from classifier.pipeline.labelling import queue

        get_current_context()["worker"] = worker
        place, rate = workspace(), params["max_rate"]
        try:
            report = queue.label_queue(
                place,
                limit=params["limit"],
                page_size=params["page_size"],
                engine=params["engine"],
                max_rate=rate and rate / params["workers"],
                on_page=metrics.count_labelled(place),
            )
        except NoChampionError as error:
            raise AirflowSkipException(str(error)) from error
        metrics.send_labelling(report)
        metrics.send_status()
        lineage.report_labelling(report)
        return {
            "labelled": report.labelled,
            "dead_letters": report.dead_letters,
            "waiting": report.waiting,
            "seconds": round(report.seconds, 2),
        }

    label.expand(worker=workers())


label_articles()
