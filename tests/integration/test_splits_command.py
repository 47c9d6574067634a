"""The command `classifier splits report`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from classifier.cli.app import app
from classifier.exceptions import SettingsError
from tests.support.synthetic import articles, ingest_file


@pytest.fixture
def report(workspace, tmp_path, monkeypatch, database_url):
    ingest_file(workspace, tmp_path / "a.csv", articles(60), source="s")
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", database_url.render_as_string(hide_password=False))
    return lambda *options: CliRunner().invoke(app, ["splits", "report", *options])


def test_the_report_is_one_line_of_json(report):
    result = json.loads(report("--json", "--proportions", "0.5,0.25,0.25").stdout)
    assert result["near_duplicates_across"] == 0
    assert sum(result["total"]["articles"].values()) == 60
    assert [sizes["category"] for sizes in result["categories"]] == ["business", "sport", "tech"]
    assert result["target"] == {"train": 0.5, "validation": 0.25, "test": 0.25}


def test_the_report_is_a_table(report):
    shown = report().stdout
    assert "business" in shown
    assert "Near-duplicates across splits, among the articles read: 0" in shown


def test_impossible_proportions_are_a_user_error(report):
    assert isinstance(report("--proportions", "1,1,1").exception, SettingsError)
