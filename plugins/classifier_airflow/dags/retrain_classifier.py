"""# Retrain the classifier

Trains a candidate on the annotated articles of the train split, evaluates it on the test split next to a TF-IDF
baseline, and promotes it if the gate passes it. The gate requires proof, on the same test articles, that the candidate
is not worse than the champion by more than a margin. It stops a candidate that fails a must-pass example: the log of
`apply_gate` says which. The asset `champion-model` then starts `label_articles`.

If `require_approval` is set, a person is asked before a promotion, in *Required Actions*. The question shows the
verdict, the differences, and how many labels would change. Without an answer within twelve hours the champion stays.
An answer holds for that question only: if the champion, an evaluation or the verdict has changed since, `promote` fails
and says so. Clear `apply_gate` and the tasks after it to ask again.

**Runs** every night at two (UTC). The training task waits in the pool `gpu` and runs in the queue `gpu`, so one model
trains at a time.

**Several tasks** of the classifier, such as topics and authors, are trained one after the other. Each goes through the
same steps, and the failure of one does not stop another. `task` trains one of them only. A task without annotations is
left out; the log of `choose` names it. Renaming a task while a run works on it changes nothing.

**Hyper-parameters** come from a recipe: `classifier recipes` lists the project's, and the path of a file works, too.
`hyper_parameters` overrides single values; `classifier recipes --keys` documents every key. The training starts from
the encoder or, if `from` is set, from a model: `champion` continues from the present champion.

**Skipped**: if fewer than `min_new_annotations` annotations are new since the last model that was decided on, the task
is skipped, and with one task the whole run. The log of `train` says how many are new. Set the parameter to 0 to train
anyway, for instance with another recipe.

**Without a training**: if `candidate` names an existing model, the run evaluates it and decides on it like a newly
trained one. `reason` is stored with the decision. The classifier's page starts such runs.

**Again** is always safe. If `train` dies, a retry or a cleared task resumes from the last saved state and ends with the
same weights. With other articles or parameters it starts from the beginning. Clearing a later task does not train the
candidate again. `evaluate`, `apply_gate` and `promote` store their results chunk by chunk, so a retry continues after
the last stored chunk.

**While it runs**, the task's log shows the progress every 15 seconds, `classifier status` shows it too, and the table
`training_metrics` has the curves. The finished model's folder has them as `learning-curves.svg`.

**When it fails**, the task's last line says why. No annotated article, or all of one category: ingest annotations
first. An encoder that cannot be loaded: see `CLASSIFIER_ENCODER`. If the champion stays, `announce` is skipped;
`classifier promotions` shows the reason. `decline` runs only if the approver rejected the candidate or did not answer.
If a candidate does not beat the baseline, `evaluate` and `announce` log a warning and return it: `beats_baseline`,
`verdict`.

**At the end** `prune` deletes labels and files of old models according to `CLASSIFIER_KEEP_MODELS`. It keeps the
champion, the previous champions and the models that wait for a decision. It runs whatever happened to the candidate. If
it fails, it sends an alert and the run's own result stands: the next night tries again.

**Affects** every reader of `article_labels`: each label of a new champion replaces the old one when it is written.
`classifier rollback` restores the old champion's labels at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import Metadata, Param, TriggerRule, dag, task, task_group, teardown

from classifier.training.recipes import hyper_parameters
from classifier_airflow import tasks_of_run
from classifier_airflow.gpu_pod import with_gpu
from classifier_airflow.instances import RETRAIN
from classifier_airflow.promotion_tasks import RESPONSE, Approval
from classifier_airflow.task_defaults import EVALUATION_TIMEOUT
from classifier_airflow.tasks_of_run import NAME_TEMPLATE

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from classifier_airflow.dags.options import DagOptions

GATE_RESULT = "{{ ti.xcom_pull(task_ids='apply_gate', map_indexes=ti.map_index)"


@task
def choose(params=None) -> list[dict]:
    """Return the classifier's tasks that the run trains; each of the other Airflow tasks is mapped over them."""
    from classifier_airflow.tasks_of_run import choose_for_training

    return choose_for_training(params)


