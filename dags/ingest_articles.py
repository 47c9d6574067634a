"""# Ingest articles

Reads files into the table `articles`; what is bad goes to `rejected_rows` with its reason. New and
changed articles wait for a label in `labelling_queue`, and the asset `articles` starts
`label_articles`.

**Runs** every hour on the setting `CLASSIFIER_INBOX` (a folder, path or glob); without one, or with no file
there yet, it skips. Start it by hand with `files` to take in anything else.

**Again** is always safe: a file is taken in whole or not at all, and the same file twice changes
nothing.

**When it fails** the task's last line says which file and why. Mend the file, then clear the task.
More than 5 % of bad rows refuses the whole file: see `rejected_rows`, or raise `max_rejected`.

**Affects** analysts (new rows in `article_labels`) and the next training (new annotations).
"""

from __future__ import annotations

from airflow.sdk import Metadata, Param, dag, task
from classifier_airflow.assets import ARTICLES
from classifier_airflow.conduct import DEFAULT_ARGS
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
        "files": Param(None, type=["null", "string"], description="Path or glob; the inbox without one."),
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
    def ingest(params=None) -> dict[str, int]:
        """Take the files in, and return the counts."""
        from dataclasses import asdict

        from classifier_airflow.places import inbox_or_skip, workspace

        from classifier.ingest.sources import Columns
        from classifier.ingest.splits import Proportions
        from classifier.pipeline import ingest as use_case

        place = workspace()
        report = use_case.run(
            place,
            params["files"] or inbox_or_skip(place.settings),
            Columns(*(params[name] for name in ("text", "category", "id", "split", "published_at", "source"))),
            source=params["source_name"],
            proportions=Proportions.parse(params["proportions"]),
            max_rejected=params["max_rejected"],
        )
        return asdict(report)

    @task(outlets=[ARTICLES])
    def announce(counts: dict[str, int]):
        """Tell whoever waits for articles, if there are any that are new or changed."""
        from airflow.sdk.exceptions import AirflowSkipException

        if not counts["new"] + counts["changed"]:
            raise AirflowSkipException("nothing is new")
        yield Metadata(ARTICLES, counts)

    announce(ingest())


ingest_articles()
