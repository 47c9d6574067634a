"""One stack in containers for all tests, and the report of its steps and faults."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.containers import engine, work
from tests.support.containers.engine import Containers
from tests.support.containers.report import Report
from tests.support.paths import DATA

REPORT = pytest.StashKey[Report]()
DISK_MB = 400

pytestmark = pytest.mark.filterwarnings("default")


def pytest_terminal_summary(terminalreporter):
    """Print the report, also after failures."""
    if REPORT in terminalreporter.config.stash:
        terminalreporter.write("\n" + terminalreporter.config.stash[REPORT].render())


@pytest.fixture(scope="session", autouse=True)
def engine_is_here():
    """Skip everything with the reason if containers cannot run, or the articles are missing."""
    if reason := engine.missing():
        pytest.skip(reason)
    if not (DATA / "bbc-text.csv").is_file():
        pytest.skip(f"{DATA}/bbc-text.csv: not found")


@pytest.fixture(scope="session")
def report(request, engine_is_here):
    """Return the report that is printed at the end."""
    return request.config.stash.setdefault(REPORT, Report())


@pytest.fixture(scope="session")
def folder():
    """Return a private folder, as every user's home is."""
    path = Path(tempfile.mkdtemp(prefix="containers-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def disk(folder):
    """Return a small disk for the models, or None if this user may not make one."""
    device = work.free_loop_device(folder / "models.img", DISK_MB)
    yield device
    if device:
        subprocess.run(["losetup", "--detach", device], check=False)


@pytest.fixture(scope="session")
def containers(folder, disk, engine_is_here):
    """Return the stack before its first start, and remove its containers and volumes at the end."""
    checkout = folder / "article-classifier"
    engine.copy_checkout(checkout)
    if disk:
        options = {"driver": "local", "driver_opts": {"type": "ext4", "device": disk}}
        override = checkout / "docker-compose.override.yml"
        override.write_text(json.dumps({"volumes": {"models": options}}), encoding="utf-8")
    stack = Containers(checkout, engine.separate_settings("main"))
    yield stack
    stack.remove()
