"""One stack for all tests, and the table of the faults that they injected."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from benchmarks.support import lost_labels
from classifier.store import connections
from tests.support import synthetic, tiny_models
from tests.support.stack import stack
from tests.support.stack.report import Report
from tests.support.stack.work import DAGS, Work

REPORT = pytest.StashKey[Report]()


def pytest_terminal_summary(terminalreporter):
    """Print the report, also after failures."""
    if REPORT in terminalreporter.config.stash:
        terminalreporter.write("\n" + terminalreporter.config.stash[REPORT].render())


@pytest.fixture(scope="session")
def report(request):
    """Return the report that is printed at the end."""
    return request.config.stash.setdefault(REPORT, Report())


@pytest.fixture(scope="session")
def folder(request):
    """Return a folder that is kept after failures; the name of pytest's is too long for Postgres' socket."""
    path = Path(tempfile.mkdtemp(prefix="stack-"))
    yield path
    if request.session.testsfailed:
        request.config.stash[REPORT].notes.append(f"The logs of the services are in {path}/logs.")
    else:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def work(report, folder):
    """Start the stack with a small encoder that knows the words of the synthetic articles."""
    words = ["the", *(word for words in synthetic.WORDS.values() for word in words)]
    encoder = tiny_models.make_encoder(folder / "encoder", words=words, dim=32, heads=4, hidden_dim=64)
    (folder / "inbox").mkdir()
    report.settings = {
        "CLASSIFIER_ENCODER": str(encoder),
        "CLASSIFIER_CHECKPOINT_MINUTES": "0.05",
        "INBOX_PATH": str(folder / "inbox"),
    }
    with stack.running(folder, **report.settings) as running:
        report.ready_s = running.up()
        database = connections.connect(running.articles_url)
        lost_labels.note_every_prediction(database)
        with running.logged_in() as client:
            stack_work = Work(running, client, database, folder)
            stack_work.until(lambda: client.dags() >= DAGS, "the DAGs", client.import_errors)
            yield stack_work
        report.restarts(running)
        database.dispose()
