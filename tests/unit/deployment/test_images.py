"""The scripts of the images, and the container test's reading of pages. Docker is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.containers import engine
from tests.support.paths import ROOT


@pytest.fixture
def server():
    """Return a server's address; the path `/STATUS` answers with that state of the database, `/500` with an error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state = self.path.strip("/")
            self.send_response(500 if state == "500" else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"metadatabase": {"status": state}}).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def health(*arguments):
    command = [sys.executable, ROOT / "docker/health.py", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env={}).returncode


def test_a_server_is_healthy_if_it_answers_and_its_database_does(server):
    assert health("http", f"{server}/healthy") == 0
    assert health("http", f"{server}/unhealthy") == 1
    assert health("http", f"{server}/500") == 1
    assert health("http", "127.0.0.1:1/healthy") == 1


def test_the_dependencies_of_the_images_are_those_of_the_project_and_of_its_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = [sys.executable, ROOT / "docker/requirements.py", ROOT / "pyproject.toml", "airflow", "celery"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    extras = project["optional-dependencies"]
    assert set(printed) == {*project["dependencies"], *extras["airflow"], *extras["celery"]}


def test_without_an_engine_the_container_test_says_why_it_is_skipped(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert engine.missing() == "docker: not found; install Docker Engine with Compose v2"


@pytest.mark.parametrize(
    ("page", "word", "first"),
    [
        ("docs/how-to/install.md", "generate_env", "python3 docker/generate_env.py "),
        ("docs/how-to/install.md", "CLASSIFIER_ENCODER=", "encoder="),
        ("docs/how-to/back-up-and-restore.md", "pg_dump", "docker compose exec -T postgres pg_dump"),
        ("docs/how-to/back-up-and-restore.md", "pg_restore", "docker compose down"),
        ("docs/how-to/upgrade.md", "git pull", "git pull"),
    ],
)
def test_the_container_test_finds_the_lines_of_the_pages(page, word, first):
    assert engine.page_lines(page, word)[0].startswith(first)


def test_the_container_test_installs_without_a_gpu_as_the_page_says():
    line = engine.page_lines("docs/how-to/install.md", "generate_env")[0]
    assert line.split("# without a GPU: ")[1] == "python3 docker/generate_env.py --no-gpu"
