"""A team with an Airflow of its own follows the page `adopt-in-an-existing-airflow.md`, with the wheel only.

Each test starts a whole Airflow in an empty folder. The tests build on each other.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest

from classifier.local_airflow.standalone import HOST
from tests.support import adopted_airflow
from tests.support.synthetic import LENIENT, WORDS, articles, unlabelled, write_csv
from tests.support.tiny_models import make_encoder

pytestmark = [pytest.mark.slow, pytest.mark.long]

DAGS = {"ingest_articles", "retrain_classifier", "label_articles", "review_articles", "watch_classifier"}
PAGES = ("", "models", "categories", "review", "drift", "problems")
COLUMNS = {"text": "text", "id": "id", "category": "category"}
TRAINING = {"recipe": "r8", "hyper_parameters": {"epochs": 3, "learning_rate": 0.01, "dtype": "float32"}}
LABELLED = "SELECT count(*) FROM article_labels WHERE origin = 'prediction'"


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adopt")
    team = adopted_airflow.make_team(folder / "team")
    words = [*(word for topic in WORDS.values() for word in topic), "the"]
    encoder = make_encoder(folder / "encoder", words=words, dim=32, heads=4, hidden_dim=64)
    team.variables |= {"CLASSIFIER_ENCODER": str(encoder), "CLASSIFIER_GATE": json.dumps(asdict(LENIENT))}
    write_csv(folder / "annotated.csv", articles(300))
    write_csv(folder / "one.csv", unlabelled(1, seed=1, prefix="n"))
    return team


def menu(airflow):
    """Return the addresses of the plugin's entries in Airflow's menu."""
    plugins = airflow.http.get("/api/v2/plugins").json()["plugins"]
    (ours,) = (plugin for plugin in plugins if plugin["name"] == "classifier")
    assert "article-classifier" in ours["source"], "the installed package brings it"
    assert airflow.http.get("/api/v2/plugins/importErrors").json()["import_errors"] == []
    return {view["name"]: view["href"] for view in ours["external_views"] if view["destination"] == "nav"}


def test_the_wheel_holds_everything_and_the_five_lines_install_it(team):
    five = adopted_airflow.lines(0)
    assert len(five.splitlines()) == 5
    team.run(five)
    where = (
        "import classifier, classifier_airflow.dags, classifier_ui; print(classifier.__file__, classifier_ui.__file__)"
    )
    paths = team.run(f'python -c "{where}"').split()
    assert all(path.startswith(str(team.folder / "venv")) for path in paths[-2:]), paths


def test_the_menu_the_dags_and_one_labelled_article(team):
    with adopted_airflow.started(team) as airflow:
        assert menu(airflow) == {"Classifier": "/classifier/"}
        airflow.wait_for_dags(DAGS)
        folder = str(team.folder.parent)
        airflow.finished("ingest_articles", files=f"{folder}/annotated.csv", **COLUMNS)
        trained = airflow.finished("retrain_classifier", **TRAINING)
        airflow.finished("ingest_articles", files=f"{folder}/one.csv", **COLUMNS)
        airflow.finished("label_articles")
        assert team.query("articles", LABELLED) == [(1,)]
        for page in PAGES:
            assert airflow.http.get(f"/classifier/{page}").status_code == 200, page
        airflow.wait_for_text(f"/classifier/runs/retrain_classifier/{trained.id}", "champion")


def test_a_second_instance_and_a_path_in_front_of_everything(team):
    team.run("classifier db upgrade", **adopted_airflow.variables_of(team, CLASSIFIER_DATABASE_URL="news"))
    team.run(adopted_airflow.lines(1))
    before = team.query("articles", "SELECT count(*) FROM articles")
    with adopted_airflow.started(team, path="/airflow", CLASSIFIER_INSTANCES="default,news") as airflow:
        entries = {"Classifier": "/airflow/classifier/", "Classifier: news": "/airflow/classifier-news/"}
        assert menu(airflow) == entries
        airflow.wait_for_dags(DAGS | {f"news_{name}" for name in DAGS})
        run = airflow.finished("news_ingest_articles", files=f"{team.folder.parent}/one.csv", **COLUMNS)
        assert team.query("news", "SELECT count(*) FROM articles") == [(1,)]
        assert team.query("articles", "SELECT count(*) FROM articles") == before
        for root in ("/classifier", "/classifier-news"):
            check_pages(airflow, root)
        moved = airflow.http.get(f"/classifier/runs/news_ingest_articles/{run.id}")
        assert moved.status_code == 303
        airflow.wait_for_text(f"http://{HOST}:{team.port}{moved.headers['location']}", "one.csv")


def check_pages(airflow, root):
    """Check that each page, its own files and its forms stay below the path."""
    below = f"/airflow{root}/"
    for page in PAGES:
        answer = airflow.http.get(f"{root}/{page}")
        assert answer.status_code == 200, page
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        addresses = re.findall(r'(?:href|src|action|data-live)="([^"#]*)"', answer.text)
        assert [address for address in addresses if not address.startswith(below)] == [], page
        for address in addresses:
            if "/static/" in address:
                assert airflow.http.get(address.removeprefix("/airflow")).status_code == 200, address
    sent = airflow.http.post(f"{root}/dead-letters")
    assert (sent.status_code, sent.headers["location"]) == (303, f"{below}problems?done=retried")
    forged = airflow.http.post(f"{root}/dead-letters", headers={"Sec-Fetch-Site": "cross-site"})
    assert forged.status_code == 403
