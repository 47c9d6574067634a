"""The DAGs run, one after the other, on a tiny DistilBERT and a real Postgres."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import create_engine, text

from tests import tiny

pytestmark = pytest.mark.filterwarnings("default")

TOPICS = {
    "sport": ["match", "team", "goal", "player", "season", "coach"],
    "business": ["bank", "market", "profit", "shares", "company", "trade"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Annotated articles of two topics, and some that nobody has annotated."""
    folder = tmp_path_factory.mktemp("files")
    choose = random.Random(0)

    def article(topic):
        return " ".join(choose.choices(TOPICS[topic], k=12))

    annotated = [f"{number},{topic},{article(topic)}" for number, topic in enumerate(list(TOPICS) * 60)]
    incoming = [f"{number},{article(topic)}" for number, topic in enumerate(list(TOPICS) * 5)]
    (folder / "annotated.csv").write_text("\n".join(["id,category,text", *annotated]) + "\n")
    (folder / "incoming.csv").write_text("\n".join(["id,text", *incoming]) + "\n")
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    words = [word for topic in TOPICS.values() for word in topic]
    return tiny.make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", words=words)


@pytest.fixture
def run(dagbag, default_params, articles_connection, tmp_path_factory, monkeypatch):
    """Run a DAG with parameters and return the states of its tasks."""
    monkeypatch.setenv("CLASSIFIER_HOME", str(tmp_path_factory.getbasetemp() / "home"))

    def run_dag(name, **params):
        dag_run = dagbag.dags[name].test(run_conf={**default_params[name], **params})
        return {instance.task_id: str(instance.state) for instance in dag_run.get_task_instances()}

    return run_dag


@pytest.fixture
def value(articles_url):
    engine = create_engine(articles_url)
    yield lambda query: engine.connect().execute(text(query)).scalar_one()
    engine.dispose()


def test_labelling_without_a_champion_is_skipped(run):
    assert run("label_articles") == {"workers": "success", "label": "skipped"}


def test_ingesting_without_files_or_an_inbox_is_skipped(run):
    assert run("ingest_articles") == {"ingest": "skipped", "announce": "skipped"}


def test_a_missing_file_fails_the_task_and_nothing_follows(run):
    assert run("ingest_articles", files="/nowhere/*.csv") == {"ingest": "failed", "announce": "upstream_failed"}


def test_articles_are_ingested_and_announced(run, files, value):
    states = run("ingest_articles", files=str(files / "annotated.csv"), id="id", category="category")
    assert states == {"ingest": "success", "announce": "success"}
    assert value("SELECT count(*) FROM annotations") == 120


def test_the_same_file_again_announces_nothing(run, files, value):
    states = run("ingest_articles", files=str(files / "annotated.csv"), id="id", category="category")
    assert states == {"ingest": "success", "announce": "skipped"}
    assert value("SELECT count(*) FROM articles") == 120


def test_articles_without_annotation_wait_for_a_label(run, files, value):
    run("ingest_articles", files=str(files / "incoming.csv"), id="id")
    assert value("SELECT count(*) FROM labelling_queue") == 10


@pytest.mark.slow
def test_a_first_model_is_trained_evaluated_promoted_and_announced(run, encoder, value):
    states = run("retrain_classifier", encoder=str(encoder), epochs=2, learning_rate=0.01, precision="float32")
    assert states == dict.fromkeys(("train", "evaluate", "promote", "announce"), "success")
    assert value("SELECT count(*) FROM models WHERE status = 'champion'") == 1


@pytest.mark.slow
def test_two_workers_label_everything_that_waits(run, value):
    assert set(run("label_articles", workers=2).values()) == {"success"}
    assert value("SELECT count(*) FROM labelling_queue") == 0
    assert value("SELECT count(*) FROM article_labels WHERE origin = 'prediction'") == 10
