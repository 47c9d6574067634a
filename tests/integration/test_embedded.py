"""All processes that start the embedded Postgres share one server, which stops with the last of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from classifier import embedded_postgres, safe_paths
from classifier.exceptions import DatabaseNotMigratedError, DatabaseUnavailableError, SettingsError
from tests.support.second_user import USER_ID, only_root, run_as_second_user
from tests.support.waiting import HANG_S

USE = """
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from classifier import embedded_postgres
urls = embedded_postgres.start(Path(sys.argv[1]), "articles", "airflow")
for url in urls.values():
    with create_engine(url).connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
print(sorted(urls), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def start(tmp_path):
    """Start processes that use one embedded server until they are asked to end."""
    directory = tmp_path / "home" / "postgres"
    processes = []

    def start_process():
        process = subprocess.Popen([sys.executable, "-c", USE, str(directory)], stdin=PIPE, stdout=PIPE, text=True)
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.stdin.close()
        process.wait(HANG_S)
        process.stdout.close()
    pid_file = directory / "postmaster.pid"
    deadline = time.monotonic() + HANG_S
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not pid_file.exists(), "the server outlived its users"


def test_processes_that_start_at_once_share_one_server(start):
    processes = [start() for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["['airflow', 'articles']\n"] * 3


def test_a_killed_process_does_not_keep_the_server_running(start):
    first = start()
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert start().stdout.readline()


@pytest.mark.parametrize("name", ["with space", "a%2Fb", "ü#1", 'it\'s $HOME, "x"', "long" * 30])
def test_the_home_may_have_any_name(tmp_path, classifier, name):
    home = str(tmp_path / name)
    done = classifier("db", "upgrade", "--json", CLASSIFIER_HOME=home)
    assert (done.returncode, done.stderr) == (0, ""), done
    done = classifier("status", "--json", CLASSIFIER_HOME=home)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert (Path(home) / "postgres" / "PG_VERSION").is_file()


def test_an_environment_of_another_encoding_does_not_matter(tmp_path, classifier):
    done = classifier("db", "upgrade", "--json", LC_ALL="de_DE.ISO-8859-1", LANG="de_DE.ISO-8859-1")
    assert (done.returncode, done.stderr) == (0, ""), done


def test_a_command_that_reads_creates_no_database(tmp_path, classifier):
    done = classifier("status", CLASSIFIER_HOME=None)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert f"{tmp_path}/var/postgres: no database found; run: classifier db upgrade" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_without_data_is_created_only_on_request(tmp_path):
    with pytest.raises(DatabaseNotMigratedError):
        embedded_postgres.start(tmp_path / "home" / "postgres", "articles", create=False)
    assert not (tmp_path / "home").exists()


def test_a_directory_with_other_files_is_one_line(tmp_path):
    directory = tmp_path / "postgres"
    directory.mkdir()
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(DatabaseUnavailableError, match=r"does not start: initdb: error: .* exists but is not empty"):
        embedded_postgres.start(directory, "articles")
    assert (directory / "notes.txt").read_text() == "mine"


@pytest.fixture
def world_readable():
    """Return a folder that every user can reach; pytest's folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="article classifier "))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@only_root
def test_users_of_one_machine_do_not_disturb_each_other(world_readable, classifier):
    ours, theirs = world_readable / "ours", world_readable / "theirs ü"
    theirs.mkdir()
    os.chown(theirs, USER_ID, USER_ID)

    assert classifier("db", "upgrade", "--json", CLASSIFIER_HOME=str(ours)).returncode == 0
    done = run_as_second_user(theirs, "db", "upgrade", "--json")
    assert (done.returncode, done.stderr) == (0, "")

    # root uses the other user's database, and the user still can
    assert classifier("status", "--json", CLASSIFIER_HOME=str(theirs)).returncode == 0
    done = run_as_second_user(theirs, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {USER_ID}

    done = run_as_second_user(ours, "status")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "this user may not use it; set CLASSIFIER_HOME to a folder that belongs to you" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_links_that_another_user_owns_is_refused(monkeypatch):
    with tempfile.TemporaryDirectory() as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        folder = Path(temporary) / "article-classifier-0"
        folder.mkdir()
        os.chown(folder, USER_ID, USER_ID)
        with pytest.raises(SettingsError, match="another user owns or may change it; set TMPDIR"):
            safe_paths.plain(Path(temporary) / "with space")
