"""Metrics, alerts and lineage that a whole Airflow sends while its DAGs run. The tests build on each other.

The tasks run in processes of their own, as they do in production, and not in the scheduler.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.support import loopback
from tests.support.local_airflow import running
from tests.support.synthetic import WORDS, articles, unlabelled, write_csv
from tests.support.tiny_models import make_encoder
from tests.support.waiting import HANG_S

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SECRET = "hunter2"

TASK_TAG = ",task=default"


@pytest.fixture(scope="module")
def heard():
    """The metrics that StatsD received."""
    with loopback.statsd() as listening:
        yield listening


@pytest.fixture(scope="module")
def alerts():
    """The alerts that a web hook received."""
    with loopback.serving(loopback.page(b"ok")) as site:
        yield site


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="module")
def encoder(folder):
    words = [*(word for topic in WORDS.values() for word in topic), "the"]
    return make_encoder(folder / "tiny", words=words, dim=32, heads=4, hidden_dim=64)


@pytest.fixture(scope="module")
def airflow(folder, encoder, heard, alerts):
    options = {
        "metrics": {
            "statsd_on": "True",
            "statsd_host": "127.0.0.1",
            "statsd_port": str(heard.port),
            "statsd_influxdb_enabled": "True",
        },
        "openlineage": {
            "namespace": "tests",
            "execution_timeout": str(int(HANG_S)),  # of an event: ten seconds are too few on a busy machine
            "transport": json.dumps({"type": "file", "log_file_path": str(folder / "lineage.json"), "append": True}),
        },
    }
    with running(folder / "home", encoder=encoder, options=options) as started:
        hook = alerts.url.replace("http://", f"json://reporter:{SECRET}@")
        extra = json.dumps({"config": {"path": hook}})
        connection = {"connection_id": "classifier_alerts", "conn_type": "apprise", "extra": extra}
        started.client.create_connection(connection)
        yield started


@pytest.fixture
def run(airflow):
    """Run a DAG to its end, and return its state."""

    def run_dag(dag, **parameters):
        began = airflow.client.trigger(dag, parameters)
        airflow.client.unpause(dag)
        ended = airflow.finished(began)
        airflow.client.pause(dag)
        return ended

    return run_dag


def metrics(heard, prefix):
    """Return the last value of each of the classifier's metrics with a prefix, without the tag of the only task."""
    last = {
        name.removeprefix("airflow.classifier.").removesuffix(TASK_TAG): values[-1]
        for name, values in heard.values.items()
    }
    return {name: value for name, value in last.items() if name.startswith(prefix)}


def lineage(folder, dag, task):
    """Return the events of a task in OpenLineage's file: its type, and the names of its inputs and outputs."""
    events = [json.loads(line) for line in (folder / "lineage.json").read_text().splitlines()]
    return {
        event["eventType"]: tuple(
            {dataset["name"] for dataset in event.get(side, [])} for side in ("inputs", "outputs")
        )
        for event in events
        if event["job"]["name"] == f"{dag}.{task}"
    }


def test_an_ingest_counts_its_rows_and_the_backlog(run, heard, folder):
    write_csv(folder / "annotated.csv", articles(300))
    write_csv(folder / "incoming.csv", [row for row in unlabelled(900, seed=1, prefix="i") if "bank" in row["text"]])
    options = {"id": "id", "category": "category"}
    assert run("ingest_articles", files=str(folder / "*.csv"), **options).state == "success"
    came = metrics(heard, "ingest.")
    assert came["ingest.files,source=files"] == 2
    assert came["ingest.new,source=files"] == came["ingest.read,source=files"] > 500
    assert metrics(heard, "backlog.") == {
        "backlog.new": came["ingest.new,source=files"] - 300, "backlog.backfill": 0, "backlog.unseen": 0,
    }  # fmt: skip
    assert metrics(heard, "dead_letters") == {"dead_letters": 0}


def test_a_training_sends_its_time_its_scores_and_the_verdict(run, heard):
    options = {"recipe": "r8", "hyper_parameters": {"epochs": 3, "learning_rate": 0.01, "dtype": "float32"}}
    assert run("retrain_classifier", **options).state == "success"
    assert metrics(heard, "training.")["training.seconds"] > 0
    candidate, champion = metrics(heard, "candidate."), metrics(heard, "champion.")
    assert 0 < candidate["candidate.macro_f1"] == champion["champion.macro_f1"] <= 1
    assert metrics(heard, "gate.") == {"gate.promote": 1}
    untagged = {name for name in heard.values if ".classifier." in name and "=" not in name}
    assert untagged == {"airflow.classifier.rejected_rows"}, "every other metric names its source or its task"


