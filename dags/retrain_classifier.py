"""# Retrain the classifier

Trains a candidate on the annotated articles of the train split, measures it on the test split beside
a TF-IDF baseline, and makes it champion if its macro-F1 is at least the present champion's. The asset
`champion-model` then starts `label_articles`.

**Runs** every night at two (UTC). The training task waits in the pool `gpu` and runs in the queue
`gpu`, so one model trains at a time.

**Again** is always safe: a training that dies goes on from its last saved state when the task is retried or
cleared, and ends in the same weights. With other articles or parameters it starts afresh. A candidate that
has been trained is not trained again when a later task is cleared.

**While it runs** the task's log says every quarter of a minute where it stands, `classifier status` too, and the
table `training_metrics` has the curves. The finished model's folder has them as `learning-curves.svg`.

**When it fails** the task's last line says why. No annotated article, or all of one category: ingest
annotations first. An encoder that cannot be loaded: see `CLASSIFIER_ENCODER`. `promote` is skipped
downstream where the candidate was not good enough; the table `promotions` keeps the reason.

**Affects** every reader of `article_labels`: a new champion's labels replace the old one's as they are
written.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Metadata, Param, dag, task
from classifier_airflow.assets import CHAMPION
from classifier_airflow.conduct import DEFAULT_ARGS, GPU_POOL, GPU_QUEUE
from pendulum import datetime


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
    params={
        "encoder": Param(
            None, type=["null", "string"], description="Hub id or directory; CLASSIFIER_ENCODER without one."
        ),
        "epochs": Param(4, type="integer", minimum=1, description="Passes over the train split; it may stop earlier."),
        "batch_size": Param(16, type="integer", minimum=1, description="Articles a step."),
        "learning_rate": Param(
            5e-5, type="number", exclusiveMinimum=0, description="Peak; 5e-5 suits DistilBERT-base, 2e-4 a small one."
        ),
        "max_length": Param(
            256, type="integer", minimum=8, maximum=512, description="Word pieces after which a text is cut off."
        ),
        "patience": Param(2, type="integer", minimum=1, description="Epochs without improvement before it stops."),
        "seed": Param(0, type="integer", description="Seed of all that is random."),
        "precision": Param(
            "auto",
            enum=["auto", "float32", "mixed_bfloat16", "mixed_float16"],
            description="Number format of the training.",
        ),
    },
)
def retrain_classifier():
    @task(pool=GPU_POOL, queue=GPU_QUEUE, retries=2, execution_timeout=timedelta(hours=6))
    def train(params=None) -> str:
        """Train a candidate and return its name."""
        from classifier_airflow.places import log_training, workspace

        from classifier.pipeline import train as use_case
        from classifier.training.recipes import Recipe

        wanted = ("epochs", "batch_size", "learning_rate", "max_length", "patience", "seed", "precision")
        recipe = Recipe(**{name: params[name] for name in wanted})
        return use_case.run(workspace(), recipe, encoder_name=params["encoder"], on_progress=log_training()).model

    @task
    def evaluate(model: str) -> dict[str, float]:
        """Measure the candidate on the test split, and return its figures and the baseline's."""
        from classifier_airflow.places import workspace

        from classifier.pipeline import evaluate as use_case

        report = use_case.run(workspace(), model)
        return {
            "accuracy": report.metrics.accuracy,
            "macro_f1": report.metrics.macro_f1,
            "baseline_accuracy": report.baseline.accuracy,
            "baseline_macro_f1": report.baseline.macro_f1,
        }

    @task
    def promote(model: str) -> bool:
        """Decide, and return whether the candidate is the champion now."""
        from classifier_airflow.places import workspace

        from classifier.pipeline import promote as use_case

        return use_case.run(workspace(), model, decided_by="retrain_classifier").promoted

    @task(outlets=[CHAMPION])
    def announce(model: str, figures: dict[str, float], *, promoted: bool):
        """Tell whoever waits for a champion, if there is a new one."""
        from airflow.sdk.exceptions import AirflowSkipException

        if not promoted:
            raise AirflowSkipException("the champion stays; the table promotions says why")
        yield Metadata(CHAMPION, {"model": model, **figures})

    candidate = train()
    figures = evaluate(candidate)
    decision = promote(candidate)
    figures >> decision
    announce(candidate, figures, promoted=decision)


retrain_classifier()
