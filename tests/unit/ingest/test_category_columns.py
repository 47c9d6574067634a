"""Read which columns hold the categories of which tasks."""

from __future__ import annotations

import pytest

from classifier.exceptions import SettingsError
from classifier.ingest.category_columns import parse_category_columns, split_category_columns

TOPIC, PLACE = ("topic", "topics"), ("place", "places")


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        ([], None, (None, ())),
        (["topics"], None, ("topics", ())),
        (["topic=topics", "place=places"], None, (None, (TOPIC, PLACE))),
        (["topic=a=b"], None, (None, (("topic", "a=b"),))),
        (["=a=b"], None, ("a=b", ())),
        (["a=b"], "topic", ("a=b", ())),
        (["=a"], "topic", ("=a", ())),
        ([" topic =topics"], None, (None, (TOPIC,))),
    ],
)
def test_a_value_is_split_at_its_first_sign_unless_it_names_no_task(values, task, expected):
    assert parse_category_columns(values, task) == expected


@pytest.mark.parametrize(
    ("values", "task", "problem"),
    [
        (["topic=a", "topic=b"], None, "category: the task topic has several columns; name one"),
        (["a", "b"], None, "category 'b': is one of several, so it must name its task; write TASK=COLUMN"),
        (["topic=a", "b"], None, "category 'b': is one of several, so it must name its task"),
        (["a", "b"], "topic", "category: 2 columns are for the task topic; without --task, write TASK=COLUMN"),
        (["topic="], None, "category 'topic=': names no column; write TASK=COLUMN for each task"),
        (["="], None, "category '=': names no column"),
        ([""], None, "category '': names no column"),
        ([""], "topic", "category '': names no column"),
    ],
)
def test_a_value_without_a_task_or_a_column_is_an_error(values, task, problem):
    with pytest.raises(SettingsError) as error:
        parse_category_columns(values, task)
    assert str(error.value).startswith(problem)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (None, ())),
        ("", (None, ())),
        ("topics", ("topics", ())),
        ("topics, of the day", ("topics, of the day", ())),
        ("=a=b", ("a=b", ())),
        ("topic=topics, place=places", (None, (TOPIC, PLACE))),
    ],
)
def test_one_text_may_name_the_columns_of_several_tasks(value, expected):
    assert split_category_columns(value) == expected
