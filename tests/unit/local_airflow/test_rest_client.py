"""The client of Airflow's REST API sends the right requests, retries safe ones, and reports errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

pytest.importorskip("tenacity", reason="comes with the extra 'airflow'")

from classifier.local_airflow import rest_client
from classifier.local_airflow.rest_client import DagRun, Task
from classifier.local_airflow.standalone import AirflowFailedError

RUN = {"dag_id": "d", "dag_run_id": "manual__2026-11-22T03:00:00+00:00", "state": "queued"}


class Airflow:
    """Responds from a table by (method, path) and records the requests."""

    def __init__(self):
        self.responses = {}
        self.requests = []

    def on(self, method, path, *responses):
        self.responses[method, path] = list(responses)

    def __call__(self, request):
        self.requests.append(request)
        responses = self.responses[request.method, request.url.path]
        response = responses.pop(0) if len(responses) > 1 else responses[0]
        if isinstance(response, Exception):
            raise response
        return response if isinstance(response, httpx.Response) else httpx.Response(200, json=response)

    def sent(self, index=-1):
        return json.loads(self.requests[index].content)


@pytest.fixture
def airflow():
    return Airflow()


@pytest.fixture
def client(airflow):
    with rest_client.RestClient("http://airflow", transport=httpx.MockTransport(airflow), pause_s=0) as client:
        yield client


def test_calls_after_the_log_in_send_its_token(airflow, client):
    airflow.on("POST", "/auth/token", httpx.Response(201, json={"access_token": "abc"}))
    airflow.on("GET", "/api/v2/dags", {"dags": [{"dag_id": "d"}]})
    client.log_in("admin", "pw")
    assert airflow.sent() == {"username": "admin", "password": "pw"}
    assert client.dags() == {"d"}
    assert airflow.requests[-1].headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("response", "up"),
    [
        ({"metadatabase": {"status": "healthy"}}, True),
        ({"metadatabase": {"status": "unhealthy"}}, False),
        (httpx.Response(503), False),
        (httpx.ConnectError("refused"), False),
    ],
)
def test_airflow_is_up_once_it_reaches_its_database(airflow, client, response, up):
    airflow.on("GET", "/api/v2/monitor/health", response)
    assert client.is_up() is up


@pytest.mark.parametrize(("hours", "is_due"), [(-1, True), (1, False)])
def test_a_run_replaces_one_that_is_due(airflow, client, hours, is_due):
    due = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    airflow.on("GET", "/api/v2/dags/d", {"next_dagrun_run_after": due, "next_dagrun_logical_date": due})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", RUN)
    assert client.trigger("d", {"epochs": 4}) == DagRun("d", RUN["dag_run_id"], "queued")
    assert airflow.sent() == {"logical_date": due if is_due else None, "conf": {"epochs": 4}}


def test_a_run_has_no_date_if_the_scheduler_was_faster(airflow, client):
    due = "2026-01-01T00:00:00Z"
    airflow.on("GET", "/api/v2/dags/d", {"next_dagrun_run_after": due, "next_dagrun_logical_date": due})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", httpx.Response(409), RUN)
    assert client.trigger("d", {}).state == "queued"
    assert airflow.sent()["logical_date"] is None


def test_creating_an_existing_pool_succeeds(airflow, client):
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


def test_a_task_that_returned_nothing_returns_none(airflow, client):
    airflow.on("GET", "/api/v2/dags/d/dagRuns/r/taskInstances/t/xcomEntries/return_value", httpx.Response(404))
    assert client.returned(DagRun("d", "r", "success"), Task("t", -1, "skipped", 1)) is None


def test_a_log_is_the_list_of_its_events(airflow, client):
    text = '{"event": "step 1 of 9", "level": "info"}\nnot json\n{"event": 3}\n{"event": "step 2 of 9"}\n'
    airflow.on("GET", "/api/v2/dags/d/dagRuns/r/taskInstances/t/logs/1", httpx.Response(200, text=text))
    assert client.log(DagRun("d", "r", "running"), Task("t", -1, "running", 1)) == ["step 1 of 9", "step 2 of 9"]


def test_a_call_to_a_busy_server_is_retried(airflow, client):
    timeout = httpx.ReadTimeout("busy")
    airflow.on("GET", "/api/v2/dags", timeout, httpx.Response(500), {"dags": []})
    assert client.dags() == set()
    assert len(airflow.requests) == 3


def test_triggering_a_run_is_not_retried_after_a_timeout(airflow, client):
    airflow.on("GET", "/api/v2/dags/d", {})
    airflow.on("POST", "/api/v2/dags/d/dagRuns", httpx.ReadTimeout("busy"))
    with pytest.raises(AirflowFailedError, match="does not answer"):
        client.trigger("d", {})
    assert [request.method for request in airflow.requests] == ["GET", "POST"]


def test_an_error_names_the_call_and_the_response(airflow, client):
    airflow.on("PATCH", "/api/v2/dags/d", httpx.Response(403, text="Forbidden"))
    with pytest.raises(AirflowFailedError, match=r"PATCH /api/v2/dags/d: 403 Forbidden"):
        client.unpause("d")


def test_unfinished_runs_can_be_ended(airflow, client):
    airflow.on("GET", "/api/v2/dags/d/dagRuns", {"dag_runs": [{**RUN, "dag_run_id": "r"}]})
    airflow.on("PATCH", "/api/v2/dags/d/dagRuns/r", {})
    [unfinished] = client.unfinished("d")
    assert airflow.requests[-1].url.params.get_list("state") == ["queued", "running"]
    client.end(unfinished, "interrupted")
    assert airflow.sent() == {"state": "failed", "note": "interrupted"}
