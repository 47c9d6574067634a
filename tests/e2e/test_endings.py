"""How commands end that a signal stops, and on a full disk: one line, an exit code, and nothing half done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.synthetic import articles, query, value, write_csv
from tests.support.waiting import HANG_S

BEFORE = 'import sys; from classifier.cli.app import main; sys.argv = ["classifier", *sys.argv[1:]]\n'


@pytest.fixture
def start(database_url, tmp_path):
    """Return a function that starts a command in a process of its own, after it ran a line of Python."""
    processes = []

    def start_command(*arguments, before="", stdout=subprocess.PIPE, **environment):
        variables = {
            **os.environ,
            "CLASSIFIER_DATABASE_URL": database_url.render_as_string(hide_password=False),
            "CLASSIFIER_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(Path.cwd()),
            **environment,
        }
        command = [sys.executable, "-c", f"{BEFORE}{before}\nmain()", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start_command
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_lock(database):
    """Wait until a connection waits for a lock."""
    deadline = time.monotonic() + HANG_S
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not value(database, waiting):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_stopped_ingest_prints_one_line_and_keeps_nothing(start, database, tmp_path, number, code, name):
    write_csv(tmp_path / "x.csv", articles(20))
    with database.connect() as blocking:
        blocking.exec_driver_sql("LOCK TABLE articles IN ACCESS EXCLUSIVE MODE")
        process = start("ingest", "x.csv", "--id", "id", "--category", "category")
        wait_for_lock(database)
        process.send_signal(number)
        out, err = process.communicate(timeout=HANG_S)  # the lock is still held
        assert (process.returncode, out) == (code, "")
        assert err.splitlines() == [
            f"stopped: by {name}; nothing is half done, and the same command continues or starts again"
        ]
    assert query(database, "SELECT count(*) FROM articles") == [(0,)]


@pytest.mark.parametrize("fits", ["nothing", "all but the model"])
def test_a_training_that_runs_out_of_disk_is_one_line(start, env, fits):
    env.annotated()
    encoder = env.encoder()
    limit = 1_000 if fits == "nothing" else (encoder / "model.safetensors").stat().st_size - 1
    model = ("train", "--encoder", str(encoder), "--set", "epochs=1")
    process = start(*model, before=f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out) == (2, ""), err
    assert "Traceback" not in err
    line = err.splitlines()[-1]  # before it, the log may have warned that the training's state cannot be saved
    assert line.startswith("error: ")
    assert "File too large" in line
    assert "make room" in line
    assert query(env.workspace.database, "SELECT count(*) FROM models") == [(0,)]
    assert not list(env.workspace.models.glob("*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_result_that_cannot_be_written_is_one_line(start):
    with Path("/dev/full").open("w", encoding="ascii") as full:
        process = start("status", "--json", stdout=full)
        _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 2
    assert err == "error: the disk: No space left on device; make room, and run the same command again\n"


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of its own with room for an embedded Postgres and little more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=75m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_an_ingest_on_a_full_disk_is_one_line_and_keeps_nothing(classifier, small_disk, tmp_path):
    home = {"CLASSIFIER_HOME": str(small_disk / "home")}
    assert classifier("db", "upgrade", **home).returncode == 0
    generator = random.Random(1)
    rows = [{"text": " ".join(str(generator.random()) for _ in range(60))} for _ in range(40_000)]
    write_csv(tmp_path / "x.csv", rows)
    done = classifier("ingest", "x.csv", **home)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "No space left on device" in done.stderr
    assert "make room" in done.stderr
    status = classifier("status", "--json", **home)
    assert status.returncode == 0
    assert json.loads(status.stdout)["splits"] == {}


def test_a_database_that_does_not_fit_is_one_line_and_leaves_nothing(classifier, small_disk):
    (small_disk / "ballast").write_bytes(b"x" * 60_000_000)
    done = classifier("db", "upgrade", CLASSIFIER_HOME=str(small_disk / "home"))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "the embedded Postgres does not start: " in done.stderr
    assert "No space left on device" in done.stderr
    assert [path.name for path in (small_disk / "home").iterdir()] == [".postgres.lock"]


def test_a_folder_without_rights_is_one_line(start, tmp_path):
    """The command runs without the rights of root."""
    (tmp_path / "out").mkdir(mode=0o555)
    (tmp_path / "out").chmod(0o555)
    write_csv(tmp_path / "x.csv", articles(2))
    (tmp_path / "x.csv").chmod(0)
    before = "import os\nif os.geteuid() == 0: os.setgid(65534); os.setuid(65534)"
    process = start("ingest", str(tmp_path / "x.csv"), before=before)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 2
    assert len(err.splitlines()) == 1
    assert "Permission denied" in err
