"""The demo's Airflow runs in a home whose name means something to shells, URLs and configuration files."""

from __future__ import annotations

import pytest

from tests.support.local_airflow import running
from tests.support.synthetic import articles, value, write_csv
from tests.support.tiny_models import make_encoder


@pytest.mark.slow
@pytest.mark.long
def test_a_dag_ingests_files_in_a_home_of_any_name(tmp_path):
    home = tmp_path / "Häuser 50% $HOME #1"
    home.mkdir()
    write_csv(home / "x.csv", articles(20))
    with running(home, encoder=make_encoder(tmp_path / "encoder")) as airflow:
        conf = {"files": str(home / "x.csv"), "text": "text", "id": "id", "category": "category"}
        run = airflow.client.trigger("ingest_articles", conf)
        airflow.client.unpause("ingest_articles")
        assert airflow.finished(run).state == "success"
        assert value(airflow.workspace.database, "SELECT count(*) FROM articles") == 20
