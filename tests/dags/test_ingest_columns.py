"""The parameter `category` of `ingest_articles` names a column, or the columns of several tasks."""

from __future__ import annotations

import pytest

from classifier.exceptions import SettingsError
from classifier.ingest.columns import Columns

PARAMS = {
    "text": "body",
    "id": "id",
    "split": None,
    "published_at": None,
    "source": None,
    "title": None,
    "url": "link",
    "source_name": None,
    "proportions": "0.8,0.1,0.1",
    "max_rejected": 0.05,
}


def columns_of(category, task=None):
    from classifier_airflow import ingest_tasks

    return ingest_tasks._options({**PARAMS, "category": category, "task": task}).columns


@pytest.mark.parametrize(
    ("category", "only", "of_tasks"),
    [
        (None, None, ()),
        ("topics", "topics", ()),
        ("topic=topics, place=places", None, (("topic", "topics"), ("place", "places"))),
    ],
)
def test_one_parameter_names_the_columns_of_all_tasks(category, only, of_tasks):
    assert columns_of(category) == Columns("body", only, "id", url="link", categories=of_tasks)


def test_the_column_of_a_named_task_may_have_any_name():
    assert columns_of("a=b", task="topic") == Columns("body", "a=b", "id", url="link")


def test_two_columns_of_one_task_are_an_error():
    with pytest.raises(SettingsError, match="the task topic has several columns"):
        columns_of("topic=a,topic=b")
