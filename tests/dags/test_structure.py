"""The structure of the DAGs, which are parsed and not run."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.filterwarnings("default")

EDGES = {
    "ingest_articles": {
        ("choose", "ingest"),
        ("choose", "verdict"),
        ("ingest", "announce"),
        ("ingest", "verdict"),
    },
    "retrain_classifier": {
        ("choose", "train"),
        ("train", "evaluate"),
        ("train", "apply_gate"),
        ("evaluate", "apply_gate"),
        ("apply_gate", "approve"),
        ("approve", "promote"),
        ("train", "promote"),
        ("apply_gate", "promote"),
        ("promote", "decline"),
        ("train", "announce"),
        ("evaluate", "announce"),
        ("promote", "announce"),
        ("announce", "prune"),
        ("decline", "prune"),
    },
    "label_articles": {("workers", "label")},
    "watch_classifier": {("choose", "check_drift"), ("check_drift", "alarm")},
    "review_articles": {("choose", "fill")},
}


def test_every_dag_file_imports(dagbag):
    assert dagbag.import_errors == {}


def test_the_dags_are_those_of_the_design(dagbag):
    assert set(dagbag.dags) == set(EDGES)


@pytest.mark.parametrize("name", EDGES)
def test_tasks_follow_each_other_as_designed(dagbag, name):
    dag = dagbag.dags[name]
    assert {(up.task_id, down) for up in dag.tasks for down in up.downstream_task_ids} == EDGES[name]


@pytest.mark.parametrize("name", EDGES)
def test_a_dag_carries_its_runbook(dagbag, name):
    for part in ("**Runs**", "**Again**", "**When it fails**", "**Affects**"):
        assert part in dagbag.dags[name].doc_md


@pytest.mark.parametrize("name", EDGES)
def test_every_param_is_described_and_typed(dagbag, name):
    params = dagbag.dags[name].params
    for key in params:
        param = params.get_param(key)
        assert param.description, key
        assert "type" in param.schema or "enum" in param.schema, key


def test_the_defaults_that_mean_as_before_are_those_of_the_dag(dagbag):
    from classifier_airflow import ingest_tasks

    params = dagbag.dags["ingest_articles"].params
    how = set(params) - {"group", "files", "rejected"}
    assert {name: params[name] for name in how} == ingest_tasks.DEFAULTS


@pytest.mark.parametrize("values", [{"epoch": 3}, {"epochs": 0}, {"epochs": "3"}, {"dtype": "int4"}, {"name": "x"}])
def test_hyper_parameters_that_a_recipe_cannot_have_are_refused_when_a_run_is_triggered(dagbag, values):
    from airflow.sdk.exceptions import ParamValidationError

    param = dagbag.dags["retrain_classifier"].params.get_param("hyper_parameters")
    assert param.resolve({"epochs": 3, "dtype": "float32"}) == {"epochs": 3, "dtype": "float32"}
    with pytest.raises(ParamValidationError):
        param.resolve(values)


@pytest.mark.parametrize("name", EDGES)
def test_every_task_retries_with_back_off_and_has_a_time_out(dagbag, name):
    for task in dagbag.dags[name].tasks:
        # 30 s and 60 s and 120 s: a minute without the broker fails no task
        assert task.retries >= 3
        assert task.retry_exponential_backoff >= 2
        assert task.execution_timeout is not None
        assert task.on_failure_callback


def test_the_timeout_of_a_retraining_covers_all_its_tasks_and_the_approval(dagbag):
    """At a run's own timeout, Airflow skips its remaining tasks without an alert."""
    dag = dagbag.dags["retrain_classifier"]
    limits = [getattr(task, "response_timeout", None) or task.execution_timeout for task in dag.tasks]
    assert sum(limits, timedelta()) == timedelta(hours=34), "as its file says"
    six_more = 6 * dag.get_task("train").execution_timeout
    assert dag.dagrun_timeout > sum(limits, six_more)


def test_every_task_sends_an_alert_except_those_whose_verdict_does(dagbag):
    from classifier_airflow import alerts

    def callbacks(task):
        callback = task.on_failure_callback
        return callback if isinstance(callback, (list, tuple)) else [callback]

    tasks = [task for dag in dagbag.dags.values() for task in dag.tasks]
    assert [task.task_id for task in tasks if alerts.alert_failure not in callbacks(task)] == ["ingest"]


