"""`make stack-test` reads docker-compose.yml as Compose does, and replaces what containers provide."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
import redis

from tests.support.stack import compose, container_host
from tests.support.stack.stack import ROOT, declared


@pytest.fixture(scope="module")
def stack():
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    yield declared(folder, CLASSIFIER_ENCODER="/some/encoder")
    shutil.rmtree(folder)


def environment(stack, name):
    return stack.host.environment(stack.services[name], f"{name}-1")


def test_a_variable_has_its_value_or_its_default_and_two_dollars_are_one():
    values = {"SET": "mine", "EMPTY": ""}
    template = {"a": ["${SET} ${SET:-no}", "${EMPTY:-default}", "${MISSING:-}", "$$SET", "${EMPTY}"], "b": 3}
    assert compose.replaced(template, values) == {"a": ["mine mine", "default", "", "$SET", ""], "b": 3}


@pytest.mark.parametrize("template", ["${EMPTY:?set it}", "${MISSING:?set it}"])
def test_a_missing_required_variable_is_named_with_what_to_do(template):
    with pytest.raises(compose.ComposeError, match=r"^required variable (EMPTY|MISSING): set it$"):
        compose.replaced(template, {"EMPTY": ""})


@pytest.mark.parametrize("template", ["$SET", "${SET-x}", "${SET:+x}", "${A.B}", "${"])
def test_an_unknown_form_of_variable_is_an_error(template):
    with pytest.raises(compose.ComposeError, match="unknown form of variable"):
        compose.replaced(template, {"SET": "mine"})


def test_durations_are_read_as_seconds():
    assert [compose.seconds(duration) for duration in ("10s", "1m30s", "1h", "500ms")] == [10, 90, 3600, 0.5]
    with pytest.raises(compose.ComposeError, match="not a duration"):
        compose.seconds("10 s")


def test_a_service_has_everything_that_the_file_declares_through_anchors(stack):
    worker = stack.services["gpu-worker"]
    assert worker.command == ("airflow", "celery", "worker", "-q", "gpu", "-c", "1", "--skip-serve-logs")
    assert worker.environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert worker.environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert worker.environment["CLASSIFIER_ENCODER"] == "/some/encoder"
    assert worker.waits_for == {
        "init": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "api-server": "service_healthy",
    }
    assert (worker.restarts, worker.grace_s, worker.check.retries) == (True, 3600, 3)
    assert not stack.services["init"].restarts
    assert stack.services["postgres"].check.command[2].startswith('PGPASSWORD="$ARTICLES_DB_PASSWORD" psql ')


def test_a_task_retries_for_longer_than_a_restart_of_the_api_server_and_stops_before_its_heartbeat_times_out(stack):
    declared_values = stack.services["cpu-worker"].environment
    attempts = int(declared_values["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"])
    longest = float(declared_values["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX"])
    # Airflow's client waits a random time between 1 s and a limit that doubles with each attempt
    mean_s = sum((1 + min(longest, 2.0**number)) / 2 for number in range(attempts - 1))
    assert 90 < mean_s < float(declared_values["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) - longest


def test_no_started_process_has_a_host_name_or_folder_of_the_containers(stack):
    inside = re.compile(rf"(@|//)({'|'.join(stack.services)}):\d|(?<![\w.-])/(opt/airflow|var/lib/classifier|data)\b")
    for name, service in stack.services.items():
        check = [stack.host.text(name, word) for word in service.check.command] if service.check else []
        values = "\n".join([*environment(stack, name).values(), *stack.host.command(service), *check])
        assert not inside.search(values.replace(str(stack.host.path("/")), "here")), name


def test_a_service_connects_to_the_ports_on_which_the_others_listen(stack):
    ports = {name: port for (name, _), port in stack.host.ports.items()}
    scheduler = environment(stack, "scheduler")
    assert f"@127.0.0.1:{ports['postgres']}/airflow" in scheduler["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert f"@127.0.0.1:{ports['redis']}/0" in scheduler["AIRFLOW__CELERY__BROKER_URL"]
    server = environment(stack, "api-server")
    assert server["AIRFLOW__API__PORT"] == str(ports["api-server"])
    assert scheduler["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == server["AIRFLOW__API__BASE_URL"] + "/execution/"
    assert len(set(ports.values())) == 4


def test_a_service_gets_the_files_of_its_image_from_the_checkout_and_no_variable_of_this_process(stack, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_HOME", "/of/this/process")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    worker = environment(stack, "cpu-worker")
    assert Path(worker["AIRFLOW__CORE__DAGS_FOLDER"]).resolve() == ROOT / "dags"
    assert Path(stack.host.command(stack.services["init"])[1]).resolve() == ROOT / "docker" / "init.sh"
    assert worker["CLASSIFIER_HOME"] == str(stack.host.path("/var/lib/classifier/home"))
    assert worker["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert (Path(worker["AIRFLOW_HOME"]) / "logs").resolve() == stack.host.path("/opt/airflow/logs")


@pytest.fixture(params=["redis-server", "Valkey"])
def own_stack(request, monkeypatch):
    """Declare a stack whose broker is one of the two servers."""
    if request.param == "Valkey":
        monkeypatch.setattr(container_host.shutil, "which", lambda _: None)
    elif not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    stack = declared(folder)
    yield stack
    stack.down()
    shutil.rmtree(folder)


def test_redis_as_declared_requires_its_password_and_keeps_queued_tasks_when_it_is_killed(own_stack):
    own_stack._start(own_stack.services["redis"])
    own_stack.wait_until_healthy("redis")
    port = own_stack.host.ports["redis", "6379"]
    with redis.Redis(port=port, password=own_stack.variables["REDIS_PASSWORD"]) as client:
        client.lpush("queued", "a task")
    with redis.Redis(port=port) as anonymous, pytest.raises(redis.AuthenticationError):
        anonymous.ping()
    own_stack.container("redis").kill()
    own_stack.container("redis").start()
    own_stack.wait_until_healthy("redis")
    with redis.Redis(port=port, password=own_stack.variables["REDIS_PASSWORD"]) as client:
        assert client.lrange("queued", 0, -1) == [b"a task"]
