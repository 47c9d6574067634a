"""The stack in containers is installed, used, broken, restored and upgraded. The tests depend on their order."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.containers import engine, work
from tests.support.containers.engine import Containers
from tests.support.containers.work import ContainerWork

pytestmark = pytest.mark.filterwarnings("default")

ANNOTATED = 450
BATCH = 200
RATE = 8.0
TRAINING_S = 60.0
PAUSE_S = 60.0
NOTHING = {"missing": 0, "doubled": 0, "mixed": 0}
INSTALL = "docs/how-to/install.md"
BACKUP = "docs/how-to/back-up-and-restore.md"
UPGRADE = "docs/how-to/upgrade.md"
SLOW = 600.0


@pytest.fixture(scope="session")
def articles() -> Iterator[dict[str, str]]:
    """Return an iterator over the real articles; each is taken once."""
    return iter(work.real_articles())


@pytest.fixture(scope="session")
def drill(containers):
    """Return the work on the healthy stack."""
    return ContainerWork.of(containers, containers.folder / "var" / "inbox")


def take(articles, count):
    return [next(articles) for _ in range(count)]


@contextmanager
def timed():
    """Yield a function that returns the seconds since the beginning."""
    began = time.monotonic()
    yield lambda: time.monotonic() - began


def install(containers: Containers, report) -> None:
    """Follow the install page: `.env`, both images, the services."""
    generate, *following = engine.page_lines(INSTALL, "generate_env")
    if not Path("/dev/nvidia0").exists():
        generate = generate.split("# without a GPU: ")[1]
    containers.run([generate])
    containers.configure()
    if "ARTICLE_CLASSIFIER_IMAGE" in containers.settings:  # images that exist already, as a registry's do
        following.remove("docker compose build")
    for line in following:
        with timed() as seconds:
            containers.run([line])
        report.step(f"`{line}`", "as the page says", seconds())


def test_the_install_page_leads_to_healthy_services(containers, report):
    install(containers, report)
    with timed() as seconds:
        waited = containers.wait_until_healthy()
    report.step("every service healthy, `init` ended with 0", f"{waited:.0f} s after `up` returned", seconds())
    listed = containers.run(["docker compose ps -a"])
    assert "init" in listed
    report.memory_mib = containers.memory_mib()
    image = containers.inspect("scheduler", "{{.Config.Image}}")
    report.images_mb[image] = engine.image_size_mb(image)


def test_the_image_of_the_gpu_is_built_too(containers, report):
    if "ARTICLE_CLASSIFIER_IMAGE" in containers.settings:
        pytest.skip("ARTICLE_CLASSIFIER_IMAGE names images that exist already")
    with timed() as seconds:
        containers.shell("docker compose --profile gpu build gpu-worker 2>&1", timeout_s=3600)
    report.step("`docker compose --profile gpu build gpu-worker`", "", seconds())
    images = containers.shell("docker compose --profile gpu config --images").split()
    image = next(name for name in images if name.endswith("-gpu"))
    report.images_mb[image] = engine.image_size_mb(image)
    check = "import torch, keras, keras_hub; print(keras.backend.backend())"
    printed = containers.shell(f"docker run --rm --read-only --tmpfs /tmp {image} python -c '{check}' 2>/dev/null")
    assert printed.split()[-1] == "torch"


@pytest.mark.parametrize("service", ["api-server", "scheduler", "dag-processor", "triggerer", "cpu-worker"])
def test_a_service_runs_as_an_ordinary_user_and_cannot_write_to_its_image(containers, service):
    assert containers.shell(f"docker compose exec -T {service} id -u").strip() == "50000"
    with pytest.raises(engine.ContainersError, match="Read-only file system"):
        containers.shell(f"docker compose exec -T {service} touch /opt/airflow/dags/new.py")


def test_an_encoder_is_copied_as_the_page_says_and_replaced_by_the_same_lines(containers, report, articles):
    rows = work.real_articles()
    lines = engine.page_lines(INSTALL, "CLASSIFIER_ENCODER=")
    work.make_encoder(containers.folder / "encoder", rows[:5])
    containers.shell("chmod -R go= encoder")
    with timed() as seconds:
        containers.run(lines)
        containers.wait_until_healthy()
    work.make_encoder(containers.folder / "encoder", rows)
    containers.shell("chmod -R go= encoder")
    containers.run(lines[:-1])
    printed = containers.shell(
        "docker compose exec -T cpu-worker sh -c 'cd $CLASSIFIER_ENCODER && ls && cat config.json'"
    )
    assert "encoder" not in printed.split()
    size = re.search(r'"vocab_size": (\d+)', printed)
    assert size
    assert int(size[1]) > 3500, "the first one is still in use"
    report.step("an encoder copied, then another one", "the second is in use", seconds())


def test_real_articles_become_a_champion_that_the_page_shows(drill, report, articles, containers):
    drill.until(
        lambda: {"ingest_articles", "label_articles"} <= drill.client.dags(), "DAGs", drill.client.import_errors
    )
    work.note_predictions(drill.database)
    drill.until(lambda: "No model has been trained yet" in show_page(containers), "the page of an empty database")
    file = drill.drop("annotated.csv", take(articles, ANNOTATED), annotated=True)
    with timed() as seconds:
        drill.ingest_file(file, category="category", proportions="0.6,0.2,0.2")
    assert drill.value("SELECT count(*) FROM annotations") == ANNOTATED
    report.step("ingest of annotated articles from the inbox", f"{ANNOTATED} articles", seconds())
    with timed() as seconds:
        drill.succeeded(drill.begin("ingest_articles"))
    assert drill.value("SELECT count(*) FROM articles") == ANNOTATED
    report.step("a run of `ingest_articles` as the schedule starts it", "nothing is ingested again", seconds())
    with timed() as seconds:
        run = drill.begin_training()
        drill.succeeded(run)
    champion = drill.value("SELECT name FROM models WHERE status = 'champion'")
    assert champion, drill.describe(run)
    report.step("training, evaluation, promotion", "the first model is the champion", seconds())
    assert champion in show_page(containers), "the page shows what was read before the promotion"
    report.step("the page after a login, before and after the promotion", "no model, then the champion", 0)


def show_page(containers) -> str:
    """Log in and return the classifier's page of models; without the login it is refused."""
    address = containers.variable("AIRFLOW_BASE_URL")
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        assert client.get("/classifier/models").status_code == 401
        credentials = {"username": "admin", "password": containers.variable("AIRFLOW_ADMIN_PASSWORD")}
        token = client.post("/auth/token", json=credentials).json()["access_token"]
        response = client.get("/classifier/models", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    return response.text


def test_the_queue_is_labelled(drill, report):
    with timed() as seconds:
        drill.succeeded(drill.begin("label_articles"))
    assert drill.value("SELECT count(*) FROM labelling_queue") == 0
    report.step("labelling", f"{drill.labelled()} articles", seconds())


def begun_labelling(drill, articles):
    """Ingest articles and start to label them; return the run when some batches are committed."""
    name = f"batch-{time.monotonic_ns()}.csv"
    drill.ingest_file(drill.drop(name, take(articles, BATCH), annotated=False), proportions="1,0,0")
    before = drill.labelled()
    run = drill.begin_labelling(rate=RATE)
    drill.until(lambda: drill.labelled() >= before + 25, "a first batch", lambda: drill.describe(run), within_s=SLOW)
    return run


def begun_training(drill, *, seed):
    """Start a training; return its run when it has saved a state."""
    run = drill.begin_training(seconds=TRAINING_S, seed=seed)

    def has_begun():
        training = drill.training()
        return training.status == "running" and training.step > training.steps / 4

    drill.until(has_begun, "a quarter of a training", lambda: drill.describe(run), within_s=SLOW)
    return run


def ended(drill, report, run, task, fault, happened, seconds):
    """Wait for a run and report how it ended."""
    end = drill.finished(run)
    attempt = drill.task(run, task).attempt
    report.fault(fault, f"{happened}; ended in attempt {attempt}", end, seconds())
    assert end == "success", drill.describe(run)


def test_a_killed_worker_loses_neither_labels_nor_a_training(drill, report, articles, containers):
    training = begun_training(drill, seed=2)
    labelling = begun_labelling(drill, articles)
    step = drill.training().step
    containers.crash("cpu-worker")
    with timed() as seconds:
        ended(drill, report, labelling, "label", "the worker killed in the middle of labelling", "restarted", seconds)
        ended(
            drill, report, training, "train", "the same, in the middle of training", f"killed at step {step}", seconds
        )
    assert drill.training().attempts == 2
    resumed = re.findall(r" from step (\d+) of ", "\n".join(drill.log(training, "train")))
    assert resumed
    assert int(resumed[-1]) > 0
    containers.wait_until_healthy()
    assert drill.count_lost() == NOTHING


def test_postgres_restarts_during_labelling_and_training(drill, report, articles, containers):
    training = begun_training(drill, seed=3)
    labelling = begun_labelling(drill, articles)
    with timed() as seconds:
        containers.shell("docker compose restart --timeout 0 postgres 2>&1")
        ready = containers.wait_until_healthy()
        happened = f"healthy after {ready:.0f} s"
        ended(drill, report, labelling, "label", "Postgres killed and restarted during labelling", happened, seconds)
        ended(drill, report, training, "train", "the same, during training", happened, seconds)
    assert drill.count_lost() == NOTHING


def test_redis_pauses_for_a_minute(drill, report, articles, containers):
    labelling = begun_labelling(drill, articles)
    file = drill.drop("during-the-pause.csv", take(articles, 20), annotated=False)
    with timed() as seconds:
        containers.shell("docker compose pause redis 2>&1")
        run = drill.client.trigger("ingest_articles", {"files": file, "proportions": "1,0,0"})
        time.sleep(PAUSE_S)
        containers.shell("docker compose unpause redis 2>&1")
        fault = f"Redis paused for {PAUSE_S:.0f} s during labelling"
        ended(drill, report, labelling, "label", fault, "labelled meanwhile", seconds)
        ended(drill, report, run, "verdict", "an ingest during the pause", "20 articles", seconds)
    containers.wait_until_healthy()
    assert drill.count_lost() == NOTHING


def test_the_api_server_restarts_during_labelling(drill, report, articles, containers):
    labelling = begun_labelling(drill, articles)
    with timed() as seconds:
        containers.shell("docker compose restart api-server 2>&1")
        ready = containers.wait_until_healthy()
        happened = f"healthy after {ready:.0f} s"
        ended(drill, report, labelling, "label", "the API server restarted during labelling", happened, seconds)
    assert drill.task(labelling, "label").attempt == 1
    assert drill.count_lost() == NOTHING


def test_the_stack_goes_down_and_up_during_labelling(drill, report, articles, containers):
    labelling = begun_labelling(drill, articles)
    with timed() as seconds:
        containers.shell("docker compose down 2>&1 && docker compose up -d 2>&1")
        ready = containers.wait_until_healthy()
        happened = f"healthy {ready:.0f} s after `up`"
        fault = "`docker compose down && docker compose up -d` during labelling"
        ended(drill, report, labelling, "label", fault, happened, seconds)
    assert drill.count_lost() == NOTHING


def test_a_full_disk_of_the_models_ends_a_training_in_one_line_and_the_next_one_succeeds(
    drill, report, containers, disk
):
    if disk is None:
        report.notes.append("The full disk was not tried: only root can make a small one.")
        pytest.skip("only root can make a small disk")
    models = drill.value("SELECT count(*) FROM models")
    fill = "cd /var/lib/classifier/models && dd if=/dev/zero of=.filler bs=1M 2>&1 | tail -1; sync"
    with timed() as seconds:
        containers.shell(f"docker compose exec -T cpu-worker sh -c '{fill}'")
        run = drill.begin_training(seed=4)
        end = drill.finished(run)
        lines = [line for line in drill.log(run, "train") if "cannot be written" in line]
        report.fault("the volume `models` full at the end of a training", f"`{short(lines)}`", end, seconds())
        assert end == "failed"
        assert lines
        assert "No space left on device" in lines[-1]
        assert drill.value("SELECT count(*) FROM models") == models
        containers.shell("docker compose exec -T cpu-worker rm /var/lib/classifier/models/.filler")
        again = drill.begin_training(seed=4)
        drill.succeeded(again)
        report.fault("the same training after room was made", "a new model", "success", seconds())
    assert drill.value("SELECT count(*) FROM models") == models + 1
    assert drill.count_lost() == NOTHING


def short(lines):
    """Return the end of a message without the path, which is temporary."""
    return re.sub(r"^.*: cannot be written", "… cannot be written", lines[-1])[:120] if lines else "no message"


def test_a_backup_is_restored_by_the_lines_of_the_page(drill, report, containers):
    labels = drill.value("SELECT count(*) FROM predictions")
    drill.pause("retrain_classifier")
    with timed() as seconds:
        containers.run(engine.page_lines(BACKUP, "pg_dump"))
    report.step("a backup by the page's lines", f"{labels} labels", seconds())
    containers.shell("docker compose down --volumes 2>&1")
    # the small disk of the models outlives its volume
    containers.shell("docker compose run --rm --no-deps -T scheduler sh -c 'rm -rf /var/lib/classifier/models/*' 2>&1")
    with timed() as seconds:
        containers.run(engine.page_lines(BACKUP, "pg_restore"))
        containers.wait_until_healthy()
    assert drill.value("SELECT count(*) FROM predictions") == labels
    assert drill.count_lost() == NOTHING
    report.step("a restore into empty volumes by the page's lines", f"{labels} labels", seconds())
    report.counts = {"articles": drill.value("SELECT count(*) FROM articles"), "labels": labels, **drill.count_lost()}


def test_an_upgrade_from_the_commit_before_keeps_the_data(report, folder, articles, containers):
    before = os.environ.get("CLASSIFIER_UPGRADE_FROM", "HEAD~1")
    containers.remove()
    checkout = folder / "upgraded"
    engine.copy_checkout(checkout, commit=before)
    without_gpu = {"GPU_WORKERS": "0", "CPU_QUEUES": "default,gpu", "COMPOSE_PROFILES": ""}
    stack = Containers(checkout, {**engine.separate_settings("upgrade"), **without_gpu})
    try:
        upgrade(stack, report, articles, commit=before)
    finally:
        stack.remove()
    report.complete = True


def upgrade(stack, report, articles, *, commit) -> None:
    """Fill a stack of the former version with data, upgrade it by the page's lines, and use it."""
    stack.shell("python3 docker/generate_env.py && mkdir -p var/inbox && chmod a+rx var/inbox")
    # the former version may not yet cope with a private checkout
    stack.shell("chmod -R a+rX . && chmod go= .env")
    stack.configure()
    stack.shell("docker compose build 2>&1 && docker compose up -d 2>&1", timeout_s=3600)
    stack.wait_until_healthy()
    work.make_encoder(stack.folder / "encoder", work.real_articles())
    stack.run(engine.page_lines(INSTALL, "CLASSIFIER_ENCODER="))
    stack.wait_until_healthy()
    drill = ContainerWork.of(stack, stack.folder / "var" / "inbox")
    drill.until(
        lambda: {"ingest_articles", "label_articles"} <= drill.client.dags(), "DAGs", drill.client.import_errors
    )
    work.note_predictions(drill.database)
    annotated = work.real_articles()[:ANNOTATED]
    file = drill.drop("annotated.csv", annotated, annotated=True)
    drill.ingest_file(file, category="category", proportions="0.6,0.2,0.2")
    drill.succeeded(drill.begin_training())
    drill.succeeded(drill.begin("label_articles"))
    labels = drill.labelled()
    former = stack.inspect("scheduler", "{{.Image}}")
    engine.copy_checkout(stack.folder)
    with timed() as seconds:
        stack.run(line for line in engine.page_lines(UPGRADE, "git pull") if not line.startswith("git pull"))
        stack.wait_until_healthy()
    assert stack.inspect("scheduler", "{{.Image}}") != former
    assert drill.labelled() == labels
    report.step("upgrade from the commit before by the page's lines", f"{labels} labels kept", seconds())
    drill = ContainerWork.of(stack, stack.folder / "var" / "inbox")
    drill.ingest_file(drill.drop("later.csv", take(articles, 50), annotated=False), proportions="1,0,0")
    with timed() as seconds:
        drill.succeeded(drill.begin("label_articles"))
    assert drill.labelled() == labels + 50
    assert drill.count_lost() == NOTHING
    report.step(
        "50 further articles labelled by the former version's champion", "missing, doubled, mixed: 0", seconds()
    )


def test_nothing_is_left_running(containers):
    name = containers.settings["COMPOSE_PROJECT_NAME"]
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
