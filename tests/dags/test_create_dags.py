"""The DAGs as another team's Airflow creates them: other schedules, pools and parameters, and several instances."""

from __future__ import annotations

import json

import pytest

from classifier.exceptions import SettingsError
from tests.support.synthetic import articles, query, write_csv

pytestmark = pytest.mark.filterwarnings("default")

FILE = "from classifier_airflow.dags import create_dags\n\ncreate_dags()\ncreate_dags('news')\n"


@pytest.fixture
def create(dagbag):
    """Return the function, which can be imported after Airflow has set its paths."""
    from classifier_airflow.dags import create_dags

    return create_dags


@pytest.fixture
def both(create, tmp_path, monkeypatch):
    """The DAGs of a file that creates two instances, in a bundle that Airflow knows: a test run reads it again."""
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "both.py").write_text(FILE)
    bundle = {
        "name": "both",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path / "dags")},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    bag = DagBag(dag_folder=str(tmp_path / "dags"), bundle_name="both")
    assert bag.import_errors == {}
    return bag.dags


def test_the_dags_are_created_with_the_options_of_another_airflow(create):
    dags = create(
        schedules={"ingest_articles": "*/10 * * * *", "watch_classifier": None, "label_articles": "0 * * * *"},
        params={"ingest_articles": {"category": "section"}, "retrain_classifier": {"require_approval": True}},
        task="topic",
        gpu_pool="a100",
        gpu_queue="big",
        default_args={"owner": "desk", "queue": "batch", "pool": "classifier"},
        tags=["desk"],
    )
    train, evaluate = (dags["retrain_classifier"].get_task(name) for name in ("train", "evaluate"))
    assert (train.pool, train.queue, train.owner) == ("a100", "big", "desk")
    assert (evaluate.pool, evaluate.queue, evaluate.retries) == ("classifier", "batch", 3)
    assert dags["watch_classifier"].schedule is None
    assert dags["ingest_articles"].schedule == "*/10 * * * *"
    assert {asset.name for asset in dags["label_articles"].timetable.asset_condition.objects} == {
        "articles",
        "champion-model",
    }
    assert dags["ingest_articles"].params["category"] == "section"
    assert dags["retrain_classifier"].params["require_approval"] is True
    assert {dag.params["task"] for dag in dags.values()} == {"topic"}
    assert {tag for dag in dags.values() for tag in dag.tags} == {"desk"}


def test_only_some_dags_are_created_and_labelling_can_depend_on_assets_alone(create):
    dags = create(only=["label_articles"], schedules={"label_articles": None})
    assert list(dags) == ["label_articles"]
    assert type(dags["label_articles"].timetable).__name__ == "AssetTriggeredTimetable"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedules": {"train": None}}, "create_dags: unknown DAG 'train'; choose from ingest_articles, "),
        ({"params": {"ingest_articles": {"colour": 1}}}, "params of ingest_articles: unknown parameter 'colour'; "),
        ({"instance": "News"}, "instance 'News': a name must be of lower-case letters"),
        ({"instance": "default"}, "instance 'default': a name must be"),
        ({"instance": "a__b"}, "instance 'a__b': a name must be"),
    ],
)
def test_a_mistake_in_a_dag_file_is_named(create, options, message):
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        create(**options)


def test_the_names_of_two_instances_differ(both):
    names = {"ingest_articles", "retrain_classifier", "label_articles", "review_articles", "watch_classifier"}
    assert set(both) == names | {f"news_{name}" for name in names}
    train = both["news_retrain_classifier"].get_task("train")
    assert (train.pool, train.queue) == ("news_gpu", "gpu")
    (outlet,) = both["news_retrain_classifier"].get_task("announce").outlets
    assert (outlet.name, outlet.uri) == ("news_champion-model", "model://news_champion/")
    condition = both["news_label_articles"].timetable.asset_condition
    assert {asset.name for asset in condition.objects} == {"news_articles", "news_champion-model"}
    assert both["retrain_classifier"].get_task("train").pool == "gpu"


def test_a_run_works_on_the_database_and_the_settings_of_its_instance(
    both, workspace, articles_connection, monkeypatch, tmp_path
):
    """The default instance has the connection `articles`, with a database of its own, which stays empty."""
    url = workspace.database.url
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_NEWS_ARTICLES", json.dumps(parts))
    monkeypatch.setenv("CLASSIFIER_INBOX", str(tmp_path / "not-read"))
    monkeypatch.setenv("CLASSIFIER__NEWS__INBOX", str(tmp_path / "inbox"))
    (tmp_path / "inbox").mkdir()
    write_csv(tmp_path / "inbox" / "x.csv", articles(7))
    run = both["news_ingest_articles"].test(run_conf={**both["news_ingest_articles"].params.dump(), "id": "id"})
    assert str(run.state) == "success"
    assert query(workspace.database, "SELECT count(*) FROM articles") == [(7,)]


def test_a_named_instance_without_a_database_says_what_to_do(create, monkeypatch):
    from classifier_airflow.instances import Instance
    from classifier_airflow.workspace import workspace

    monkeypatch.delenv("CLASSIFIER_DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match=r"^connection sport_articles: not found; create it in Airflow"):
        workspace(instance=Instance("sport"))
    with pytest.raises(SettingsError, match=r"^connection archive: not found"):
        workspace(instance=Instance("sport", connection="archive"))
