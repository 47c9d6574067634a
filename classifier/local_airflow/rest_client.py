"""The calls of Airflow's REST API that the demo, the tests and the benchmarks make.

Apache's generated client covers the same calls, but neither the log-in nor the retries nor a run's logs as lines:
the wrapper around it would be as long as this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from classifier.local_airflow.standalone import AirflowFailedError

FINISHED = frozenset({"success", "failed"})

_ATTEMPTS = 4
"""Attempts of a call: a training on all cores may keep the API server from answering in time."""


@dataclass(frozen=True, slots=True)
class DagRun:
    """A run of a DAG."""

    dag: str
    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run; `index` is -1 unless it is mapped, `attempt` counts from 1."""

    name: str
    index: int
    state: str | None
    attempt: int


class RestClient:
    """A client of an Airflow's API, with the administrator's permissions once it has logged in."""

    def __init__(self, address: str, *, transport: httpx.BaseTransport | None = None, pause_s: float = 2) -> None:
        self._http = httpx.Client(base_url=address, timeout=30, transport=transport, trust_env=False)
        self._pause_s = pause_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def is_up(self) -> bool:
        """Return whether the API server answers and reaches its database."""
        try:
            response = self._http.get("/api/v2/monitor/health")
            return bool(response.is_success and response.json()["metadatabase"]["status"] == "healthy")
        except httpx.TransportError:
            return False

    def log_in(self, user: str, password: str) -> None:
        """Get a token and send it with all further calls."""
        credentials = {"username": user, "password": password}
        token = self._call("POST", "/auth/token", json=credentials).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def dags(self) -> set[str]:
        """Return the ids of the DAGs that have been parsed."""
        return {dag["dag_id"] for dag in self._get("/dags")["dags"]}

    def import_errors(self) -> list[str]:
        """Return each file that could not be parsed, with the last line of its error."""
        errors = self._get("/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def create_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool; an existing one is not changed."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        self._call("POST", "/api/v2/pools", json=body, accepted=(409,))

    def create_connection(self, connection: Mapping[str, str]) -> None:
        """Create a connection from its fields."""
        self._call("POST", "/api/v2/connections", json=dict(connection))

    def pause(self, dag: str) -> None:
        """Keep further runs of the DAG from starting."""
        self._call("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": True})

    def unpause(self, dag: str) -> None:
        """Allow runs of the DAG to start."""
        self._call("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": False})

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> DagRun:
        """Create a run of a DAG.

        When a DAG is unpaused for the first time, its schedule has a run due at once. The new run takes that run's
        date and so replaces it.
        """
        path = f"/api/v2/dags/{dag}/dagRuns"
        body = {"logical_date": self._due_date(dag), "conf": dict(conf)}
        response = self._call("POST", path, json=body, accepted=(409,))
        if response.status_code == 409:  # the scheduler has created the run that was due
            response = self._call("POST", path, json={**body, "logical_date": None})
        return _dag_run(response.json())

    def _due_date(self, dag: str) -> str | None:
        details = self._get(f"/dags/{dag}")
        after = details.get("next_dagrun_run_after")
        date: str | None = details.get("next_dagrun_logical_date")
        return date if after and datetime.fromisoformat(after) <= datetime.now(UTC) else None

    def run(self, run: DagRun) -> DagRun:
        """Return the run with its current state."""
        return _dag_run(self._get(f"{_path(run)}"))

    def runs(self, dag: str, *, after: datetime) -> list[DagRun]:
        """Return the DAG's runs that were due after a moment, newest first."""
        parameters = {"run_after_gte": after.isoformat(), "order_by": "-run_after", "limit": 100}
        return [_dag_run(run) for run in self._get(f"/dags/{dag}/dagRuns", **parameters)["dag_runs"]]

    def unfinished(self, dag: str) -> list[DagRun]:
        """Return the DAG's runs that are queued or running."""
        return [_dag_run(run) for run in self._get(f"/dags/{dag}/dagRuns", state=["queued", "running"])["dag_runs"]]

    def end(self, run: DagRun, note: str) -> None:
        """Stop a run and its tasks, and mark it as failed."""
        self._call("PATCH", f"/api/v2{_path(run)}", json={"state": "failed", "note": note})

    def tasks(self, run: DagRun) -> list[Task]:
        """Return the run's tasks."""
        tasks = self._get(f"{_path(run)}/taskInstances")["task_instances"]
        return [Task(task["task_id"], task["map_index"], task["state"], task["try_number"]) for task in tasks]

    def returned(self, run: DagRun, task: Task) -> Any:
        """Return the value that a task has returned, None if it has returned nothing."""
        path = f"/api/v2{_path(run)}/taskInstances/{task.name}/xcomEntries/return_value"
        response = self._call("GET", path, params={"map_index": task.index}, accepted=(404,))
        return response.json()["value"] if response.is_success else None

    def log(self, run: DagRun, task: Task) -> list[str]:
        """Return the lines that a task has logged in its current attempt."""
        response = self._call(
            "GET",
            f"/api/v2{_path(run)}/taskInstances/{task.name}/logs/{task.attempt}",
            params={"map_index": task.index, "full_content": True},
            headers={"Accept": "application/x-ndjson"},
            accepted=(404,),
        )
        return list(_events(response.text)) if response.is_success else []

    def _get(self, path: str, **parameters: Any) -> Any:
        return self._call("GET", f"/api/v2{path}", params=parameters).json()

    def _call(self, method: str, path: str, *, accepted: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        """Return the response to a request, retried if it failed and Airflow has not acted on it."""
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _can_retry(method, error)),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_fixed(self._pause_s),
            reraise=True,
        )
        try:
            return retrying(self._request, method, path, accepted, options)
        except httpx.TransportError as error:
            raise AirflowFailedError(f"{method} {path}: Airflow does not answer ({error!r})") from error
        except httpx.HTTPStatusError as error:
            raise AirflowFailedError(
                f"{method} {path}: {error.response.status_code} {error.response.text[:300]}"
            ) from error

    def _request(self, method: str, path: str, accepted: tuple[int, ...], options: Mapping[str, Any]) -> httpx.Response:
        response = self._http.request(method, path, **options)
        return response if response.status_code in accepted else response.raise_for_status()


def _can_retry(method: str, error: BaseException) -> bool:
    if method == "POST":  # after any other error, Airflow may have created something already
        return isinstance(error, httpx.ConnectError)
    is_server_error = isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500
    return is_server_error or isinstance(error, httpx.TransportError)


def _dag_run(fields: Mapping[str, Any]) -> DagRun:
    return DagRun(fields["dag_id"], fields["dag_run_id"], fields["state"])


def _path(run: DagRun) -> str:
    return f"/dags/{run.dag}/dagRuns/{quote(run.id, safe='')}"


def _events(text: str) -> Iterator[str]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        event = entry.get("event") if isinstance(entry, dict) else None
        if isinstance(event, str):
            yield event
