"""Metrics, alerts and lineage never fail a task, and never reveal secrets."""

from __future__ import annotations

import atexit
import builtins
import json
import sys
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from sqlalchemy.exc import DataError

from classifier.exceptions import SourceError
from tests.support import loopback

pytestmark = pytest.mark.filterwarnings("default")

ONLY = {"id": 1, "name": "default", "several": False}
TOPIC = {"id": 1, "name": "the topic", "several": True}

COUNTS = dict.fromkeys(("files", "read", "new", "changed", "unchanged", "rejected", "duplicates"), 3)


@pytest.fixture
def enable_metrics(monkeypatch):
    """Enable metrics, as the process of a task does with these options."""
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils

    def switch(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", str(value))
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)

    yield switch
    monkeypatch.undo()
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


def failure(error):
    instance = SimpleNamespace(dag_id="ingest_articles", task_id="verdict", log_url="http://airflow/dags/x")
    dag = SimpleNamespace(
        doc_md="# Ingest\n\n**When it fails** fix the source,\nthen clear it.\n\n**Affects** no user."
    )
    return {"task_instance": instance, "exception": error, "dag": dag}


@pytest.fixture
def alerts_sent(monkeypatch):
    """The alerts that arrive at the web hook of the connection."""
    with loopback.serving(loopback.page(b"ok")) as site:
        config = {"path": site.url.replace("http:", "json:")}
        parts = {"conn_type": "apprise", "extra": {"config": config}}
        monkeypatch.setenv("AIRFLOW_CONN_CLASSIFIER_ALERTS", json.dumps(parts))
        yield lambda: [json.loads(body) for body in site.posted]


def test_a_tag_keeps_only_characters_that_metrics_systems_accept(enable_metrics):
    from classifier_airflow import metrics

    with loopback.statsd() as heard:
        enable_metrics(statsd_on=True, statsd_host="127.0.0.1", statsd_port=heard.port, statsd_influxdb_enabled=True)
        metrics.send_ingest({"name": "the wire, in=English"}, COUNTS)
        heard.wait_for("airflow.classifier.ingest.duplicates,source=the_wire__in_English")
    assert heard.values["airflow.classifier.ingest.new,source=the_wire__in_English"] == [3]


