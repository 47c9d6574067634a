"""# Retrain the classifier

Trains a candidate on the annotated articles of the train split, measures it on the test split beside
a TF-IDF baseline, and makes it champion if the gate finds that it has earned it: proof, on the same test
articles, that it is not worse than the champion by more than a margin. The asset `champion-model` then
starts `label_articles`.

With `require_approval`, a person is asked before a promotion, in *Required Actions*: the question shows the
verdict, the differences, and how many labels would change. Without an answer in twelve hours the champion
stays. The answer is to that question alone: if the champion, one of the two evaluations or the verdict is another by
then, `promote` fails and says so. Clear `judge` with what follows it, and the question is asked anew.

**Runs** every night at two (UTC). The training task waits in the pool `gpu` and runs in the queue
`gpu`, so one model trains at a time.

**How** is said by a recipe (`classifier recipes` lists them; a file's path does, too), and by the parameters that
are set besides. It starts from the encoder, or with `from` from a model: `champion` goes on from the present one.

**Skipped** is the whole run where fewer than `min_new_annotations` have come since the last model that was decided
on; the log of `train` says how many. Set it to 0 to train all the same, with another recipe for instance.

**Without a training**: with `candidate`, the name of a model that is there, it is measured, judged and decided on as
one that was just trained; `reason` says why, and is kept with the decision. The classifier's page does this.

**Again** is always safe: a training that dies goes on from its last saved state when the task is retried or
cleared, and ends in the same weights. With other articles or parameters it starts afresh. A candidate that
has been trained is not trained again when a later task is cleared. `evaluate`, `judge` and `promote` keep what they
have measured chunk by chunk, so a retry, or a run that is cleared, continues where it was.

**While it runs** the task's log says every quarter of a minute where it stands, `classifier status` too, and the
table `training_metrics` has the curves. The finished model's folder has them as `learning-curves.svg`.

**When it fails** the task's last line says why. No annotated article, or all of one category: ingest
annotations first. An encoder that cannot be loaded: see `CLASSIFIER_ENCODER`. `announce` is skipped where the
champion stays; `classifier promotions` shows the reason. `decline` runs only where a person said no, or nobody
said anything. A candidate that does not beat the baseline is a warning in the logs of `evaluate` and `announce`, and
in what they return: `beats_baseline`, `verdict`.

**At the end** `prune` deletes labels and files of old models, as `CLASSIFIER_KEEP_MODELS` says; the champion, those
before it and what waits for its decision stay. It runs whatever became of the candidate. If it fails, people are
alerted, and the run's own result stands: the next night tries again.

**Affects** every reader of `article_labels`: a new champion's labels replace the old one's as they are
written. `classifier rollback` brings the old one's back at once.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Metadata, Param, TriggerRule, dag, task, teardown
from classifier_airflow.assets import CHAMPION
from classifier_airflow.gpu_pod import with_gpu
from classifier_airflow.promotion_tasks import RESPONSE, Approval
from classifier_airflow.task_defaults import DEFAULT_ARGS, EVALUATION_TIMEOUT, GPU_POOL, GPU_QUEUE
from pendulum import datetime


@task(pool=GPU_POOL, queue=GPU_QUEUE, executor_config=with_gpu(), retries=2, execution_timeout=timedelta(hours=6))
def train(params=None) -> str:
    """Train a candidate and return its name, or that of the one that is named; skip where too little is new."""
    from airflow.sdk.exceptions import AirflowSkipException
    from classifier_airflow import lineage, metrics
    from classifier_airflow.workspace import log_training, workspace

    from classifier.pipeline.promotion import model_details
    from classifier.pipeline.training import candidate
    from classifier.training.recipes import files

    if params["candidate"]:
        return model_details.describe_model(workspace(), params["candidate"]).name
    wanted = (
        "epochs", "batch_size", "batch_tokens", "learning_rate", "max_length", "long_articles", "stride", "max_chunks",
        "patience", "seed", "precision", "ensemble",
    )  # fmt: skip
    report = candidate.train(
        workspace(),
        files.load_recipe(params["recipe"], **{name: params[name] for name in wanted}),
        encoder_name=params["encoder"],
        start_from=params["from"],
        min_new_annotations=params["min_new_annotations"],
        target_precision=params["target_precision"],
        on_progress=log_training(),
    )
    if isinstance(report, candidate.SkippedTraining):
        raise AirflowSkipException(report.reason)
    metrics.send_training(report)
    lineage.report_training(report)
    return report.model


@task(execution_timeout=EVALUATION_TIMEOUT)
def evaluate(model: str) -> dict[str, float | bool | str]:
    """Measure the candidate on the test split, and return its figures and the baseline's."""
    from classifier_airflow import metrics
    from classifier_airflow.workspace import workspace

    from classifier.pipeline.promotion import evaluation

    report = evaluation.evaluate(workspace(), model)
    figures = {
        "accuracy": report.metrics.accuracy,
        "macro_f1": report.metrics.macro_f1,
        "baseline_accuracy": report.baseline.accuracy,
        "baseline_macro_f1": report.baseline.macro_f1,
        "baseline_train_seconds": report.baseline_train_seconds,
        "beats_baseline": report.beats_baseline,
        "verdict": report.verdict,
    }
    metrics.send_evaluation(figures)
    return figures


