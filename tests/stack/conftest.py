"""One stack for the whole story, and the table of what was done to it."""

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
    """Tell what happened, whatever came of it."""
    if REPORT in terminalreporter.config.stash:
        terminalreporter.write("\n" + terminalreporter.config.stash[REPORT].tell())


@pytest.fixture(scope="session")
def report(request):
    """What is told in the end."""
    return request.config.stash.setdefault(REPORT, Report())


@pytest.fixture(scope="session")
def folder(request):
    """A folder that stays where something failed; not pytest's, whose name is too long for Postgres' socket."""
    made = Path(tempfile.mkdtemp(prefix="stack-"))
    yield made
    if request.session.testsfailed:
        request.config.stash[REPORT].notes.append(f"What the services said is in {made}/said.")
    else:
        shutil.rmtree(made)


@pytest.fixture(scope="session")
def work(report, folder):
    """The stack, with a tiny encoder that knows the words of the made-up articles."""
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
            found = Work(running, client, database, folder)
            found.until(lambda: client.dags() >= DAGS, "the DAGs", client.import_errors)
            yield found
        report.restarts(running)
        database.dispose()