@pytest.mark.parametrize("name", EDGES)
def test_no_dag_catches_up(dagbag, name):
    assert dagbag.dags[name].catchup is False


def test_training_waits_in_the_gpu_pool_and_runs_in_the_gpu_queue(dagbag):
    task = dagbag.dags["retrain_classifier"].get_task("train")
    assert (task.pool, task.queue) == ("gpu", "gpu")


def test_the_trainings_of_several_tasks_do_not_run_at_the_same_time(dagbag):
    assert dagbag.dags["retrain_classifier"].get_task("train").max_active_tis_per_dagrun == 1


def test_what_is_done_for_one_task_neither_waits_for_another_nor_ends_with_it(dagbag):
    """Within a mapped group, Airflow compares only instances with the same index."""
    for name, outside in (("retrain_classifier", {"choose"}), ("watch_classifier", {"choose"})):
        grouped = {task.task_id for task in dagbag.dags[name].tasks if task.get_closest_mapped_task_group()}
        assert grouped == set(dagbag.dags[name].task_ids) - outside


def test_no_rule_of_a_mapped_group_lets_one_failure_end_every_task(dagbag):
    """Airflow evaluates these rules before it expands a group, over all instances."""
    early = {"one_success", "one_failed", "one_done", "none_failed_min_one_success"}
    assert not [task for dag in dagbag.dags.values() for task in dag.tasks if task.trigger_rule in early]


def test_one_model_trains_and_one_labelling_runs_at_a_time(dagbag):
    assert dagbag.dags["retrain_classifier"].max_active_runs == 1
    assert dagbag.dags["label_articles"].max_active_runs == 1


def test_labelling_waits_for_articles_and_for_a_champion(dagbag):
    condition = dagbag.dags["label_articles"].timetable.asset_condition
    assert {asset.name for asset in condition.objects} == {"articles", "champion-model"}


@pytest.mark.parametrize(
    ("dag", "task", "asset"),
    [("ingest_articles", "announce", "articles"), ("retrain_classifier", "announce", "champion-model")],
)
def test_an_asset_is_announced_by_the_last_task(dagbag, dag, task, asset):
    assert [outlet.name for outlet in dagbag.dags[dag].get_task(task).outlets] == [asset]


def test_a_users_mistake_is_not_retried_but_a_transient_failure_is(dagbag):
    from airflow.sdk import RetryAction
    from classifier_airflow.task_defaults import RETRY_POLICY

    from classifier.exceptions import (
        DatabaseUnavailableError,
        NotComparableError,
        QueueChangedError,
        SourceError,
        StatementTimeoutError,
        TrainingInProgressError,
    )

    def action(error):
        return RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action

    assert action(SourceError("no such file")) == RetryAction.FAIL
    assert action(DatabaseUnavailableError("down")) == RetryAction.RETRY
    assert action(StatementTimeoutError("too slow")) == RetryAction.RETRY
    assert action(TrainingInProgressError("by process 7")) == RetryAction.RETRY
    assert action(NotComparableError("annotations came in between")) == RetryAction.RETRY
    assert action(QueueChangedError("another model has become champion")) == RetryAction.RETRY


def test_the_dag_files_are_light():
    """They import no heavy library, and few modules besides airflow.sdk itself.

    Each module costs a millisecond or two, so the limit is less than a second.
    """
    report = json.loads(subprocess.check_output([sys.executable, "-c", LIGHT, str(ROOT)]).splitlines()[-1])
    assert report["heavy"] == []
    assert len(report["new"]) <= 200, report["new"]


LIGHT = """
import importlib.util, json, pathlib, sys
import airflow.sdk
from pendulum import datetime
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root / "plugins"))
# lazily resolved names are part of airflow.sdk, which every DAG imports
from airflow.sdk import (Asset, AssetOrTimeSchedule, CronTriggerTimetable, ExceptionRetryPolicy, Metadata, Param,
                         RetryAction, RetryRule, dag, task)
before = set(sys.modules)
for path in sorted((root / "dags").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
heavy = {"tensorflow", "keras", "keras_hub", "transformers", "torch", "pandas", "sklearn", "openvino", "pyarrow"}
print(json.dumps({"new": sorted(set(sys.modules) - before), "heavy": sorted(heavy & set(sys.modules))}))
"""