@task(execution_timeout=EVALUATION_TIMEOUT)
def judge(model: str, params=None) -> dict:
    """Ask the gate, label a sample as a trial, and return what an approval has to show."""
    from classifier_airflow import metrics, promotion_tasks
    from classifier_airflow.workspace import workspace

    judged = promotion_tasks.apply_gate(workspace(), model, params)
    metrics.send_verdict(judged["verdict"])
    return judged


@task.branch
def ask(judged: dict, params=None) -> str:
    """Go by way of a person where one is wanted and there is something to decide."""
    return "approve" if params["require_approval"] and judged["verdict"] == "promote" else "promote"


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, execution_timeout=EVALUATION_TIMEOUT)
def promote(model: str, judged: dict, params=None, ti=None, dag_run=None) -> bool:
    """Decide, and return whether the candidate is the champion now."""
    from classifier_airflow import alerts, metrics, promotion_tasks
    from classifier_airflow.workspace import workspace

    answer = ti.xcom_pull(task_ids="approve", key=RESPONSE)
    promoted = promotion_tasks.promote(
        workspace(), model, judged, params, answer, asked_by=dag_run.triggering_user_name
    )
    metrics.send_status()
    if not promoted:
        alerts.alert_held_model(judged)
    return promoted


@task(outlets=[CHAMPION])
def announce(model: str, figures: dict[str, float | bool | str], *, promoted: bool):
    """Tell whoever waits for a champion, if there is a new one."""
    import logging

    from airflow.sdk.exceptions import AirflowSkipException

    logging.getLogger(__name__).log(
        logging.INFO if figures["beats_baseline"] else logging.WARNING, "%s: %s", model, figures["verdict"]
    )
    if not promoted:
        raise AirflowSkipException("the champion stays; classifier promotions says why")
    yield Metadata(CHAMPION, {"model": model, **figures})


@task(trigger_rule=TriggerRule.ALL_SKIPPED)
def decline(ti=None):
    """Keep that a person turned the candidate down, or that nobody answered; skip where nothing was trained."""
    from classifier_airflow import promotion_tasks
    from classifier_airflow.workspace import workspace

    promotion_tasks.decline(workspace(), ti.xcom_pull(task_ids="train"), ti.xcom_pull(task_ids="approve", key=RESPONSE))


