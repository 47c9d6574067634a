"""The few calls of Airflow's REST API that the demo needs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from classifier.local_airflow.standalone import AirflowFailedError

FINISHED = frozenset({"success", "failed"})

_TRIES = 4
"""A training on all cores may keep the API server from answering in time."""


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
    """An Airflow, as its administrator sees it."""

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
        """Say whether the API server answers and has its database."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
            return bool(answer.is_success and answer.json()["metadatabase"]["status"] == "healthy")
        except httpx.TransportError:
            return False

    def log_in(self, user: str, password: str) -> None:
        """Get a token for all further calls."""
        token = self._call("POST", "/auth/token", json={"username": user, "password": password}).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def dags(self) -> set[str]:
        """Return the ids of the DAGs that have been parsed."""
        return {dag["dag_id"] for dag in self._get("/dags")["dags"]}

    def import_errors(self) -> list[str]:
        """Return the last line of each file's error that kept its DAG from being parsed."""
        errors = self._get("/importErrors")["import_errors"]
        return [f"{one['filename']}: {one['stack_trace'].strip().splitlines()[-1]}" for one in errors]

    def create_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool; one that is there stays as it is."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        self._call("POST", "/api/v2/pools", json=body, borne=(409,))

    def unpause(self, dag: str) -> None:
        """Let the DAG's runs begin."""
        self._call("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": False})

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> DagRun:
        """Create a run of a DAG.

        A run that the DAG's schedule has due at once, as it has when it is unpaused for the first time, is not
        wanted besides: the new run takes its place by taking its date.
        """
        body = {"logical_date": self._due(dag), "conf": dict(conf)}
        answer = self._call("POST", f"/api/v2/dags/{dag}/dagRuns", json=body, borne=(409,))
        if answer.status_code == 409:  # the schedule was faster
            answer = self._call("POST", f"/api/v2/dags/{dag}/dagRuns", json={**body, "logical_date": None})
        return _run(answer.json())

    def _due(self, dag: str) -> str | None:
        found = self._get(f"/dags/{dag}")
        after = found.get("next_dagrun_run_after")
        due: str | None = found.get("next_dagrun_logical_date")
        return due if after and datetime.fromisoformat(after) <= datetime.now(UTC) else None

    def run(self, run: DagRun) -> DagRun:
        """Return the run as it is now."""
        return _run(self._get(f"{_path(run)}"))

    def runs(self, dag: str, *, after: datetime) -> list[DagRun]:
        """Return the DAG's runs that were due after a moment, newest first."""
        found = self._get(f"/dags/{dag}/dagRuns", run_after_gte=after.isoformat(), order_by="-run_after", limit=100)
        return [_run(one) for one in found["dag_runs"]]

    def unfinished(self, dag: str) -> list[DagRun]:
        """Return the DAG's runs that wait or are under way."""
        return [_run(one) for one in self._get(f"/dags/{dag}/dagRuns", state=["queued", "running"])["dag_runs"]]

    def end(self, run: DagRun, note: str) -> None:
        """End a run, with its tasks, as failed."""
        self._call("PATCH", f"/api/v2{_path(run)}", json={"state": "failed", "note": note})

    def tasks(self, run: DagRun) -> list[Task]:
        """Return the run's tasks."""
        found = self._get(f"{_path(run)}/taskInstances")["task_instances"]
        return [Task(one["task_id"], one["map_index"], one["state"], one["try_number"]) for one in found]

    def returned(self, run: DagRun, task: Task) -> Any:
        """Return what a task has returned, None if it has not."""
        path = f"/api/v2{_path(run)}/taskInstances/{task.name}/xcomEntries/return_value"
        answer = self._call("GET", path, params={"map_index": task.index}, borne=(404,))
        return answer.json()["value"] if answer.is_success else None

    def log(self, run: DagRun, task: Task) -> list[str]:
        """Return the lines that a task has logged in its present attempt."""
        path = f"/api/v2{_path(run)}/taskInstances/{task.name}/logs/{task.attempt}"
        answer = self._call(
            "GET",
            path,
            params={"map_index": task.index, "full_content": True},
            headers={"Accept": "application/x-ndjson"},
            borne=(404,),
        )
        return list(_events(answer.text)) if answer.is_success else []

    def _get(self, path: str, **parameters: Any) -> Any:
        return self._call("GET", f"/api/v2{path}", params=parameters).json()

    def _call(self, method: str, path: str, *, borne: tuple[int, ...] = (), **more: Any) -> httpx.Response:
        for left in reversed(range(_TRIES)):
            try:
                answer = self._http.request(method, path, **more)
            except httpx.TransportError as error:
                if not left or (method == "POST" and not isinstance(error, httpx.ConnectError)):
                    raise AirflowFailedError(f"{method} {path}: Airflow does not answer ({error!r})") from error
                time.sleep(self._pause_s)
                continue
            if answer.is_success or answer.status_code in borne:
                return answer
            if answer.status_code < 500 or not left or method == "POST":
                raise AirflowFailedError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            time.sleep(self._pause_s)
        raise AssertionError("unreachable")  # pragma: no cover


def _run(found: Mapping[str, Any]) -> DagRun:
    return DagRun(found["dag_id"], found["dag_run_id"], found["state"])


def _path(run: DagRun) -> str:
    return f"/dags/{run.dag}/dagRuns/{quote(run.id, safe='')}"


def _events(text: str) -> Iterator[str]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        event = found.get("event") if isinstance(found, dict) else None
        if isinstance(event, str):
            yield event
