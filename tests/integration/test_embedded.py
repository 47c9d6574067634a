"""All processes that start the embedded Postgres share one server, which stops with the last of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from subprocess import PIPE

import pytest

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
