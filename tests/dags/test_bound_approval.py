"""If an approval is required, `retrain_classifier` decides on the gate's result, whatever changes meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from classifier import registry
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.pipeline.promotion import decisions, evaluation, label_churn
from classifier.store import annotated_articles, model_rows
from tests.support.synthetic import COLUMNS, articles, ingest_file, query, value
from tests.support.tiny_models import CATEGORIES, make_artefact

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]

SUPERIOR = {"policy": "superior", "baseline": 1, "calibration": 1, "min_articles": 10_000, "alpha": 0.05}


@pytest.fixture
def models(workspace, tmp_path):
    """m0 is the least accurate and m1 the most accurate model; m2 has m1's weights. m1 is champion after m0."""
    rows = [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(articles(240))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    worst, best = _worst_and_best(workspace, tmp_path)
    for name, categories in (("m0", worst), ("m1", best), ("m2", best)):
        files = make_artefact(workspace.models / name, categories)
        with workspace.database.begin() as connection:
            registry.register(connection, name, files, {})
    for name in ("m0", "m1"):
        with workspace.database.begin() as connection:
            model_rows.lock_champion(connection)
            model = model_rows.by_name(connection, name)
            registry.decide(connection, model, "promoted", "because", decided_by="test", statistics={})


def _worst_and_best(workspace, tmp_path):
    """Return the orders of the categories in which random weights are least and most accurate."""
    files = make_artefact(tmp_path / "tried")
    with workspace.database.connect() as connection:
        test = annotated_articles.load_split(connection, "test")
    columns = (
        FineTunedClassifier(files.load()).labeller().probabilities([article.text for article in test]).argmax(axis=1)
    )
    truth = np.array([article.category for article in test])
    orders = sorted(permutations(CATEGORIES), key=lambda order: (np.array(order)[columns] == truth).mean())
    return orders[0], orders[-1]


@pytest.fixture
def retrain(dagbag, default_params, workspace, monkeypatch):
    """Run the DAG for m2 with a change after `apply_gate`; return the tasks' states and that task's verdicts.

    The approver approves, unless `asks` is false: then the approval must skip itself.
    """
    from classifier_airflow import promotion_tasks

    url = workspace.database.url
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
    monkeypatch.setenv("CLASSIFIER_HOME", str(workspace.settings.home))
    original = promotion_tasks.apply_gate

    def run(meanwhile=lambda: None, *, asks=True, **params):
        verdicts = []

        def apply_gate(*arguments, **options):
            result = original(*arguments, **options)
            verdicts.append(result["verdict"])
            meanwhile()
            return result

        monkeypatch.setattr(promotion_tasks, "apply_gate", apply_gate)
        name = "retrain_classifier"
        conf = {**default_params[name], "candidate": "m2", "require_approval": True, "gate": SUPERIOR, **params}
        dag_run = dagbag.dags[name].test(run_conf=conf, mark_success_pattern="approve.*" if asks else None)
        return {task.task_id: str(task.state) for task in dag_run.get_task_instances()}, verdicts

    return run


def champion(workspace):
    return value(workspace.database, "SELECT name FROM models WHERE status = 'champion'")


@pytest.mark.usefixtures("models")
def test_a_verdict_that_changes_to_promote_after_a_skipped_question_promotes_no_model(workspace, retrain, caplog):
    states, verdicts = retrain(lambda: decisions.roll_back(workspace), asks=False)
    assert verdicts == ["hold"]
    assert (states["approve"], states["promote"]) == ("skipped", "failed")
    assert champion(workspace) == "m0"
    assert value(workspace.database, "SELECT status FROM models WHERE name = 'm2'") == "candidate"
    assert "m2: the question is outdated ('hold', compared with m1)" in caplog.text


@pytest.mark.usefixtures("models", "dagbag")
def test_a_question_shows_the_label_churn_against_the_champion_of_its_verdict(workspace, monkeypatch):
    from classifier_airflow import promotion_tasks

    original, calls = label_churn.measure_churn, []

    def rolled_back_before(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            decisions.roll_back(workspace)
        return original(*arguments, **options)

    evaluation.evaluate(workspace, "m2")
    monkeypatch.setattr(label_churn, "measure_churn", rolled_back_before)
    result = promotion_tasks.apply_gate(workspace, "m2", {"gate": SUPERIOR, "churn_sample": 5})
    assert (result["champion"], result["churn"]["champion"], result["verdict"]) == ("m0", "m0", "promote")


@pytest.mark.usefixtures("models")
def test_an_approval_does_not_hold_for_another_champion(workspace, retrain):
    decisions.roll_back(workspace)
    states, verdicts = retrain(lambda: decisions.roll_back(workspace, "m1"))
    assert verdicts == ["promote"]
    assert (states["approve"], states["promote"], champion(workspace)) == ("success", "failed", "m1")


@pytest.mark.usefixtures("models")
def test_an_approved_model_is_promoted_if_nothing_changed(workspace, retrain):
    decisions.roll_back(workspace)
    states, verdicts = retrain()
    assert verdicts == ["promote"]
    assert (states["approve"], states["promote"], champion(workspace)) == ("success", "success", "m2")
    stored = query(workspace.database, "SELECT statistics->>'champion' FROM promotions ORDER BY id DESC LIMIT 1")
    assert stored == [("m0",)]
