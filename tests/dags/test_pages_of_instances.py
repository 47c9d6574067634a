"""The pages of two instances in one API server: each shows its own database, and asks for permissions on its DAGs."""

from __future__ import annotations

import json
import logging

import pytest

from tests.support.page_routes import FORMS, routes
from tests.support.synthetic import ingest_file, unlabelled

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def other_url(server):
    """The URL of a database without articles."""
    url = server.create(template=server.migrated.database)
    yield url
    server.drop(url)


@pytest.fixture
def news(ask, dagbag, workspace, other_url, monkeypatch, tmp_path):
    """The pages of the instance `news`, on the test's database; the default instance has another one."""
    from classifier_airflow import instances
    from classifier_ui import plugin, workspaces

    for name, url in (("NEWS_ARTICLES", workspace.database.url), ("ARTICLES", other_url)):
        parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(parts))
    workspaces.close()
    pages = plugin.Pages(instances.Instance("news"))
    monkeypatch.setattr(plugin, "ALL_PAGES", (plugin.ALL_PAGES[0], pages))
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
    yield pages
    workspaces.close()


@pytest.fixture
def ask_news(news, airflow):
    """Send requests to the instance's pages, mounted as Airflow mounts them; a proxy may keep Airflow's path or not."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    client, tokens = airflow
    outer = FastAPI(root_path="/airflow")
    outer.state = client.app.state
    outer.mount(news.path, news)
    with TestClient(outer, base_url="http://airflow") as inner:

        def request(path, role="admin", method="GET", before="/airflow", **more):
            headers = {"Cookie": f"_token={tokens[role]}", "Sec-Fetch-Site": "same-origin"}
            address = f"{before}{news.path}{path}"
            return inner.request(method, address, headers=headers, follow_redirects=False, **more)

        yield request


@pytest.mark.parametrize("before", ["", "/airflow"])
def test_links_begin_with_the_path_of_airflow_whether_a_proxy_keeps_or_removes_it(ask_news, before):
    answer = ask_news("/models", before=before)
    assert answer.status_code == 200
    assert 'href="/airflow/classifier-news/models"' in answer.text
    sent = ask_news("/dead-letters", method="POST", before=before)
    assert sent.headers["location"] == "/airflow/classifier-news/problems?done=retried"


def test_each_instance_shows_its_own_database_and_the_names_of_its_dags(ask_news, ask):
    ours, others = ask_news("/models").text, ask("/models", "admin").text
    assert "Start the DAG <code>news_retrain_classifier</code>" in ours
    assert "Start the DAG <code>retrain_classifier</code>" in others
    assert "3 new, 0 to label again" in ask_news("/").text
    assert "no article is waiting" in ask("/", "admin").text


def test_permissions_are_asked_for_the_dags_of_the_instance(ask_news, news, monkeypatch):
    from airflow.api_fastapi.app import get_auth_manager

    asked = set()

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        asked.add(details.id if details else None)
        return True

    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_dag", is_authorized_dag)
    for method, route, path in routes(news.application):
        if "{dag}" not in route:
            ask_news(path, method=method, data=FORMS if method == "POST" else None)
    assert asked == {f"news_{name}" for name in _dags()}


def test_a_run_of_another_instance_is_shown_by_the_pages_of_that_one(ask, news):
    moved = ask("/runs/news_label_articles/manual__1", "admin")
    assert (moved.status_code, moved.headers["location"]) == (
        303,
        "/classifier-news/runs/news_label_articles/manual__1",
    )
    assert ask("/runs/sport_label_articles/manual__1", "admin").status_code != 303


def test_an_action_starts_the_dag_of_the_instance(ask_news, monkeypatch):
    from classifier_ui import actions

    started = []
    monkeypatch.setattr(actions, "trigger_dag", lambda dag, **_: started.append(dag))
    answer = ask_news("/rejected-rows", method="POST")
    assert (answer.status_code, started) == (303, ["news_ingest_articles"])
    assert "A run of news_ingest_articles reads" in ask_news("/problems?done=reading").text


def test_the_setting_names_the_instances_and_a_mistake_in_it_leaves_the_default_one(dagbag, monkeypatch, caplog):
    from classifier_ui import plugin

    def served(value):
        monkeypatch.setenv("CLASSIFIER_INSTANCES", value)
        return [plugin.Pages(instance).path for instance in plugin._served()]

    assert served("") == served("default") == ["/classifier"]
    assert served("news, sport") == ["/classifier-news", "/classifier-sport"]
    assert served("news,default,news") == ["/classifier-news", "/classifier"]
    with caplog.at_level(logging.ERROR):
        assert served("News") == ["/classifier"]
    assert "instance 'News'" in caplog.text


def _dags():
    from classifier_airflow.instances import DAGS

    return DAGS