@task(
    execution_timeout=timedelta(hours=6),
    max_active_tis_per_dagrun=1,
    map_index_template=NAME_TEMPLATE,
)
def train(chosen: dict, params=None) -> str:
    """Train a candidate, or use the one that the run names, and return its name; skip if too little is new."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.promotion import model_details
    from classifier.pipeline.training import candidate
    from classifier.training.recipes import files
    from classifier_airflow import lineage, metrics
    from classifier_airflow.workspace import log_training, workspace

    if params["candidate"]:
        return model_details.describe_model(workspace(chosen), params["candidate"]).name
    report = candidate.train(
        workspace(chosen),
        files.load_recipe(params["recipe"], **params["hyper_parameters"]),
        encoder_name=params["encoder"],
        start_from=params["from"],
        min_new_annotations=params["min_new_annotations"],
        target_precision=params["target_precision"],
        on_progress=log_training(),
    )
    if isinstance(report, candidate.SkippedTraining):
        raise AirflowSkipException(report.reason)
    metrics.send_training(report, chosen)
    lineage.report_training(report, chosen)
    return report.model


@task(execution_timeout=EVALUATION_TIMEOUT, map_index_template=NAME_TEMPLATE)
def evaluate(model: str, ti=None) -> dict[str, float | bool | str]:
    """Evaluate the candidate on the test split, and return its metrics and the baseline's."""
    from classifier.pipeline.promotion import evaluation
    from classifier_airflow import metrics, tasks_of_run
    from classifier_airflow.workspace import workspace

    chosen = tasks_of_run.chosen_task(ti)
    report = evaluation.evaluate(workspace(chosen), model)
    figures = {
        "accuracy": report.accuracy,
        "macro_f1": report.metrics.macro_f1,
        "baseline_accuracy": report.baseline_accuracy,
        "baseline_macro_f1": report.baseline.macro_f1,
        "baseline_train_seconds": report.baseline_train_seconds,
        "beats_baseline": report.beats_baseline,
        "verdict": report.verdict,
    }
    metrics.send_evaluation(figures, chosen)
    return figures


@task(execution_timeout=EVALUATION_TIMEOUT, map_index_template=NAME_TEMPLATE)
def apply_gate(model: str, params=None, ti=None) -> dict:
    """Apply the gate, measure label churn on a sample, and return what an approver has to see."""
    from classifier_airflow import metrics, promotion_tasks, tasks_of_run
    from classifier_airflow.workspace import workspace

    chosen = tasks_of_run.chosen_task(ti)
    gate_result = promotion_tasks.apply_gate(workspace(chosen), model, params, chosen=chosen)
    metrics.send_verdict(gate_result["verdict"], chosen)
    return gate_result


# a rule that requires one success would, before the group is expanded, fail every task as soon as one task fails
@task(trigger_rule=TriggerRule.NONE_FAILED, execution_timeout=EVALUATION_TIMEOUT, map_index_template=NAME_TEMPLATE)
def promote(model: str | None, gate_result: dict | None, params=None, ti=None, dag_run=None) -> bool:
    """Decide, and return whether the candidate is now the champion; skip if nothing was trained."""
    from classifier_airflow import alerts, metrics, promotion_tasks, tasks_of_run
    from classifier_airflow.workspace import workspace

    chosen = tasks_of_run.chosen_task(ti)
    answer = ti.xcom_pull(task_ids="approve", map_indexes=ti.map_index, key=RESPONSE)
    promoted = promotion_tasks.promote(
        workspace(chosen), model, gate_result, params, answer, asked_by=dag_run.triggering_user_name
    )
    metrics.send_status(chosen)
    if promoted:
        alerts.alert_promoted_with_warnings(gate_result, chosen)
    else:
        alerts.alert_held_model(gate_result, chosen)
    return promoted


@task(map_index_template=NAME_TEMPLATE)
def announce(model: str, figures: dict[str, float | bool | str], *, promoted: bool, ti=None):
    """Update the asset of the champion if there is a new champion; else skip."""
    import logging

    from airflow.sdk.exceptions import AirflowSkipException

    from classifier_airflow import instances, tasks_of_run

    logging.getLogger(__name__).log(
        logging.INFO if figures["beats_baseline"] else logging.WARNING, "%s: %s", model, figures["verdict"]
    )
    if not promoted:
        raise AirflowSkipException("the champion stays; for the reason, run: classifier promotions")
    chosen = tasks_of_run.chosen_task(ti)
    yield Metadata(
        instances.current().champion, {"task_id": chosen["id"], "task": chosen["name"], "model": model, **figures}
    )


@task(trigger_rule=TriggerRule.ALL_SKIPPED, map_index_template=NAME_TEMPLATE)
def decline(ti=None):
    """Store that the approver rejected the candidate or did not answer; skip if nothing was trained."""
    from classifier_airflow import promotion_tasks, tasks_of_run
    from classifier_airflow.workspace import workspace

    trained, answer = (
        ti.xcom_pull(task_ids=task_id, map_indexes=ti.map_index, key=key)
        for task_id, key in (("train", "return_value"), ("approve", RESPONSE))
    )
    promotion_tasks.decline(workspace(tasks_of_run.chosen_task(ti)), trained, answer)


