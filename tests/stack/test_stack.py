"""The production stack survives faults while it labels and trains. The tests depend on their order.

Each fault adds a row to the report. Each test labels the whole queue, so afterwards every article must have one label,
committed once, by the model that it names.
"""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.support import synthetic
from tests.support.stack.work import PAGE, count_faults

pytestmark = pytest.mark.filterwarnings("default")

BATCH = 600
RATE = 15.0
TRAINING_S = 90.0
OUTAGE_S = 60.0
NOTHING = {"missing": 0, "doubled": 0, "mixed": 0}


def test_articles_are_ingested_and_a_first_model_becomes_champion(work):
    work.ingest(synthetic.articles(400), category="category", proportions="0.6,0.2,0.2")
    run = work.begin_training()
    work.succeeded(run)
    assert work.value("SELECT count(*) FROM models WHERE status = 'champion'") == 1, work.describe(run)


def test_a_labelling_and_a_training_resume_when_their_workers_are_killed(work, report):
    work.ingest_unlabelled(BATCH)
    training = begun_training(work, seed=2)
    labelling = begun_labelling(work)
    began, before = time.monotonic(), work.labelled()
    work.stack.container("cpu-worker").kill()
    step = work.training().step
    work.stack.container("gpu-worker").kill()

    end = work.finished(labelling)
    report.add(
        "`kill -9` of the default worker in the middle of labelling",
        f"{before} of {BATCH} labelled; attempt {work.task(labelling, 'label').attempt} labelled the rest",
        end,
        time.monotonic() - began,
    )
    assert end == "success", work.describe(labelling)
    end_of_training = work.finished(training)
    resumed = resumed_step(work, training)
    report.add(
        "`kill -9` of the GPU worker in the middle of training",
        f"killed at step {step}; attempt {work.task(training, 'train').attempt} resumed from step {resumed}",
        end_of_training,
        time.monotonic() - began,
    )
    assert end_of_training == "success", work.describe(training)
    assert work.training().attempts == 2
    assert 0 < resumed <= work.training().steps
    assert count_faults(work) == NOTHING


def test_a_labelling_and_a_training_survive_a_crash_of_postgres(work, report):
    work.ingest_unlabelled(BATCH)
    training = begun_training(work, seed=3)
    labelling = begun_labelling(work)
    began, postgres = time.monotonic(), work.stack.container("postgres")
    postgres.stop(20, signal.SIGQUIT)
    time.sleep(5)
    postgres.start()
    down = work.stack.wait_until_healthy("postgres")
    for run, task, what in ((labelling, "label", "labelling"), (training, "train", "training")):
        end = work.finished(run)
        report.add(
            f"Postgres stopped at once and started 5 s later, in the middle of {what}",
            f"ready after {5 + down:.0f} s; ended in attempt {work.task(run, task).attempt}",
            end,
            time.monotonic() - began,
        )
        assert end == "success", work.describe(run)
        assert work.task(run, task).attempt == 1
    assert count_faults(work) == NOTHING


@pytest.mark.parametrize("name", ["redis", "scheduler"])
def test_a_labelling_survives_a_kill_of_the_service_that_queued_it(work, report, name):
    work.ingest_unlabelled(BATCH)
    labelling = begun_labelling(work)
    began, container = time.monotonic(), work.stack.container(name)
    container.kill()
    work.until(lambda: container.restarts, f"the restart of {name}")
    back = work.stack.wait_until_healthy(name)
    end = work.finished(labelling)
    report.add(
        f"`kill -9` of {name} in the middle of labelling",
        f"restarted, and ready after {back:.0f} s; ended in attempt {work.task(labelling, 'label').attempt}",
        end,
        time.monotonic() - began,
    )
    assert end == "success", work.describe(labelling)
    assert count_faults(work) == NOTHING


def test_a_labelling_that_ends_while_the_api_server_is_down_succeeds(work, report):
    work.ingest_unlabelled(BATCH)
    labelling = begun_labelling(work)
    began, server = time.monotonic(), work.stack.container("api-server")
    server.stop(work.stack.services["api-server"].grace_s)
    stopped = time.monotonic()
    at_end = work.value("SELECT count(*) FROM labelling_queue")
    time.sleep(OUTAGE_S - (time.monotonic() - stopped))
    left = work.value("SELECT count(*) FROM labelling_queue")
    server.start()
    work.stack.wait_until_healthy("api-server")
    away = time.monotonic() - stopped
    end = work.finished(labelling)
    report.add(
        f"the API server stopped for {OUTAGE_S:.0f} s in the middle of labelling",
        f"away for {away:.0f} s; {at_end - left} labelled meanwhile, {left} left; "
        f"ended in attempt {work.task(labelling, 'label').attempt}",
        end,
        time.monotonic() - began,
    )
    assert end == "success", work.describe(labelling)
    assert work.task(labelling, "label").attempt == 1
    assert count_faults(work) == NOTHING


@pytest.mark.parametrize("dag", ["review_articles", "watch_classifier"])
def test_the_other_dags_succeed_after_the_faults(work, dag):
    work.succeeded(work.begin(dag))


def test_at_the_end_every_service_is_healthy_and_no_label_is_lost(work, report):
    for name, service in work.stack.services.items():
        if service.check:
            work.stack.wait_until_healthy(name)
    work.until(lambda: not work.client.unfinished("label_articles"), "the end of all labelling runs")
    report.counts = {"articles": work.value("SELECT count(*) FROM articles"), "labels": work.labelled()}
    report.counts |= count_faults(work)
    assert {name: report.counts[name] for name in NOTHING} == NOTHING
    report.complete = True


def begun_training(work, *, seed):
    """Start a training; return its run when a quarter of its steps is done."""
    run = work.begin_training(seconds=TRAINING_S, seed=seed)

    def has_done_a_quarter():
        training = work.training()
        return training.status == "running" and training.step > training.steps / 4

    work.until(has_done_a_quarter, "a quarter of a training", lambda: work.describe(run))
    return run


def begun_labelling(work):
    """Start a labelling; return its run when some batches are committed."""
    before = work.labelled()
    run = work.begin_labelling(rate=RATE)
    work.until(
        lambda: work.labelled() >= before + 4 * PAGE, "the first batches of a labelling", lambda: work.describe(run)
    )
    return run


def resumed_step(work, training):
    """Return the step from which a training's second attempt resumed, by its log."""
    steps = re.findall(r" from step (\d+) of ", "\n".join(work.log(training, "train")))
    assert steps, work.describe(training)
    return int(steps[-1])