@teardown
def prune() -> dict[str, float] | None:
    """Delete old models' labels and files, as the settings say; return how much."""
    from dataclasses import asdict

    from classifier_airflow.workspace import workspace

    from classifier.pipeline.promotion import retention

    deleted = retention.apply_retention(workspace())
    return asdict(deleted) if deleted else None


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # The tasks' time-outs add up to 34 h: 6 of `train`, 4 each of `evaluate`, `judge` and `promote`, 12 for the answer
    # of people, 1 each of the other four. The rest is for retries, and for the wait in the pool. A run that reaches
    # this limit skips what is left, `prune` included, and alerts nobody.
    dagrun_timeout=timedelta(hours=48),
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["classifier"],
    params={
        "recipe": Param(
            None, type=["null", "string"], description="A recipe's name, or its file; the default one without."
        ),
        "encoder": Param(
            None, type=["null", "string"], description="Hub id or directory; CLASSIFIER_ENCODER without one."
        ),
        "from": Param(
            None,
            type=["null", "string"],
            description='Model to start from instead: its name, or "champion"; the encoder while there is none.',
        ),
        "candidate": Param(
            None, type=["null", "string"], description="Model to measure and decide on, instead of training one."
        ),
        "reason": Param(None, type=["null", "string"], description="Why that model; kept with the decision."),
        "min_new_annotations": Param(
            1,
            type="integer",
            minimum=0,
            description="Skip where fewer have come since the last model was decided on; 0 always trains.",
        ),
        "epochs": Param(
            None, type=["null", "integer"], minimum=1, description="Passes over the train split; the recipe's without."
        ),
        "batch_size": Param(
            None, type=["null", "integer"], minimum=1, description="Articles a step; the recipe's without."
        ),
        "batch_tokens": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            description="Word pieces a step at most, 0 for no such bound; the recipe's without.",
        ),
        "learning_rate": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            description="Peak; 5e-5 suits DistilBERT-base, 2e-4 a small one; the recipe's without.",
        ),
        "max_length": Param(
            None,
            type=["null", "integer"],
            minimum=8,
            maximum=512,
            description="Word pieces after which a text is cut off, or of a chunk; the recipe's without.",
        ),
        "long_articles": Param(
            None,
            type=["null", "string"],
            enum=[None, "truncate", "chunk"],
            description="Cut long articles off, or read them in chunks; the recipe's without.",
        ),
        "stride": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            description="Word pieces from a chunk's beginning to the next one's; the recipe's without.",
        ),
        "max_chunks": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=64,
            description="Chunks of an article at most, the rest is cut off; the recipe's without.",
        ),
        "patience": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            description="Epochs without improvement before it stops; the recipe's without.",
        ),
        "seed": Param(
            None, type=["null", "integer"], minimum=0, description="Seed of all that is random; the recipe's without."
        ),
        "precision": Param(
            None,
            type=["null", "string"],
            enum=[None, "auto", "float32", "mixed_bfloat16", "mixed_float16"],
            description="Number format of the training; the recipe's without.",
        ),
        "ensemble": Param(
            None,
            type=["null", "string"],
            enum=[None, "none", "linear", "style"],
            description="Have a linear classifier on TF-IDF answer beside the network, style to tell authors apart; "
            "the recipe's without.",
        ),
        "target_precision": Param(
            None,
            type=["null", "number"],
            minimum=0,
            exclusiveMaximum=1,
            description="Precision wanted of labels; where it is not sure enough, it abstains. The setting's without.",
        ),
        "require_approval": Param(
            False, type="boolean", description="Ask a person before a promotion; no answer keeps the champion."
        ),
        "gate": Param(
            {},
            type="object",
            description='Margins of the gate that differ, such as {"macro_f1": 0.02, "policy": "superior"}.',
        ),
        "churn_sample": Param(
            500, type="integer", minimum=1, description="Articles that the candidate labels as a trial."
        ),
    },
)
def retrain_classifier():
    candidate = train()
    figures = evaluate(candidate)
    judged = judge(candidate)
    figures >> judged
    decision = promote(candidate, judged)
    approve = Approval(
        task_id="approve",
        subject="Promote {{ ti.xcom_pull(task_ids='judge')['model'] }}?",
        body="{{ ti.xcom_pull(task_ids='judge')['question'] }}",
        defaults=Approval.REJECT,
        response_timeout=timedelta(hours=12),
        # an answer that reaches the scheduler before the end of the process that asked does is lost: it asks again
        retries=10,
        retry_delay=timedelta(seconds=5),
    )
    # a rejection skips what follows `approve` directly: so `decline` follows `promote`
    ask(judged) >> [approve, decision]
    declined = decline()
    approve >> decision >> declined
    # a teardown: it runs last whatever came of the others, and neither fails the run nor hides that another has
    [announce(candidate, figures, promoted=decision), declined] >> prune()


retrain_classifier()
