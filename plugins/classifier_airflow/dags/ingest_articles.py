"""# Ingest articles

Reads new articles into the table `articles`: from the sources that `CLASSIFIER_SOURCES` declares (a `sources.toml` with
files, feeds and queries), and from the files of the inbox, `CLASSIFIER_INBOX`. Invalid rows go to `rejected_rows` with
a reason. New and changed articles enter `labelling_queue`, and the asset `articles` triggers `label_articles`.

**Runs** every hour. A scheduled run reads the sources that are due: those of the group `hourly`, and those of `daily`
and `weekly` that have not succeeded today or this week (UTC). It also reads the inbox files that are new, that have
changed, or that were read with other parameters. If nothing is due, the run is skipped. A run without parameters reads
the inbox as the last run with parameters did: trigger a run once with the columns of your files.

**Parameters**

- `group`: read all sources of this group instead of those that are due.
- `files`: read these files, even if they were read before, and nothing else.
- `rejected`: read the sources and files of rejected rows again, and nothing else. The classifier's page starts this.
- All others say how to read `files` and the inbox.

**Again** is always safe: clear the failed tasks, or start a new run. Each file, feed document and query result is
ingested atomically, and what has been read before changes nothing.

**When it fails** the last task names the sources that failed and why. The other sources stay ingested. Fix the source,
then clear its `ingest` task. A file is refused if more than 5 % of its rows are invalid: `classifier rejected` lists
them, and `max_rejected` raises the limit.

**Affects** analysts, who see new rows in `article_labels`, and the next training, which uses the new annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Metadata, Param, TriggerRule, dag, get_current_context, task

from classifier_airflow.instances import INGEST
from classifier_airflow.task_defaults import log_failure

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from classifier_airflow.dags.options import DagOptions

COLUMN = ["null", "string"]


@task
def choose(params=None) -> list[dict[str, str]]:
    """Return what this run reads: sources by name, files by path."""
    from classifier_airflow.ingest_tasks import choose_sources

    return choose_sources(files=params["files"], group=params["group"], rejected=params["rejected"])


# a failure only logs here: the task verdict alerts people, once for all sources
@task(map_index_template="{{ source_name }}", on_failure_callback=log_failure)
def ingest(source: dict[str, str], params=None) -> dict[str, int | str]:
    """Ingest one source, and return the counts of its rows."""
    from classifier_airflow import lineage, metrics
    from classifier_airflow.ingest_tasks import ingest_source, source_name

    name = source_name(source)
    get_current_context()["source_name"] = name
    counts = ingest_source(source, params)
    metrics.send_ingest(source, counts)
    lineage.report_ingest()
    return {"source": name, **counts}


@task(trigger_rule=TriggerRule.ALL_DONE)
def announce(reports):
    """Emit the asset of the articles if any article is new or changed."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier_airflow import instances
    from classifier_airflow.ingest_tasks import add_up_counts

    counts = add_up_counts(reports)
    if not counts.get("new", 0) + counts.get("changed", 0):
        raise AirflowSkipException("nothing is new")
    yield Metadata(instances.current().articles, counts)


@task(trigger_rule=TriggerRule.ALL_DONE)
def verdict(sources, reports):
    """Fail if a source failed, and name each one that did."""
    from classifier_airflow import metrics
    from classifier_airflow.ingest_tasks import fail_if_any_failed

    metrics.send_status()
    fail_if_any_failed(sources, reports)


def create(options: DagOptions) -> DAG:
    """Return the DAG."""

    @dag(schedule=options.schedules[INGEST], max_active_runs=4, **options.of_dag(INGEST, __doc__, _params()))
    def ingest_articles():
        sources = choose()
        reports = ingest.expand(source=sources)
        announce.override(outlets=[options.instance.articles])(reports)
        verdict(sources, reports)

    return ingest_articles()


def _params() -> dict[str, Param]:
    return {
        "group": Param(
            None, type=COLUMN, description="Group of declared sources; by default, the sources that are due."
        ),
        "files": Param(
            None, type=COLUMN, description="Path or glob of files to read instead of declared sources and the inbox."
        ),
        "rejected": Param(
            False, type="boolean", description="Read the sources and files of rejected rows again, and nothing else."
        ),
        "task": Param(
            None, type=COLUMN, description="Task of the column of the category; needed only if there are several."
        ),
        "text": Param("text", type="string", description="Column of the text."),
        "category": Param(
            None,
            type=COLUMN,
            description="Column of the category, stored as an annotation; of several tasks: topic=topics,place=places.",
        ),
        "id": Param(None, type=COLUMN, description="Column of the id; by default, the address, else the text's hash."),
        "split": Param(None, type=COLUMN, description="Column of the split: train, validation or test."),
        "published_at": Param(None, type=COLUMN, description="Column of the publication time."),
        "source": Param(None, type=COLUMN, description="Column of the source's name."),
        "title": Param(None, type=COLUMN, description="Column of the title, which models read before the text."),
        "url": Param(None, type=COLUMN, description="Column of the web address."),
        "source_name": Param(
            None, type=COLUMN, description="Source of all rows; by default, each file's name without its suffix."
        ),
        "proportions": Param("0.8,0.1,0.1", type="string", description="Shares of train, validation and test."),
        "max_rejected": Param(
            0.05,
            type="number",
            minimum=0,
            maximum=1,
            description="Refuse a file if a larger share of its rows is invalid.",
        ),
    }