@teardown
@task(map_index_template=NAME_TEMPLATE)
def prune(ti=None) -> dict[str, float] | None:
    """Delete old models' labels and files according to the settings; return how much was deleted."""
    from dataclasses import asdict

    from classifier.pipeline.promotion import retention
    from classifier_airflow import tasks_of_run
    from classifier_airflow.workspace import workspace

    deleted = retention.apply_retention(workspace(tasks_of_run.chosen_task(ti)))
    return asdict(deleted) if deleted else None


TIMEOUT = timedelta(hours=72)
"""For one task of the classifier, the time-outs add up to 34 h: 6 for `train`, 4 each for `evaluate`, `apply_gate` and
`promote`, 12 for the approver's answer, 1 each for the other four. Each further task adds 6 h, since trainings wait for
each other: seven tasks fit. The remaining time is for retries and for the wait in the pool. A run that reaches this
limit skips its remaining tasks, `prune` included, and sends no alert.
"""


def create(options: DagOptions) -> DAG:
    """Return the DAG."""
    arguments = options.of_dag(RETRAIN, __doc__, _params())
    gpu = {"pool": options.gpu_pool, "queue": options.gpu_queue, "executor_config": with_gpu(options.instance)}

    @dag(schedule=options.schedules[RETRAIN], max_active_runs=1, dagrun_timeout=TIMEOUT, **arguments)
    def retrain_classifier():
        @task_group(prefix_group_id=False)
        def retrain(chosen):
            candidate = train.override(**gpu)(chosen)
            figures = evaluate(candidate)
            gate_result = apply_gate(candidate)
            figures >> gate_result
            decision = promote(candidate, gate_result)
            approve = Approval(
                task_id="approve",
                subject=f"{GATE_RESULT}['subject'] }}}}",
                body=f"{GATE_RESULT}['question'] }}}}",
                defaults=Approval.REJECT,
                response_timeout=timedelta(hours=12),
                # an answer that reaches the scheduler before the process that asked has ended is lost: a retry asks
                # again
                retries=10,
                retry_delay=timedelta(seconds=5),
                map_index_template=NAME_TEMPLATE,
            )
            declined = decline()
            gate_result >> approve >> decision >> declined
            # a teardown runs last whatever the others' states; it neither fails the run nor hides another's failure
            announced = announce.override(outlets=[options.instance.champion])(candidate, figures, promoted=decision)
            [
                announced,
                declined,
            ] >> prune.override()()  # Airflow changes a teardown when it is used: each DAG needs its own

        retrain.expand(chosen=choose())

    return retrain_classifier()


def _params() -> dict[str, Param]:
    return {"task": tasks_of_run.param(), **_training_params(), **_decision_params()}


def _training_params() -> dict[str, Param]:
    return {
        "recipe": Param(
            None,
            type=["null", "string"],
            description="Name or file of a recipe. If empty: the recipe `default`.",
        ),
        "hyper_parameters": Param(
            {},
            description='Hyper-parameters that differ from the recipe, such as {"epochs": 3, "max_length": 256}.',
            description_md="Hyper-parameters that differ from the recipe, such as "
            f'`{{"epochs": 3, "max_length": 256}}`.\n\n{hyper_parameters.markdown_table()}',
            **hyper_parameters.json_schema(),
        ),
        "encoder": Param(
            None,
            type=["null", "string"],
            description="Hub id or directory of the encoder to start from. If empty: CLASSIFIER_ENCODER.",
        ),
        "from": Param(
            None,
            type=["null", "string"],
            description='Model to start from: its name, or "champion". If there is no champion: the encoder.',
        ),
    }


def _decision_params() -> dict[str, Param]:
    return {
        "candidate": Param(
            None,
            type=["null", "string"],
            description="Existing model to evaluate and decide on; if set, nothing is trained.",
        ),
        "reason": Param(
            None, type=["null", "string"], description="Reason for this candidate; stored with the decision."
        ),
        "min_new_annotations": Param(
            1,
            type="integer",
            minimum=0,
            description="Skip if fewer annotations are new since the last model that was decided on; 0 always trains.",
        ),
        "target_precision": Param(
            None,
            type=["null", "number"],
            minimum=0,
            exclusiveMaximum=1,
            description="Precision that labels must reach: the model abstains below the confidence that reaches it. "
            "0: it never abstains. If empty: CLASSIFIER_TARGET_PRECISION. In a multi-label task, each category's "
            "threshold is chosen for it; if empty, for the highest F1.",
        ),
        "require_approval": Param(
            False,
            type="boolean",
            description="Ask a person before a promotion; without an answer the champion stays.",
        ),
        "gate": Param(
            {},
            type="object",
            description='Margins of the gate that differ from the defaults, such as {"macro_f1": 0.02, '
            '"policy": "superior"}.',
        ),
        "churn_sample": Param(
            500, type="integer", minimum=1, description="Number of articles on which the label churn is measured."
        ),
    }
