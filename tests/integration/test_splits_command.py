"""The command `classifier splits report`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from classifier.cli.app import app
from classifier.exceptions import SettingsError, TaskError
from classifier.ingest.columns import Columns, TaskColumn
from classifier.pipeline.database import tasks
from classifier.pipeline.ingest import units
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


@pytest.fixture
def two_tasks(workspace, tmp_path, report):
    """Add 40 articles that have an author, and none, one or two topics each, to the 60 articles without a topic."""
    tasks.add(workspace, "topics", kind="multi")
    tasks.rename(workspace, "default", "author")
    rows = [
        {**row, "topics": [[], ["gold"], ["grain"], ["gold", "grain"]][number % 4]}
        for number, row in enumerate(articles(40, prefix="b"))
    ]
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = Columns(id="id", categories=(TaskColumn("author", "category"), TaskColumn("topics", "topics")))
    units.ingest_files(workspace, str(path), units.IngestOptions(columns))
    return report


def test_with_several_tasks_there_is_a_report_of_each(two_tasks):
    both = [json.loads(line) for line in two_tasks("--json").stdout.splitlines()]
    assert [result["task"] for result in both] == ["author", "topics"]
    assert [json.loads(two_tasks("--json", "--task", result["task"]).stdout) for result in both] == both
    shown = two_tasks().stdout
    assert "Splits: author" in shown
    assert "Splits: topics" in shown


def test_an_article_with_several_categories_counts_once_in_the_total(two_tasks):
    result = json.loads(two_tasks("--json", "--task", "topics").stdout)
    sizes = {each["category"]: sum(each["articles"].values()) for each in result["categories"]}
    assert sizes == {"": 10, "gold": 20, "grain": 20, None: 60}
    assert sum(result["total"]["articles"].values()) == 100
    assert result["left_out"] == {"train": 0, "validation": 0, "test": 0}
    assert "(none)" in two_tasks("--task", "topics").stdout


def test_an_archived_task_is_left_out_and_an_unknown_one_is_an_error(workspace, two_tasks):
    tasks.archive(workspace, "author")
    assert json.loads(two_tasks("--json").stdout)["task"] == "topics"
    assert isinstance(two_tasks("--task", "nosuch").exception, TaskError)