@pytest.mark.parametrize(
    ("influxdb", "chosen", "name"),
    [
        (True, ONLY, "gate.hold,task=default"),
        (True, TOPIC, "gate.hold,task=the_topic"),
        (False, ONLY, "gate.hold"),
        (False, TOPIC, "gate.hold.the_topic"),
    ],
)
def test_a_metric_tells_its_task_in_a_tag_or_in_its_name_if_tags_are_dropped(enable_metrics, influxdb, chosen, name):
    from classifier_airflow import metrics

    with loopback.statsd() as heard:
        options = {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": heard.port}
        enable_metrics(**options, statsd_influxdb_enabled=influxdb)
        metrics.send_verdict("hold", chosen)
        heard.wait_for(f"airflow.classifier.{name}")


def test_opentelemetry_gets_the_same_metrics(enable_metrics):
    from airflow.sdk._shared.observability.metrics.otel_logger import flush_otel_metrics
    from classifier_airflow import metrics
    from opentelemetry.metrics import get_meter_provider

    with loopback.serving(loopback.page(b"")) as site:
        enable_metrics(otel_on=True, otel_host="127.0.0.1", otel_port=urlsplit(site.url).port)
        metrics.send_verdict("hold", ONLY)
        flush_otel_metrics()  # as Airflow does at the end of a task's process
        get_meter_provider().shutdown()
        atexit.unregister(flush_otel_metrics)
    assert any(b"airflow.classifier.gate.hold" in body for body in site.posted)


def test_nothing_is_read_for_metrics_that_are_off(enable_metrics, caplog, monkeypatch):
    from classifier_airflow import metrics, workspace

    enable_metrics(statsd_on=False)
    monkeypatch.setattr(workspace, "workspace", lambda: pytest.fail("the database was opened"))
    metrics.send_status()
    assert not caplog.records


@pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1"])
def test_no_task_fails_if_its_metrics_server_is_unreachable(enable_metrics, host):
    from classifier_airflow import metrics

    enable_metrics(statsd_on=True, statsd_host=host, statsd_port=9)
    metrics.send_verdict("need more annotations", ONLY)


def test_a_metric_that_fails_is_one_line_of_the_log(enable_metrics, caplog, monkeypatch):
    from classifier_airflow import metrics, workspace

    def fail():
        raise DataError("INSERT INTO articles", {"text": "a private text"}, ValueError("too long"))

    enable_metrics(statsd_on=True, statsd_host="127.0.0.1", statsd_port=9)
    monkeypatch.setattr(workspace, "workspace", fail)
    metrics.send_status()
    assert [record.getMessage() for record in caplog.records] == [
        "cannot send a metric: DataError: (builtins.ValueError) too long"
    ]


def test_an_alert_says_what_failed_what_to_do_and_where_to_look(alerts_sent):
    from classifier_airflow import alerts

    alerts.alert_failure(failure(SourceError("https://ada:pw@wire/feed?key=pw: no answer")))
    (alert,) = alerts_sent()
    assert (alert["title"], alert["type"]) == ("ingest_articles: verdict failed", "failure")
    assert alert["message"] == (
        "https://***wire/feed?*** no answer\n\nWhen it fails, fix the source, then clear it.\n\nhttp://airflow/dags/x"
    )


@pytest.mark.parametrize("mapped_over", ["choose", "workers"])
def test_an_alert_names_the_task_if_there_are_several(alerts_sent, mapped_over):
    from classifier_airflow import alerts

    items = [TOPIC if mapped_over == "choose" else {"task": TOPIC, "worker": 0}]
    context = failure(SourceError("gone"))
    context["task_instance"].map_index = 0
    context["task_instance"].xcom_pull = lambda task_ids, **_: items if task_ids == mapped_over else None
    alerts.alert_failure(context)
    items[0] = ONLY
    alerts.alert_failure(context)
    assert [alert["title"] for alert in alerts_sent()] == [
        "ingest_articles: the topic: verdict failed",
        "ingest_articles: verdict failed",
    ]


def test_an_error_that_is_not_ours_is_not_quoted(alerts_sent):
    from classifier_airflow import alerts

    alerts.alert_failure(failure(DataError("INSERT", {"text": "a private text"}, ValueError("a private text"))))
    (alert,) = alerts_sent()
    assert alert["message"].startswith("DataError: see the task's log.")
    assert "private" not in str(alert)


def test_without_a_connection_no_alert_is_sent(monkeypatch, caplog):
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from classifier_airflow import alerts

    def none(_):
        raise AirflowNotFoundException

    monkeypatch.setattr(BaseHook, "get_connection", none)
    alerts.alert_failure(failure(SourceError("gone")))
    assert not caplog.records


def test_without_the_provider_an_alert_is_one_line_of_the_log(alerts_sent, monkeypatch, caplog):
    from classifier_airflow import alerts

    monkeypatch.setitem(sys.modules, "airflow.providers.apprise.hooks.apprise", None)
    alerts.alert_failure(failure(SourceError("gone")))
    (line,) = (record.getMessage() for record in caplog.records if record.name == "classifier_airflow.best_effort")
    assert line.startswith("cannot send an alert: ModuleNotFoundError: import of airflow.providers.apprise")
    assert alerts_sent() == []


def test_only_a_held_model_gives_an_alert(alerts_sent, monkeypatch):
    from classifier_airflow import alerts

    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"ti": failure(None)["task_instance"]})
    for verdict in ("promote", "need more annotations", "hold"):
        alerts.alert_held_model({"verdict": verdict, "model": "m", "reasons": ["macro-F1 is worse"]})
    alerts.alert_held_model({"verdict": "hold", "model": "m", "reasons": []}, TOPIC)
    alert, of_task = alerts_sent()
    assert of_task["title"] == "ingest_articles: the topic: m was held"
    assert alert["title"] == "ingest_articles: m was held"
    assert alert["message"].startswith("macro-F1 is worse")


def test_a_promotion_with_a_warning_gives_an_alert(alerts_sent, monkeypatch):
    from classifier_airflow import alerts

    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"ti": failure(None)["task_instance"]})
    for warnings in ([], ["WARNING: the model cannot predict politics"]):
        alerts.alert_promoted_with_warnings({"verdict": "promote", "model": "m", "warnings": warnings})
    (alert,) = alerts_sent()
    assert alert["title"] == "ingest_articles: m was promoted with a warning"
    assert alert["message"].startswith("WARNING: the model cannot predict politics")


def test_no_lineage_is_collected_if_openlineage_is_off(monkeypatch):
    from classifier_airflow import lineage, workspace

    monkeypatch.setattr(workspace, "workspace", lambda: pytest.fail("the database was opened"))
    monkeypatch.setattr(builtins, "__import__", _forbidding("airflow.sdk.lineage", builtins.__import__))
    lineage.report_ingest()


def _forbidding(name, original):
    def importing(module, *arguments, **options):
        assert module != name
        return original(module, *arguments, **options)

    return importing


@pytest.mark.parametrize(("left", "text"), [(None, ""), (90.4, ", 90 s left")])
def test_a_training_logs_its_progress(caplog, left, text):
    from classifier_airflow import workspace

    from classifier.training.fit import TrainingProgress

    caplog.set_level("INFO", "classifier_airflow.workspace")
    on_progress = workspace.log_training(every_s=15)
    for step, seconds in ((1, 16.0), (2, 17.0), (3, 31.5)):
        on_progress(TrainingProgress(step, 100, 1, 0.51234, None, seconds, left))
    assert [record.getMessage() for record in caplog.records] == [
        f"step {step} of 100, epoch 1, loss 0.5123{text}" for step in (1, 3)
    ]
