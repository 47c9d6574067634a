"""Whatever a demo started is stopped, even what left its process group or outlived a killed demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import psutil
import pytest

from classifier.local_airflow import processes
from classifier.local_airflow.processes import DemoIsRunningError, Record

# an "airflow" with a task in a process group of its own, deaf to SIGTERM
TREE = (
    "import os, signal, time\n"
    "if not os.fork(): os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('an airflow is up', flush=True); time.sleep(60)"
)


@pytest.fixture
def tree():
    process = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
    yield process
    processes.stop_session(process.pid, patience_s=0.1)
    process.wait()
    process.stdout.close()


def alive(session):
    return [one.pid for one in processes._members(session)]


def left_by_a_dead_demo(path, session):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    Record(dead.pid, 1.0, session, psutil.Process(session).create_time()).write(path)


def test_a_session_is_stopped_with_all_its_groups(tree):
    assert len(alive(tree.pid)) == 2
    assert processes.stop_session(tree.pid, patience_s=0.2) == 2
    assert alive(tree.pid) == []


def test_what_a_killed_demo_left_is_stopped(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    assert processes.stop_stale(tmp_path / "demo.json", patience_s=0.2) == 2
    assert alive(tree.pid) == []
    assert not (tmp_path / "demo.json").exists()


def test_it_is_stopped_without_its_leader_too(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    tree.kill()
    tree.wait()
    assert processes.stop_stale(tmp_path / "demo.json", patience_s=0.2) == 1
    assert alive(tree.pid) == []


def test_a_living_demo_is_not_disturbed(tree, tmp_path):
    Record.of(tree.pid).write(tmp_path / "demo.json")
    with pytest.raises(DemoIsRunningError, match=str(os.getpid())):
        processes.stop_stale(tmp_path / "demo.json")
    assert len(alive(tree.pid)) == 2


def test_a_stranger_with_the_recorded_number_is_left_alone(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    record = json.loads((tmp_path / "demo.json").read_text())
    (tmp_path / "demo.json").write_text(json.dumps({**record, "session_began": record["session_began"] - 60}))
    assert processes.stop_stale(tmp_path / "demo.json") == 0
    assert len(alive(tree.pid)) == 2


def test_a_session_without_airflow_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        left_by_a_dead_demo(tmp_path / "demo.json", stranger.pid)
        assert processes.stop_stale(tmp_path / "demo.json") == 0
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "{}", '{"demo": 1'])
def test_a_record_that_was_cut_off_is_removed(tmp_path, content):
    (tmp_path / "demo.json").write_text(content)
    assert processes.stop_stale(tmp_path / "demo.json") == 0
    assert not (tmp_path / "demo.json").exists()


def test_without_a_record_nothing_is_stopped(tmp_path):
    assert processes.stop_stale(tmp_path / "demo.json") == 0


def test_a_record_says_what_it_was_told(tmp_path):
    record = Record.of(os.getpid())
    record.write(tmp_path / "demo.json")
    assert json.loads((tmp_path / "demo.json").read_text()) == asdict(record)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_is_an_interruption(number):
    """In a process of its own: a signal that went astray would end the tests."""
    outcome = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(int(number))], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stdout) == (0, "interrupted\n")


INTERRUPTED = """
import signal, sys
from classifier.local_airflow import processes
number = int(sys.argv[1])
before = signal.getsignal(number)
try:
    with processes.interruptible():
        signal.raise_signal(number)
except KeyboardInterrupt:
    print("interrupted")
assert signal.getsignal(number) == before
"""


def test_stopping_is_not_interrupted():
    """In a process of its own, too."""
    outcome = subprocess.run([sys.executable, "-c", UNDISTURBED], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (0, "undisturbed\n")


UNDISTURBED = """
import signal
from classifier.local_airflow import processes
with processes.undisturbed():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.raise_signal(number)
print("undisturbed")
"""
