"""The demo's client of Airflow's REST API asks for what it means, and says what went wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

httpx = pytest.importorskip("httpx", reason="comes with the extra 'airflow'")

from classifier.local_airflow import rest_client  # noqa: E402
from classifier.local_airflow.rest_client import DagRun, Task  # noqa: E402
from classifier.local_airflow.standalone import AirflowFailedError  # noqa: E402

RUN = {"dag_id": "d", "dag_run_id": "manual__2026-11-22T03:00:00+00:00", "state": "queued"}


class Airflow:
    """Answers from a table of (method, path) and remembers the requests."""

    def __init__(self, **answers):
        self.answers = {tuple(name.split("_", 1)): list(found) for name, found in answers.items()}
        self.requests = []

    def on(self, method, path, *found):
        self.answers[method, path] = list(found)
        return self

    def __call__(self, request):
        self.requests.append(request)
        found = self.answers[request.method, request.url.path]
        answer = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def sent(self, index=-1):
        return json.loads(self.requests[index].content)


@pytest.fixture
def airflow():
    return Airflow()


@pytest.fixture
def client(airflow):
    with rest_client.RestClient("http://airflow", transport=httpx.MockTransport(airflow), pause_s=0) as made:
        yield made


def test_it_logs_in_and_shows_its_token(airflow, client):
    airflow.on("POST", "/auth/token", httpx.Response(201, json={"access_token": "abc"}))
    airflow.on("GET", "/api/v2/dags", {"dags": [{"dag_id": "d"}]})
    client.log_in("admin", "pw")
    assert airflow.sent() == {"username": "admin", "password": "pw"}
    assert client.dags() == {"d"}
    assert airflow.requests[-1].headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("answer", "up"),
    [
        ({"metadatabase": {"status": "healthy"}}, True),
        ({"metadatabase": {"status": "unhealthy"}}, False),
        (httpx.Response(503), False),
        (httpx.ConnectError("refused"), False),
    ],
)
def test_it_is_up_when_it_has_its_database(airflow, client, answer, up):
    airflow.on("GET", "/api/v2/monitor/health", answer)
    assert client.is_up() is up


@pytest.mark.parametrize(("hours", "taken"), [(-1, True), (1, False)])
def test_a_run_takes_the_place_of_one_that_is_due(airflow, client, hours, taken):
    due = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    airflow.on("GET", "/api/v2/dags/d", {"next_dagrun_run_after": due, "next_dagrun_logical_date": due})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", RUN)
    assert client.trigger("d", {"epochs": 4}) == DagRun("d", RUN["dag_run_id"], "queued")
    assert airflow.sent() == {"logical_date": due if taken else None, "conf": {"epochs": 4}}


def test_a_run_whose_date_is_taken_goes_without(airflow, client):
    due = "2026-01-01T00:00:00Z"
    airflow.on("GET", "/api/v2/dags/d", {"next_dagrun_run_after": due, "next_dagrun_logical_date": due})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", httpx.Response(409), RUN)
    assert client.trigger("d", {}).state == "queued"
    assert airflow.sent()["logical_date"] is None


def test_a_pool_that_is_there_is_fine(airflow, client):
    airflow.on("POST", "/api/v2/pools", httpx.Response(409))
    client.create_pool("gpu", 1, "one at a time")
    assert airflow.sent()["slots"] == 1


def test_a_run_and_its_tasks_are_read(airflow, client):
    run = DagRun("d", "a+b/c", "queued")
    path = "/api/v2/dags/d/dagRuns/a+b/c"
    airflow.on("GET", path, {**RUN, "state": "running"})
    instances = [{"task_id": "label", "map_index": 0, "state": "success", "try_number": 2, "operator": "x"}]
    airflow.on("GET", f"{path}/taskInstances", {"task_instances": instances})
    airflow.on("GET", f"{path}/taskInstances/label/xcomEntries/return_value", {"value": {"labelled": 5}})
    assert client.run(run).state == "running"
    assert airflow.requests[-1].url.raw_path == b"/api/v2/dags/d/dagRuns/a%2Bb%2Fc"
    assert client.tasks(run) == [Task("label", 0, "success", 2)]
    assert client.returned(run, Task("label", 0, "success", 2)) == {"labelled": 5}
    assert airflow.requests[-1].url.params["map_index"] == "0"


def test_a_task_that_returned_nothing_has_none(airflow, client):
    airflow.on("GET", "/api/v2/dags/d/dagRuns/r/taskInstances/t/xcomEntries/return_value", httpx.Response(404))
    assert client.returned(DagRun("d", "r", "success"), Task("t", -1, "skipped", 1)) is None


def test_a_log_is_its_events(airflow, client):
    text = '{"event": "step 1 of 9", "level": "info"}\nnot json\n{"event": 3}\n{"event": "step 2 of 9"}\n'
    airflow.on("GET", "/api/v2/dags/d/dagRuns/r/taskInstances/t/logs/1", httpx.Response(200, text=text))
    assert client.log(DagRun("d", "r", "running"), Task("t", -1, "running", 1)) == ["step 1 of 9", "step 2 of 9"]


def test_a_busy_server_is_asked_again(airflow, client):
    timeout = httpx.ReadTimeout("busy")
    airflow.on("GET", "/api/v2/dags", timeout, httpx.Response(500), {"dags": []})
    assert client.dags() == set()
    assert len(airflow.requests) == 3


def test_a_run_is_not_triggered_twice_by_asking_again(airflow, client):
    airflow.on("GET", "/api/v2/dags/d", {})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", httpx.ReadTimeout("busy"))
    with pytest.raises(AirflowFailedError, match="does not answer"):
        client.trigger("d", {})
    assert [request.method for request in airflow.requests] == ["GET", "POST"]


def test_a_refusal_says_what_was_refused(airflow, client):
    airflow.on("PATCH", "/api/v2/dags/d", httpx.Response(403, text="Forbidden"))
    with pytest.raises(AirflowFailedError, match=r"PATCH /api/v2/dags/d: 403 Forbidden"):
        client.unpause("d")


def test_runs_that_were_left_are_ended(airflow, client):
    airflow.on("GET", "/api/v2/dags/d/dagRuns", {"dag_runs": [{**RUN, "dag_run_id": "r"}]})
    airflow.on("PATCH", "/api/v2/dags/d/dagRuns/r", {})
    [left] = client.unfinished("d")
    assert airflow.requests[-1].url.params.get_list("state") == ["queued", "running"]
    client.end(left, "interrupted")
    assert airflow.sent() == {"state": "failed", "note": "interrupted"}
