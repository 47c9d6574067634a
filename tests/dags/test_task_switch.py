"""The pages of a database with several tasks: the switch, links, and actions on the chosen task."""

from __future__ import annotations

import re
from html import unescape
from unittest.mock import Mock

import pytest

from classifier import registry
from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import history, model_details
from tests.support.page_routes import FORMS, routes
from tests.support.synthetic import ingest_file, unlabelled
from tests.support.tiny_models import make_artefact
from tests.support.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("default")

AUTHOR = 'author & "editor"'
QUERY = "task=author%20%26%20%22editor%22"


@pytest.fixture
def several(workspace, tmp_path):
    """The tasks topic, with the champions m1 and then m2, and author, with a1 and then a2; and an archived one."""
    for name in ("topic", AUTHOR, "place"):
        tasks.add(workspace, name)
    tasks.archive(workspace, "place")
    ingest_file(workspace.with_task("topic"), tmp_path / "x.csv", unlabelled(20))
    for task, names in (("topic", ("m1", "m2")), (AUTHOR, ("a1", "a2"))):
        opened = workspace.with_task(task)
        for seed, name in enumerate(names):
            files = make_artefact(workspace.models / name, seed=seed)
            with opened.database.begin() as connection:
                model = registry.register(connection, name, files, {})
                registry.decide(connection, model, "promoted", "because", decided_by="test", statistics={})
        queue.label_queue(opened)


def champion(workspace, task):
    return model_details.describe_model(workspace.with_task(task), "champion").name


def own_links(page):
    """Return the addresses in a page's links, forms and live sections."""
    links = re.findall(r'(?:href|action|data-live)="(/classifier/(?!static/)[^"]*)"', page)
    assert links
    return [unescape(address) for address in links]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("path", ["/", "/models", "/categories", "/review", "/drift", "/problems"])
def test_with_one_task_no_page_has_a_switch_or_names_the_task(ask, path):
    page = ask(path, "admin").text
    assert 'aria-label="Task"' not in page
    assert "task=" not in page
    assert "default" not in page


@pytest.mark.usefixtures("several")
def test_the_switch_leads_to_the_same_page_of_each_task_and_marks_the_shown_one(ask):
    page = ask(f"/models?{QUERY}").text
    switch = re.search(r'<nav class="tasks" aria-label="Task">(.*?)</nav>', page, re.DOTALL)[1]
    assert re.findall(r'href="([^"]+)"( aria-current="true")?', switch) == [
        ("/classifier/models?task=topic", ""),
        (f"/classifier/models?{QUERY}", ' aria-current="true"'),
    ]
    assert "author &amp; &#34;editor&#34;</a>" in switch


@pytest.mark.usefixtures("several")
def test_a_command_that_a_page_names_names_the_task(ask):
    assert "classifier drift --task topic</code>" in unescape(ask("/drift").text)
    option = "--task 'author & \"editor\"'"
    assert f"classifier drift {option}</code>" in unescape(ask(f"/drift?{QUERY}").text)
    assert f"classifier evaluate a2 {option}</code>" in unescape(ask(f"/?{QUERY}").text)


@pytest.mark.usefixtures("several")
def test_each_task_has_its_own_pages_and_the_first_one_is_shown_by_default(ask):
    for _ in range(2):  # the second time from the cache
        for query, own, other in (("", "m2", "a2"), ("?task=topic", "m2", "a2"), (f"?{QUERY}", "a2", "m2")):
            page = ask(f"/{query}").text
            assert f">{own}</a>" in page
            assert other not in page
            assert "20 labelled, 0 not" in page


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/models",
        "/models/a1",
        "/categories",
        "/review",
        "/review/next",
        "/drift",
        "/problems",
        "/sections/backlog",
    ],
)
def test_every_link_form_and_live_section_keeps_the_task(ask, path):
    answer = ask(f"{path}?{QUERY}", "admin")
    assert answer.status_code == 200
    if path == "/sections/backlog":
        return
    links = own_links(answer.text)
    assert {"task=topic"} == {link.partition("?")[2] for link in links if QUERY not in link}, "only the switch"
    assert all(link.count("task=") == 1 for link in links)


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("name", ["places", "place", "1", '"><script>alert(1)</script>'])
def test_an_unknown_or_archived_task_is_not_found_and_the_page_links_to_the_tasks(ask, name):
    answer = ask("/models", params={"task": name})
    assert answer.status_code == 404
    assert f"{name}: no such task" in unescape(answer.text)
    assert "<script>alert" not in answer.text
    assert own_links(answer.text) == ["/classifier/?task=topic", f"/classifier/?{QUERY}"]


