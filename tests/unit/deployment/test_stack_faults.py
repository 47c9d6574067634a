"""`make stack-test` starts what docker-compose.yml declares: the reading of it, and what is translated."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
import redis

from tests.support.stack import compose, ground
from tests.support.stack.stack import ROOT, declared


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


def test_a_task_tries_for_longer_than_a_restart_of_the_api_server_and_gives_up_before_it_is_taken_for_dead(stack):
    declares = stack.services["cpu-worker"].environment
    tries = int(declares["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"])
    longest = float(declares["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX"])
    # drawn between 1 s and twice what it was before, as Airflow's client does
    mean_s = sum((1 + min(longest, 2.0**number)) / 2 for number in range(tries - 1))
    assert 90 < mean_s < float(declares["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) - longest


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


@pytest.fixture(params=["of the path", "of the extra"])
def own_stack(request, monkeypatch):
    """A stack whose Redis is either server."""
    if request.param == "of the extra":
        monkeypatch.setattr(ground.shutil, "which", lambda _: None)
    elif not shutil.which("redis-server"):
        pytest.skip("there is no redis-server")
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    made = declared(folder)
    yield made
    made.down()
    shutil.rmtree(folder)


def test_redis_as_it_is_declared_wants_its_password_and_keeps_what_is_queued_when_it_is_killed(own_stack):
    own_stack._start(own_stack.services["redis"])
    own_stack.wait_until_healthy("redis")
    port = own_stack.ground.ports["redis", "6379"]
    with redis.Redis(port=port, password=own_stack.variables["REDIS_PASSWORD"]) as client:
        client.lpush("queued", "a task")
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    own_stack.container("redis").kill()
    own_stack.container("redis").start()
    own_stack.wait_until_healthy("redis")
    with redis.Redis(port=port, password=own_stack.variables["REDIS_PASSWORD"]) as client:
        assert client.lrange("queued", 0, -1) == [b"a task"]
