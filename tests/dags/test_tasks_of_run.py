"""Which of the classifier's tasks a run of a DAG works on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from classifier.exceptions import ModelNotFoundError, TaskError
from classifier.pipeline.database import tasks
from tests.support.synthetic import add_articles, add_model, annotate, run

pytestmark = pytest.mark.filterwarnings("default")

TRAINING = {"task": None, "candidate": None, "from": None}
LABELLING = {"task": None, "workers": 2}


@pytest.fixture
def tasks_of_run(workspace, dagbag, monkeypatch):
    """The plugin's module, on the test's database."""
    from classifier_airflow import tasks_of_run

    url = workspace.database.url
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
    return tasks_of_run


@pytest.fixture
def several(workspace):
    """The tasks topic, author and place, of which the last is archived. Topic has an annotation and the model m1."""
    for name in ("topic", "author", "place"):
        tasks.add(workspace, name)
    tasks.archive(workspace, "place")
    with workspace.with_task("topic").database.begin() as connection:
        (article,) = add_articles(connection, [("a", "text", "train")])
        annotate(connection, article, "sport")
        add_model(connection, "m1")


def names(chosen):
    return [each["name"] for each in chosen]


def events(**extras):
    """The events that triggered a run, by asset."""
    from classifier_airflow import assets

    return {getattr(assets, name): [SimpleNamespace(extra=extra) for extra in list_] for name, list_ in extras.items()}


def test_the_only_task_needs_no_name_and_no_annotation(tasks_of_run):
    only = [{"id": 1, "name": "default", "several": False}]
    assert tasks_of_run.choose_tasks() == tasks_of_run.choose_for_training(TRAINING) == only
    shares = tasks_of_run.share_labelling(LABELLING, {})
    assert [tasks_of_run.describe_share(share) for share in shares] == ["worker 0", "worker 1"]


@pytest.mark.usefixtures("several")
def test_a_run_works_on_every_task_that_is_not_archived(tasks_of_run):
    assert names(tasks_of_run.choose_tasks()) == ["topic", "author"]
    assert [tasks_of_run.describe_share(share) for share in tasks_of_run.share_labelling(LABELLING, {})] == [
        "topic: worker 0", "topic: worker 1", "author: worker 0", "author: worker 1",
    ]  # fmt: skip


@pytest.mark.usefixtures("several")
def test_a_run_works_on_the_named_task_alone(tasks_of_run):
    assert names(tasks_of_run.choose_tasks("author")) == ["author"]
    assert names(tasks_of_run.choose_for_training({**TRAINING, "task": "author"})) == ["author"]
    with pytest.raises(TaskError, match="places: no such task; there are: topic, author"):
        tasks_of_run.choose_tasks("places")
    with pytest.raises(TaskError, match="place: is archived; run: classifier tasks restore place"):
        tasks_of_run.choose_tasks("place")


@pytest.mark.usefixtures("several")
def test_of_several_tasks_one_without_annotations_is_not_trained(tasks_of_run, caplog):
    caplog.set_level("INFO", "classifier_airflow.tasks_of_run")
    assert names(tasks_of_run.choose_for_training(TRAINING)) == ["topic"]
    assert "author: nothing to train, since no article is annotated" in caplog.text


@pytest.mark.usefixtures("several")
def test_the_task_of_a_named_model_is_found(tasks_of_run):
    assert names(tasks_of_run.choose_for_training({**TRAINING, "candidate": "m1"})) == ["topic"]
    assert names(tasks_of_run.choose_for_training({**TRAINING, "from": "m1"})) == ["topic"]
    with pytest.raises(ModelNotFoundError, match="m9: no such model"):
        tasks_of_run.choose_for_training({**TRAINING, "candidate": "m9"})
    with pytest.raises(TaskError, match="set the parameter task to one of: topic, author"):
        tasks_of_run.choose_for_training({**TRAINING, "candidate": "champion"})


@pytest.mark.usefixtures("several")
def test_a_new_champion_relabels_its_task_only(tasks_of_run, workspace):
    author = workspace.with_task("author").task.id

    def labelled(params=LABELLING, **extras):
        shares = tasks_of_run.share_labelling(params, events(**extras))
        return sorted({share["task"]["name"] for share in shares})

    assert labelled(CHAMPION=[{"task_id": author, "task": "author"}]) == ["author"]
    assert labelled(CHAMPION=[{"task_id": author}], ARTICLES=[{"new": 3}]) == ["author", "topic"]
    assert labelled(ARTICLES=[{"new": 3}]) == labelled() == ["author", "topic"]
    assert labelled(CHAMPION=[{}]) == ["author", "topic"], "a user has emitted the event"
    assert labelled({**LABELLING, "task": "topic"}, CHAMPION=[{"task_id": author}]) == ["topic"]


@pytest.mark.usefixtures("several")
def test_more_workers_than_airflow_can_map_are_refused(tasks_of_run):
    with pytest.raises(TaskError, match="workers: 600 for each of 2 tasks are too many; set at most 512"):
        tasks_of_run.share_labelling({**LABELLING, "workers": 600}, {})


@pytest.mark.usefixtures("several")
def test_a_task_that_is_renamed_during_a_run_is_found(tasks_of_run, workspace):
    from classifier_airflow.workspace import workspace as open_task

    chosen = tasks_of_run.choose_tasks("author")
    tasks.rename(workspace, "author", "writer")
    instance = SimpleNamespace(map_index=0, xcom_pull=lambda **_: chosen)
    assert open_task(tasks_of_run.chosen_task(instance)).task.name == "writer"


@pytest.mark.usefixtures("several")
def test_a_task_without_annotations_is_trained_again_when_it_has_one(tasks_of_run, workspace):
    with workspace.with_task("author").database.begin() as connection:
        (article,) = add_articles(connection, [("b", "another text", "train")])
        annotate(connection, article, "ann")
    assert names(tasks_of_run.choose_for_training(TRAINING)) == ["topic", "author"]
    run(workspace.database, "UPDATE tasks SET archived_at = now() WHERE name = 'topic'")
    assert names(tasks_of_run.choose_for_training(TRAINING)) == ["author"]
