"""One run of each DAG over two tasks: the single-label one fails, the multi-label one is promoted and renamed."""

from __future__ import annotations

import json

import pytest

from classifier.pipeline.database import tasks
from classifier.pipeline.promotion import evaluation
from tests.support.synthetic import WORDS, articles, ingest_file, query, run, unlabelled
from tests.support.tiny_models import make_encoder

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]

TRAINING = {"recipe": "r8", "hyper_parameters": {"epochs": 3, "learning_rate": 0.01, "dtype": "float32"}}

ONE_CATEGORY = (
    "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
    "SELECT articles.id, tasks.id, revision, ARRAY['ann'], 'source:s' FROM articles, tasks WHERE tasks.name = 'author'"
)


@pytest.fixture
def run_dag(dagbag, default_params, workspace, monkeypatch):
    """Run a DAG and return the states of its Airflow tasks by name and index."""
    url = workspace.database.url
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
    monkeypatch.setenv("CLASSIFIER_HOME", str(workspace.settings.home))

    def run_to_its_end(name, **params):
        dag_run = dagbag.dags[name].test(run_conf={**default_params[name], **params})
        instances = dag_run.get_task_instances()
        shown = {instance.rendered_map_index for instance in instances if str(instance.state) == "success"}
        states = {(instance.task_id, instance.map_index): str(instance.state) for instance in instances}
        return str(dag_run.state), states, shown

    return run_to_its_end


@pytest.fixture
def encoder(tmp_path):
    words = [*(word for topic in WORDS.values() for word in topic), "the"]
    return make_encoder(tmp_path / "tiny", words=words, dim=32, heads=4, hidden_dim=64)


@pytest.fixture
def two_tasks(workspace, tmp_path):
    """Articles with topics, all by one author, of which no model can be trained; and some without annotations."""
    tasks.add(workspace, "author")
    tasks.add(workspace, "topic", kind="multi")
    ingest_file(workspace.with_task("topic"), tmp_path / "annotated.csv", articles(300))
    run(workspace.database, ONE_CATEGORY)
    run(workspace.database, "INSERT INTO categories (task_id, name) SELECT id, 'ann' FROM tasks WHERE name = 'author'")
    ingest_file(workspace.with_task("topic"), tmp_path / "incoming.csv", unlabelled(30, seed=1, prefix="i"))


@pytest.mark.usefixtures("two_tasks")
def test_the_failure_of_one_task_does_not_stop_another_and_a_rename_changes_nothing(
    run_dag, workspace, encoder, monkeypatch, caplog
):
    evaluate = evaluation.evaluate

    def rename_and_evaluate(*arguments, **options):
        tasks.rename(workspace, "topic", "subject")
        return evaluate(*arguments, **options)

    monkeypatch.setattr(evaluation, "evaluate", rename_and_evaluate)
    state, states, shown = run_dag("retrain_classifier", encoder=str(encoder), **TRAINING)
    steps = ("train", "evaluate", "apply_gate", "promote", "announce", "prune")
    assert {name: states[name, 1] for name in steps} == dict.fromkeys(steps, "success")
    assert {name: states[name, 1] for name in ("approve", "decline")} == dict.fromkeys(
        ("approve", "decline"), "skipped"
    )
    assert {name: states[name, 0] for name in steps[:5]} == {"train": "failed"} | dict.fromkeys(
        steps[1:5], "upstream_failed"
    )
    assert states["prune", 0] == "success"
    assert state == "failed"
    assert "all annotated articles are of one category, 'ann'" in caplog.text
    assert shown - {None, "-1"} == {"author", "topic"}, "the names at the run's start"
    of_tasks = "SELECT tasks.name, models.status FROM models JOIN tasks ON tasks.id = models.task_id"
    assert query(workspace.database, of_tasks) == [("subject", "champion")]
    extra = _last_event_extra()
    assert extra["task_id"] == workspace.with_task("subject").task.id
    assert extra["task"] == "topic"

    state, states, shown = run_dag("label_articles", workers=2)
    assert [states["label", index] for index in range(4)] == ["skipped", "skipped", "success", "success"]
    assert shown - {None, "-1"} == {"subject: worker 0", "subject: worker 1"}
    labels = "SELECT task, count(*) FROM article_labels WHERE origin = 'prediction' GROUP BY 1"
    assert query(workspace.database, labels) == [("subject", 30)]

    state, states, _ = run_dag("review_articles", number=3, audit=2)
    assert (state, states["fill", 0], states["fill", 1]) == ("success", "skipped", "success")
    state, states, _ = run_dag("watch_classifier", task="subject")
    assert (state, states["check_drift", 0], states["alarm", 0]) == ("success", "success", "success")


def _last_event_extra():
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalars(select(AssetEvent).order_by(AssetEvent.id.desc())).first().extra
