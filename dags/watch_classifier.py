"""# Watch the classifier

Compares the articles that came last with those that the champion was evaluated on: category mix, length and
confidence. Tells from confidence how accurate the labels are that nobody checks, and checks confidence itself against
labels that were drawn at random and reviewed. What was found is kept in `drift_runs`.

**Runs** every morning at six (UTC). Without a champion it skips. Which articles are looked at, and what is borne, are
settings: `CLASSIFIER_DRIFT_DAYS`, `_ARTICLES`, `_MIN_ARTICLES`, `_MAX_DISTANCE` and `_MAX_ACCURACY_LOSS`.

**Again** is always safe: another row in `drift_runs`.

**When it fails** in the task `alarm`, its last line says for each alarm what it is, how far it is from what it was,
since when, and what to do. Nothing has been changed, and labelling goes on. It stays red every day until the articles
are again as they were, a new champion was evaluated on such as come now, or the limit is set wider. When `check_drift`
itself fails, its last line says why; a champion without an evaluation needs `classifier evaluate champion`.

**Affects** nobody.
"""

from __future__ import annotations

from airflow.sdk import dag, task
from classifier_airflow.task_defaults import DEFAULT_ARGS
from pendulum import datetime


@dag(
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
)
def watch_classifier():
    @task
    def check_drift() -> dict[str, str | int | float | list[str] | None]:
        """Make every check, and return what is to be drawn and the alarms."""
        from airflow.sdk.exceptions import AirflowSkipException
        from classifier_airflow import metrics
        from classifier_airflow.workspace import workspace

        from classifier.exceptions import NoChampionError
        from classifier.pipeline.monitoring import drift_check

        try:
            found = drift_check.check_drift(workspace())
        except NoChampionError as error:
            raise AirflowSkipException(str(error)) from error
        metrics.drift_checked()
        return {
            "model": found.model,
            "articles": found.articles,
            "audited": found.audited,
            "confidence": found.confidence,
            "abstained": found.abstained,
            "alarms": list(found.alarms),
        }

    @task(retries=1)
    def alarm(found):
        """Fail if a check gave alarm, and say which."""
        from classifier.exceptions import AlarmError

        if found["alarms"]:
            raise AlarmError(" | ".join(found["alarms"]))

    alarm(check_drift())


watch_classifier()
