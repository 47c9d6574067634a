"""# Ingest articles

Reads the sources that `CLASSIFIER_SOURCES` (a `sources.toml`) declares, files, feeds and queries, and the
files of the setting `CLASSIFIER_INBOX`, into the table `articles`; what is bad goes to `rejected_rows` with
its reason. New and changed articles wait for a label in `labelling_queue`, and the asset `articles` starts
`label_articles`.

**Runs** every hour on what is due: sources of the group `hourly`, and those of `daily` and `weekly` that
have not succeeded today or this week; and on the inbox, of which files are read that are new, that have changed, or
that were read with other parameters. Where nothing is due it skips. Start it by hand with `group` to take in all
sources of a group, or with `files` to read those files, known or not, and nothing else.

**Again** is always safe: a file, a feed's document or a query's result is taken in whole or not at all, and
what has been read before is skipped or changes nothing.

**Rejected rows**: with `rejected`, it reads again what rows were rejected of, and nothing else. The classifier's page
does this.

**When it fails** the last task names the sources that failed and why; the others are in. Mend the source,
then clear its `ingest` task. More than 5 % of bad rows refuses the whole file: see `classifier rejected`, or
raise `max_rejected`.

**Affects** analysts (new rows in `article_labels`) and the next training (new annotations).
"""

from __future__ import annotations

from airflow.sdk import Metadata, Param, TriggerRule, dag, get_current_context, task
from classifier_airflow.assets import ARTICLES
from classifier_airflow.task_defaults import DEFAULT_ARGS, log_failure
from pendulum import datetime

COLUMN = ["null", "string"]


@dag(
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
    params={
        "group": Param(None, type=COLUMN, description="Group of declared sources; those that are due without one."),
        "files": Param(None, type=COLUMN, description="Path or glob, instead of declared sources and the inbox."),
        "rejected": Param(False, type="boolean", description="Read again what rows were rejected of, nothing else."),
        "text": Param("text", type="string", description="Column of the text."),
        "category": Param(None, type=COLUMN, description="Column of the category, kept as an annotation."),
        "id": Param(None, type=COLUMN, description="Column of the id; without one, the text's hash."),
        "split": Param(None, type=COLUMN, description="Column of the split: train, validation or test."),
        "published_at": Param(None, type=COLUMN, description="Column of the time of publication."),
        "source": Param(None, type=COLUMN, description="Column of the source's name."),
        "source_name": Param(None, type=COLUMN, description="One source for all; by default each file's name."),
        "proportions": Param("0.8,0.1,0.1", type="string", description="Shares of train, validation and test."),
        "max_rejected": Param(0.05, type="number", minimum=0, maximum=1, description="Share of bad rows to bear."),
    },
)
def ingest_articles():
    @task
    def choose(params=None) -> list[dict[str, str]]:
        """List what this run reads: sources by their name, files by their path."""
        from classifier_airflow.ingest_tasks import choose_sources

        return choose_sources(files=params["files"], group=params["group"], rejected=params["rejected"])

    # the verdict alerts people, once for all sources
    @task(map_index_template="{{ source_name }}", on_failure_callback=log_failure)
    def ingest(source: dict[str, str], params=None) -> dict[str, int | str]:
        """Take one source in, and return the counts."""
        from classifier_airflow import lineage, metrics
        from classifier_airflow.ingest_tasks import ingest_source, source_name

        name = source_name(source)
        get_current_context()["source_name"] = name
        counts = ingest_source(source, params)
        metrics.send_ingest(source, counts)
        lineage.report_ingest()
        return {"source": name, **counts}

    @task(outlets=[ARTICLES], trigger_rule=TriggerRule.ALL_DONE)
    def announce(taken):
        """Tell whoever waits for articles, if there are any that are new or changed."""
        from airflow.sdk.exceptions import AirflowSkipException
        from classifier_airflow.ingest_tasks import add_up_counts

        counts = add_up_counts(taken)
        if not counts.get("new", 0) + counts.get("changed", 0):
            raise AirflowSkipException("nothing is new")
        yield Metadata(ARTICLES, counts)

    @task(trigger_rule=TriggerRule.ALL_DONE, retries=1)
    def verdict(sources, taken):
        """Fail if a source failed, and name it; the others are in."""
        from classifier_airflow import metrics
        from classifier_airflow.ingest_tasks import fail_if_any_failed

        metrics.send_status()
        fail_if_any_failed(sources, taken)

    sources = choose()
    taken = ingest.expand(source=sources)
    announce(taken)
    verdict(sources, taken)


ingest_articles()
