"""The DAGs run, one after the other, on a tiny DistilBERT and a real Postgres."""

from __future__ import annotations

import gzip
import random

import pytest
from sqlalchemy import create_engine, text

from tests.support import tiny_models

pytestmark = pytest.mark.filterwarnings("default")

TOPICS = {
    "sport": ["match", "team", "goal", "player", "season", "coach"],
    "business": ["bank", "market", "profit", "shares", "company", "trade"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Annotated articles of two topics, and some without annotations."""
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
    directory = tmp_path_factory.mktemp("encoder") / "tiny"
    return tiny_models.make_encoder(directory, words=words, dim=32, heads=4, hidden_dim=64)


@pytest.fixture
def run(dagbag, default_params, articles_connection, tmp_path_factory, monkeypatch):
    """Run a DAG with parameters and return the states of its tasks."""
    monkeypatch.setenv("CLASSIFIER_HOME", str(tmp_path_factory.getbasetemp() / "home"))

    def run_dag(name, **params):
        dag_run = dagbag.dags[name].test(run_conf={**default_params[name], **params})
        states = {}
        for instance in dag_run.get_task_instances():
            source = instance.rendered_map_index if instance.task_id == "ingest" and instance.map_index >= 0 else None
            states[f"{instance.task_id} {source}" if source else instance.task_id] = str(instance.state)
        return states

    return run_dag


@pytest.fixture
def value(articles_url):
    engine = create_engine(articles_url)

    def read(query):
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()

    yield read
    engine.dispose()


def test_labelling_without_a_champion_is_skipped(run):
    assert run("label_articles") == {"workers": "success", "label": "skipped"}


def test_the_drift_check_is_skipped_without_a_champion(run):
    assert run("watch_classifier") == {"choose": "success", "check_drift": "skipped", "alarm": "skipped"}


def test_no_review_is_queued_without_a_champion(run):
    assert run("review_articles") == {"choose": "success", "fill": "skipped"}


def test_ingesting_without_files_or_an_inbox_is_skipped(run):
    assert run("ingest_articles") == dict.fromkeys(("choose", "ingest", "announce"), "skipped") | {"verdict": "success"}


def outcome(name, ingest, announce):
    verdict = "failed" if ingest == "failed" else "success"
    return {"choose": "success", f"ingest {name}": ingest, "announce": announce, "verdict": verdict}


def test_a_missing_file_fails_its_task_and_the_verdict_and_announces_nothing(run):
    states = run("ingest_articles", files="/nowhere/*.csv")
    assert states == outcome("/nowhere/*.csv", "failed", "skipped")


def test_articles_are_ingested_and_announced(run, files, value):
    states = run("ingest_articles", files=str(files / "annotated.csv"), id="id", category="category")
    assert states == outcome(files / "annotated.csv", "success", "success")
    assert value("SELECT count(*) FROM annotations") == 120


def test_the_same_file_again_announces_nothing(run, files, value):
    states = run("ingest_articles", files=str(files / "annotated.csv"), id="id", category="category")
    assert states == outcome(files / "annotated.csv", "success", "skipped")
    assert value("SELECT count(*) FROM articles") == 120


def test_articles_without_annotation_wait_for_a_label(run, files, value):
    run("ingest_articles", files=str(files / "incoming.csv"), id="id")
    assert value("SELECT count(*) FROM labelling_queue") == 10


def test_only_changed_files_of_the_inbox_are_read_again(run, tmp_path, value, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_INBOX", str(tmp_path))
    (tmp_path / "a.csv").write_text("id,text\ninbox-1,an article of the inbox\n")
    files = "SELECT files FROM ingest_runs ORDER BY id DESC LIMIT 1"
    assert run("ingest_articles", id="id") == outcome(f"{tmp_path}/*", "success", "success")
    assert value(files) == 1
    assert run("ingest_articles", id="id") == outcome(f"{tmp_path}/*", "success", "skipped")
    assert value(files) == 0
    (tmp_path / "a.csv").write_text("id,text\ninbox-1,another article of the inbox\n")
    assert run("ingest_articles", id="id") == outcome(f"{tmp_path}/*", "success", "success")
    assert value(files) == 1
    assert run("ingest_articles") == outcome(f"{tmp_path}/*", "success", "skipped")
    assert value(files) == 0, "a run without parameters reads the inbox as the run before"


def test_one_source_that_fails_does_not_stop_the_others_and_is_named(run, value, tmp_path, monkeypatch, caplog):
    (tmp_path / "good.csv").write_text("text\nan article of its own\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"text\n" + b"word " * 999)[:-9])
    declared = "".join(
        f"[sources.{name}]\nkind = 'files'\nfiles = '{file}'\ngroup = '{group}'\n"
        for name, file, group in (("good", "good.csv", "now"), ("cut", "cut.csv.gz", "now"), ("later", "no.csv", "x"))
    )
    (tmp_path / "sources.toml").write_text(declared)
    monkeypatch.setenv("CLASSIFIER_SOURCES", str(tmp_path / "sources.toml"))
    states = run("ingest_articles", group="now")
    assert states == {
        "choose": "success",
        "ingest good": "success",
        "ingest cut": "failed",
        "announce": "success",
        "verdict": "failed",
    }
    assert "1 of 2 sources failed: cut: " in caplog.text
    assert "damaged or cut off gzip data" in caplog.text
    assert value("SELECT count(*) FROM articles WHERE source = 'good'") == 1
    run_states = "SELECT string_agg(status, ' ' ORDER BY source) FROM ingest_runs WHERE source IN ('good', 'cut')"
    assert value(run_states) == "failed succeeded"


def test_a_query_reads_through_an_airflow_connection(run, value, tmp_path, monkeypatch):
    (tmp_path / "sources.toml").write_text(
        "[sources.cms]\nkind = 'sql'\nconnection = 'articles'\nquery = \"SELECT 'q1' AS id, 'a story' AS text\"\n"
        "columns = {id = 'id'}\ngroup = 'daily'\n"
    )
    monkeypatch.setenv("CLASSIFIER_SOURCES", str(tmp_path / "sources.toml"))
    assert run("ingest_articles") == outcome("cms", "success", "success")
    assert value("SELECT text FROM articles WHERE source = 'cms'") == "a story"
    # it is of the group daily, and has succeeded today
    assert run("ingest_articles")["ingest"] == "skipped"


PROMOTED = {
    **dict.fromkeys(("choose", "train", "evaluate", "apply_gate", "promote", "announce", "prune"), "success"),
    **dict.fromkeys(("approve", "decline"), "skipped"),
}


@pytest.mark.slow
def test_a_first_model_is_trained_evaluated_promoted_and_announced(run, encoder, value):
    options = {"recipe": "r8", "hyper_parameters": {"epochs": 4, "learning_rate": 0.01, "dtype": "float32"}}
    states = run("retrain_classifier", encoder=str(encoder), **{"from": "champion"}, **options)
    assert states == PROMOTED
    assert value("SELECT count(*) FROM models WHERE status = 'champion'") == 1


@pytest.mark.slow
def test_without_new_annotations_the_whole_run_is_skipped_with_a_reason(run, encoder, value, caplog):
    states = run("retrain_classifier", encoder=str(encoder))
    assert states == dict.fromkeys(PROMOTED, "skipped") | {"choose": "success", "prune": "success"}
    assert "0 new annotations since" in caplog.text
    assert value("SELECT count(*) FROM models") == 1


@pytest.mark.slow
def test_two_workers_label_everything_that_waits(run, value):
    assert set(run("label_articles", workers=2).values()) == {"success"}
    assert value("SELECT count(*) FROM labelling_queue") == 0
    assert value("SELECT count(*) FROM article_labels WHERE origin = 'prediction' AND source = 'incoming'") == 10


@pytest.mark.slow
def test_an_alarm_fails_the_run_with_a_reason_and_is_stored(run, value, monkeypatch, caplog):
    """Half of the test articles are of each topic, like the incoming articles except these."""
    monkeypatch.setenv("CLASSIFIER_DRIFT_MIN_ARTICLES", "10")
    assert run("watch_classifier") == {"choose": "success", "check_drift": "success", "alarm": "success"}
    monkeypatch.setenv("CLASSIFIER_DRIFT_MAX_DISTANCE", "0.000001")
    monkeypatch.setattr("classifier.evaluation.drift_checks.ALPHA", 1.0)
    assert run("watch_classifier") == {"choose": "success", "check_drift": "success", "alarm": "failed"}
    assert "length: Jensen-Shannon distance" in caplog.text
    assert value("SELECT array_agg(DISTINCT cardinality(alarms) > 0) FROM drift_runs") == [False, True]


def test_humans_are_asked_about_what_was_labelled(run, value):
    assert run("review_articles", number=3, audit=2) == {"choose": "success", "fill": "success"}
    assert value("SELECT count(*) FROM review_queue WHERE reason = 'audit'") == 2
    assert 0 < value("SELECT count(*) FROM review_queue WHERE reason <> 'audit'") <= 3


def test_doubtful_test_articles_are_queued_with_as_many_others(run, value):
    parameters = {"number": 3, "audit": 2, "doubtful": 2, "doubtful_split": "test"}
    assert run("review_articles", **parameters) == {"choose": "success", "fill": "success"}
    counted = "SELECT count(*) FROM review_queue JOIN articles ON id = article_id WHERE split = 'test' AND reason = "
    assert [value(f"{counted}'{reason}'") for reason in ("doubtful", "control")] == [2, 2]


def test_rows_that_were_rejected_are_read_again_when_the_page_asks_for_it(run, files, value):
    bad = files / "bad.csv"
    bad.write_text("id,text\n1,a good one\n2,\n")
    run("ingest_articles", files=str(bad), id="id", max_rejected=1)
    bad.write_text("id,text\n1,a good one\n2,mended\n")
    assert run("ingest_articles", rejected=True) == outcome("rejected rows", "success", "success")
    assert value("SELECT count(*) FROM rejected_rows") == 0
    assert value("SELECT text FROM articles WHERE source = 'bad' AND external_id = '2'") == "mended"


@pytest.mark.slow
def test_a_named_model_is_judged_without_a_training(run, value):
    name = value("SELECT name FROM models")
    assert run("retrain_classifier", candidate=name, reason="a second look") == PROMOTED
    assert value("SELECT count(*) FROM models") == 1
    assert value("SELECT count(*) FROM evaluations") == 2


@pytest.mark.slow
def test_the_night_ends_with_a_pruning_that_neither_fails_the_run_nor_hides_that_another_task_has(
    dagbag, default_params, run, value, monkeypatch
):
    from classifier.exceptions import ArtefactError
    from classifier.pipeline.promotion import evaluation, retention

    def fails(*_, **__):
        raise ArtefactError("the disk is gone")

    def night():
        name = value("SELECT name FROM models WHERE status = 'champion'")
        dag_run = dagbag.dags["retrain_classifier"].test(
            run_conf={**default_params["retrain_classifier"], "candidate": name}
        )
        return str(dag_run.state), {task.task_id: str(task.state) for task in dag_run.get_task_instances()}

    with monkeypatch.context() as patched:
        patched.setattr(retention, "apply_retention", fails)
        state, tasks = night()
        assert (state, tasks["prune"], tasks["promote"]) == ("success", "failed", "success")
    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "evaluate", fails)
        state, tasks = night()
        assert (state, tasks["evaluate"], tasks["prune"]) == ("failed", "failed", "success")


@pytest.mark.slow
def test_a_runs_tab_reads_what_its_tasks_returned(value, articles_connection):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from classifier_airflow.workspace import workspace
    from classifier_ui import runs
    from sqlalchemy import select

    opened = workspace()

    def tabs(dag):
        with create_session() as session:
            ids = session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag).order_by(DagRun.id)).all()
        return [runs.read_run(opened, dag, run_id) for run_id in ids]

    labelled = tabs("label_articles")[-1]
    predictions = value("SELECT count(*) FROM predictions")
    assert (labelled.total("label", "labelled"), len(labelled.tasks_of("label"))) == (predictions, 2)
    assert labelled.rate > 0
    trained = next(run for run in tabs("retrain_classifier") if run.model_view)
    assert trained.model_view.model.name == trained.task("train").returned
    assert trained.model_view.curves.macro_f1
    assert trained.model_view.report.verdict == "promote"
    assert any(run.total("ingest", "new") == 120 for run in tabs("ingest_articles"))
    assert runs.read_run(opened, "label_articles", "no such run") is None