@pytest.mark.usefixtures("several")
def test_a_user_who_is_not_logged_in_learns_nothing_about_tasks(ask):
    answer = ask("/?task=x", "anonymous")
    assert answer.status_code == 401
    assert "topic" not in answer.text


@pytest.mark.usefixtures("several")
def test_a_rollback_changes_the_champion_of_the_chosen_task_only(ask, workspace):
    assert "a2</a>" in ask(f"/?{QUERY}").text
    page = ask(f"/models?{QUERY}", "user").text
    address = unescape(re.search(r'action="/classifier(/rollback[^"]*)"', page)[1])
    answer = ask(address, "user", method="POST", data={"to": "a1", "reason": "a2 is worse"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/classifier/models?done=rolled-back&{QUERY}"
    assert (champion(workspace, "topic"), champion(workspace, AUTHOR)) == ("m2", "a1")
    assert "a1</a>" in ask(f"/?{QUERY}").text, "nothing older is shown"
    assert "m2</a>" in ask("/").text


@pytest.mark.usefixtures("several")
def test_a_model_of_another_task_is_not_acted_on(ask, workspace):
    answer = ask("/rollback?task=topic", "user", method="POST", data={"to": "a1", "reason": "a mistake"})
    assert answer.status_code == 409
    assert "is a model of the task" in answer.text
    assert len(history.read_history(workspace.with_task("topic"))) == 2
    assert ask("/rollback?task=x", "user", method="POST", data={"to": "m1", "reason": "why"}).status_code == 404


@pytest.mark.usefixtures("several")
def test_a_promotion_is_a_run_for_the_chosen_task(ask, monkeypatch):
    from classifier_ui import actions

    trigger = Mock()
    monkeypatch.setattr(actions, "trigger_dag", trigger)
    form = {"model": "a1", "reason": "a second look"}
    assert ask(f"/promote?{QUERY}", "user", method="POST", data=form).status_code == 303
    assert trigger.call_args.kwargs["conf"] == {
        "candidate": "a1", "reason": "a second look", "min_new_annotations": 0, "task": AUTHOR,
    }  # fmt: skip


def test_the_parameter_task_of_a_triggered_run_is_one_of_its_dag(dagbag):
    for name in ("retrain_classifier", "label_articles", "watch_classifier", "review_articles"):
        assert "task" in dagbag.dags[name].params


@pytest.mark.usefixtures("several")
def test_the_address_of_a_model_leads_to_its_task(ask):
    answer = ask("/models/a1")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/classifier/models/a1?{QUERY}")
    assert ask(f"/models/a1?{QUERY}").status_code == 200
    assert "no such model" in ask("/models/m9").text


@pytest.mark.usefixtures("several")
def test_permissions_are_the_same_for_every_task(page_app, ask, monkeypatch):
    from classifier_ui import actions

    monkeypatch.setattr(actions, "trigger_dag", Mock())
    for method, _, path in routes(page_app):
        data = FORMS if method == "POST" else None
        for query in ("task=topic", QUERY):
            assert ask(f"{path}?{query}", "anonymous", method=method, data=data).status_code == 401
            viewer = ask(f"{path}?{query}", "viewer", method=method, data=data).status_code
            assert (viewer == 403) == (method == "POST"), path


@pytest.mark.usefixtures("airflow")
def test_the_tab_of_a_labelling_adds_up_what_waits_in_each_task():
    from classifier_ui.runs import RunView, TaskResult

    shares = [{"task": {"id": task}, "worker": worker} for task in (1, 2) for worker in (0, 1)]
    ended = [
        TaskResult("label", index, "", "success", 1.0, counts)
        for index, counts in enumerate([{"waiting": 5}, {"waiting": 3}, {"waiting": 40}, None])
    ]
    choose = TaskResult("workers", -1, "", "success", 1.0, shares)
    assert RunView("label_articles", "r", "success", (choose, *ended)).waiting == 43
    assert RunView("label_articles", "r", "success", (choose,)).waiting is None
    former = TaskResult("workers", -1, "", "success", 1.0, [0, 1])
    assert RunView("label_articles", "r", "success", (former, *ended[:2])).waiting == 3


@pytest.mark.usefixtures("several")
def test_a_task_that_is_renamed_or_added_is_in_the_switch_soon(ask, page_app, workspace):
    assert "topic</a>" in ask("/").text
    tasks.rename(workspace, "topic", "subject")
    page_app.state.cache._entries["tasks"].tried_at = -float("inf")  # as if seconds had passed
    wait_for(lambda: "subject</a>" in ask("/").text)
    assert ask("/?task=topic").status_code == 404
