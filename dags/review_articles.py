"""# Review articles

Fills `review_queue` with the articles that a human's annotation teaches the champion most: uncertain, unlike one
another, of rare categories. Besides, it draws a few at random, on which the champion's accuracy is measured.

**Runs** every morning at five (UTC), after the night's training and labelling. Without a champion it skips.

**Then** people annotate on the classifier's page, under *Review*. Or somebody runs `classifier review export FILE.csv`,
people fill in the columns category and annotator, and `classifier review import FILE.csv` takes the answers in. The
next `retrain_classifier` learns from them.
`classifier review status` says what waits, and how right the labels were.

**Again** is always safe: the queue is filled up to `number` and `audit`, and what waits already counts. So nothing
piles up where nobody reviews.

**When it fails** the task's last line says why; clear it. No other DAG waits for this one.

**Affects** nobody until somebody reviews.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from classifier_airflow.task_defaults import DEFAULT_ARGS
from pendulum import datetime


@dag(
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
    params={
        "number": Param(
            100, type="integer", minimum=0, maximum=10_000, description="Articles chosen by the champion that wait."
        ),
        "audit": Param(
            20, type="integer", minimum=0, maximum=10_000, description="Articles drawn at random that wait besides."
        ),
    },
)
def review_articles():
    @task
    def fill(params=None) -> dict[str, int | dict[str, int]]:
        """Fill the queue, and return how many articles were added, by reason, and how many wait."""
        from airflow.sdk.exceptions import AirflowSkipException
        from classifier_airflow.workspace import workspace

        from classifier.exceptions import NoChampionError
        from classifier.pipeline.review import review_queue

        try:
            report = review_queue.fill_queue(workspace(), number=params["number"], audit=params["audit"])
        except NoChampionError as error:
            raise AirflowSkipException(str(error)) from error
        return {"added": report.added, "waiting": report.waiting}

    fill()


review_articles()
