"""All processes of a demo are stopped, also those with a process group of their own and those of a killed demo."""

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

# an "airflow" with a task that has a process group of its own and ignores SIGTERM
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
    processes.stop_session(process.pid, timeout_s=0.1)
    process.wait()
    process.stdout.close()


def alive(session):
    return [process.pid for process in processes.members(session)]


def left_by_a_dead_demo(path, session):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    Record(dead.pid, 1.0, session, psutil.Process(session).create_time()).write(path)


def test_a_session_is_stopped_with_all_its_process_groups(tree):
    assert len(alive(tree.pid)) == 2
    assert processes.stop_session(tree.pid, timeout_s=0.2) == 2
    assert alive(tree.pid) == []


def test_the_session_of_a_killed_demo_is_stopped(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    assert processes.stop_stale(tmp_path / "demo.json", timeout_s=0.2) == 2
    assert alive(tree.pid) == []
    assert not (tmp_path / "demo.json").exists()


def test_a_session_whose_leader_has_ended_is_stopped(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    tree.kill()
    tree.wait()
    assert processes.stop_stale(tmp_path / "demo.json", timeout_s=0.2) == 1
    assert alive(tree.pid) == []


def test_the_session_of_a_running_demo_is_not_stopped(tree, tmp_path):
    Record.of(tree.pid).write(tmp_path / "demo.json")
    with pytest.raises(DemoIsRunningError, match=str(os.getpid())):
        processes.stop_stale(tmp_path / "demo.json")
    assert len(alive(tree.pid)) == 2


def test_another_session_with_the_recorded_number_is_not_stopped(tree, tmp_path):
    left_by_a_dead_demo(tmp_path / "demo.json", tree.pid)
    record = json.loads((tmp_path / "demo.json").read_text())
    (tmp_path / "demo.json").write_text(json.dumps({**record, "session_began": record["session_began"] - 60}))
    assert processes.stop_stale(tmp_path / "demo.json") == 0
    assert len(alive(tree.pid)) == 2


def test_a_session_without_an_airflow_is_not_stopped(tmp_path):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        left_by_a_dead_demo(tmp_path / "demo.json", other.pid)
        assert processes.stop_stale(tmp_path / "demo.json") == 0
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("content", ["", "{}", '{"demo": 1'])
def test_an_incomplete_record_is_removed(tmp_path, content):
    (tmp_path / "demo.json").write_text(content)
    assert processes.stop_stale(tmp_path / "demo.json") == 0
    assert not (tmp_path / "demo.json").exists()


def test_without_a_record_nothing_is_stopped(tmp_path):
    assert processes.stop_stale(tmp_path / "demo.json") == 0


def test_a_record_is_written_as_json(tmp_path):
    record = Record.of(os.getpid())
    record.write(tmp_path / "demo.json")
    assert json.loads((tmp_path / "demo.json").read_text()) == asdict(record)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_raises_a_keyboard_interrupt(number):
    """In a process of its own: a signal that is not handled would end the tests."""
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


def test_an_undisturbed_block_ignores_requests_to_stop():
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
