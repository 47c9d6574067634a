"""Several labelling processes on one machine share the work, and tolerate the loss of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from classifier.exceptions import NoChampionError
from classifier.pipeline.labelling import worker_processes
from tests.support.synthetic import ingest_file, make_champion, query, unlabelled, value
from tests.support.waiting import HANG_S

HANDLE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
"""A process that a shell starts in the background ignores interrupts, and so do its children."""

PROGRAM = f"{HANDLE_INTERRUPTS}from classifier.cli.app import main; main()"
COMMAND = [sys.executable, "-c", PROGRAM, "label", "--workers", "2", "--json"]


@pytest.fixture
def environment(workspace):
    return {
        **os.environ,
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@pytest.fixture
def working(workspace, tmp_path, environment):
    """Start the command with two slow workers; yield it, and a function that lets them continue.

    A lock on the predictions stops them after the first articles, however late the test reads the table.
    """
    make_champion(workspace, "m1", 0)
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(400))
    command = [*COMMAND, "--page-size", "5", "--max-rate", "20"]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + HANG_S
    with workspace.database.connect() as holder:
        while len(workers(process)) < 2 or labelled_under_lock(holder) < 20:
            holder.rollback()
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, holder.rollback
    process.kill()
    process.communicate()


def labelled_under_lock(connection):
    connection.execute(text("LOCK TABLE predictions IN SHARE MODE"))
    return connection.execute(text("SELECT count(*) FROM predictions")).scalar_one()


def workers(process):
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_without_a_champion_no_worker_is_started(workspace):
    with pytest.raises(NoChampionError):
        worker_processes.label_in_processes(workspace, 2, {})


def test_the_limit_and_the_rate_are_shared():
    shares = list(worker_processes._shares(3, 10, 6.0))
    assert [(share["limit"], share["max_rate"]) for share in shares] == [(4, 2.0), (3, 2.0), (3, 2.0)]
    assert [share["limit"] for share in worker_processes._shares(3, 2, None)] == [1, 1]
    assert [share["limit"] for share in worker_processes._shares(2, None, None)] == [None, None]


def test_the_cores_are_shared(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(worker_processes.hardware, "available_cores", lambda: 8)
    assert [worker_processes._cores(number, 3) for number in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert [worker_processes._cores(number, 16) for number in (0, 9)] == [[0], [1]]


@pytest.mark.slow
def test_each_article_is_labelled_once(workspace, tmp_path, environment, labellings):
    make_champion(workspace, "m1", 0)
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(400))
    result = subprocess.run(
        [*COMMAND, "--page-size", "20"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["labelled"], report["waiting"], report["workers"], report["failed"]) == (400, 0, 2, 0)
    assert labellings() == [(1, 400)]


@pytest.mark.slow
def test_if_a_worker_is_killed_the_others_label_its_articles(workspace, labellings, working):
    process, release = working
    workers(process)[0].send_signal(signal.SIGKILL)
    release()
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert "ended with exit code -9; the other workers continue" in " ".join(err.split())  # the log wraps
    assert (json.loads(out)["failed"], json.loads(out)["waiting"]) == (1, 0)
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 400
    assert labellings()[0][0] == 1
    assert len(labellings()) == 1, "none was labelled twice"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_all_workers_and_frees_their_pages(workspace, working, number):
    process, release = working
    children = workers(process)
    process.send_signal(number)
    release()
    process.communicate(timeout=HANG_S)
    assert process.returncode not in {0, None}
    assert not any(child.is_running() for child in children)
    labelled, waiting = query(
        workspace.database, "SELECT (SELECT count(*) FROM predictions), (SELECT count(*) FROM labelling_queue)"
    )[0]
    assert (labelled + waiting, labelled < 400) == (400, True)