def test_a_labelling_counts_its_articles_and_sends_its_rate(run, heard):
    waited = metrics(heard, "backlog.")["backlog.new"]
    assert run("label_articles").state == "success"
    assert sum(heard.values[f"airflow.classifier.labelling.articles{TASK_TAG}"]) >= waited
    assert metrics(heard, "labelling.rate")["labelling.rate"] > 0
    assert metrics(heard, "labelling.dead_letters") == {"labelling.dead_letters": 0}
    assert metrics(heard, "backlog.")["backlog.new"] == 0


def test_drift_is_sent_as_figures_and_as_an_alert(run, heard, alerts):
    """The test articles are of three topics, and the new articles of one."""
    already = len(alerts.posted)
    assert run("watch_classifier").state == "failed"
    assert metrics(heard, "drift.")["drift.category_drift"] > 0.2
    assert metrics(heard, "drift.")["drift.alarms"] >= 1
    (alert,) = map(json.loads, alerts.posted[already:])
    assert (alert["title"], alert["type"]) == ("watch_classifier: alarm", "warning")
    assert "category mix" in alert["message"]
    assert "What to do" in alert["message"]


def test_a_failure_gives_one_alert_with_its_reason_its_link_and_no_secret(run, airflow, alerts):
    already = len(alerts.posted)
    failed = run("ingest_articles", files=f"https://ada:{SECRET}@nowhere/*.csv?key={SECRET}")
    assert failed.state == "failed"
    (alert,) = map(json.loads, alerts.posted[already:])
    assert (alert["title"], alert["type"]) == ("ingest_articles: verdict failed", "failure")
    assert "1 of 1 sources failed" in alert["message"]
    assert "When it fails, the last task names the sources" in alert["message"]
    link = re.search(r"http://\S+", alert["message"])[0]
    assert link.startswith(f"{airflow.config.address}/dags/ingest_articles/runs/")
    assert SECRET not in alerts.posted[-1].decode()


def test_lineage_leads_from_articles_to_a_model_and_to_its_predictions(folder):
    ingested = lineage(folder, "ingest_articles", "ingest")
    trained = lineage(folder, "retrain_classifier", "train")
    labelled = lineage(folder, "label_articles", "label")
    assert {"START", "COMPLETE"} <= ingested.keys() & trained.keys() & labelled.keys()
    (model,) = trained["COMPLETE"][1]
    assert ingested["COMPLETE"] == (set(), {"articles.public.articles", "articles.public.annotations"})
    assert trained["COMPLETE"][0] == {"articles.public.articles", "articles.public.annotations"}
    assert labelled["COMPLETE"] == ({"articles.public.articles", model}, {"articles.public.predictions"})


def test_a_held_model_gives_an_alert_with_the_reason(run, heard, alerts):
    already = len(alerts.posted)
    # c50's head starts at random: from the linear probe, as r8's does, a model is good before it is trained
    hardly_trained = {"recipe": "c50", "hyper_parameters": {"epochs": 1, "learning_rate": 1e-9, "dtype": "float32"}}
    assert run("retrain_classifier", min_new_annotations=0, **hardly_trained).state == "success"
    assert metrics(heard, "gate.hold") == {"gate.hold": 1}
    (alert,) = map(json.loads, alerts.posted[already:])
    assert re.fullmatch(r"retrain_classifier: \S+ was held", alert["title"])
    assert "macro-F1" in alert["message"]
    assert "The champion does not change." in alert["message"]


def test_no_alert_contains_an_articles_text(alerts):
    sent = b"".join(alerts.posted).decode()
    assert not [row["text"] for row in articles(300) if row["text"] in sent]


def test_a_service_that_does_not_answer_is_one_line_and_fails_nothing_else(run, airflow, alerts):
    alerts.answer = loopback.page(b"", code=500)
    failed = run("ingest_articles", files="/nowhere/*.csv")
    assert failed.state == "failed"
    verdict = next(task for task in airflow.client.tasks(failed) if task.name == "verdict")
    log = airflow.client.log(failed, verdict)
    (line,) = (line for line in log if line.startswith("cannot send an alert"))
    assert line.startswith("cannot send an alert: AlertError: No service of the connection accepted the alert")
