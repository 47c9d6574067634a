"""Evaluations commit each chunk of outputs: a kill loses one chunk, and simultaneous evaluations succeed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from classifier import registry
from classifier.inference.labeller import Labeller
from classifier.pipeline.promotion import evaluation, model_outputs
from classifier.store import evaluations
from tests.support.synthetic import COLUMNS, annotate, articles, ingest_file, query, run, value
from tests.support.tiny_models import make_artefact
from tests.support.waiting import wait_for

ROWS = [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(articles(60))]
COMMAND = (
    "import sys; from classifier.pipeline.promotion import model_outputs; model_outputs.CHUNK = 8; "
    "from classifier.cli.app import main; sys.argv = ['classifier', *sys.argv[1:]]; main()"
)
HELD = 99
"""Key of the lock that an evaluation waits for before its third chunk."""

OUTPUTS = (
    "SELECT article_id, probabilities, gflops FROM evaluation_predictions "
    "WHERE evaluation_id = (SELECT max(id) FROM evaluations) ORDER BY article_id"
)


class KilledError(BaseException):
    """Simulate the end of the process."""


@pytest.fixture
def model(workspace, tmp_path, monkeypatch):
    """A model of random weights, and 30 test articles: four chunks."""
    monkeypatch.setattr(model_outputs, "CHUNK", 8)
    ingest_file(workspace, tmp_path / "x.csv", ROWS, replace(COLUMNS, split="split"))
    return add(workspace, "m1")


def add(workspace, name):
    files = make_artefact(workspace.models / name)
    with workspace.database.begin() as connection:
        return registry.register(connection, name, files, {})


@pytest.fixture
def prepared(monkeypatch):
    """The number of texts of each chunk that is computed."""
    counts, original = [], Labeller.prepare

    def counted(self, texts):
        counts.append(len(texts))
        return original(self, texts)

    monkeypatch.setattr(Labeller, "prepare", counted)
    return counts


@pytest.fixture
def killed(workspace, model, monkeypatch):
    """An attempt that dies in its third chunk."""
    calls, original = [], Labeller.run

    def dies(self, page):
        calls.append(page)
        if len(calls) == 3:
            raise KilledError
        return original(self, page)

    with monkeypatch.context() as patch:
        patch.setattr(Labeller, "run", dies)
        with pytest.raises(KilledError):
            evaluation.evaluate(workspace)
    assert value(workspace.database, "SELECT count(*) FROM evaluation_progress") == 16


def test_an_evaluation_after_a_kill_computes_only_the_remaining_chunks(workspace, model, prepared):
    """The process waits for a lock before it writes its third chunk, and is then killed."""
    run(
        workspace.database,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF (SELECT count(*) FROM evaluation_progress) >= 16 THEN PERFORM pg_advisory_xact_lock({HELD}); END IF; "
        "RETURN NULL; END $$; CREATE TRIGGER hold BEFORE INSERT ON evaluation_progress EXECUTE FUNCTION hold()",
    )
    waiting = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {HELD} AND NOT granted"
    environment = {
        **os.environ,
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with workspace.database.connect() as holder:
        holder.execute(text(f"SELECT pg_advisory_lock({HELD})"))
        process = subprocess.Popen([sys.executable, "-c", COMMAND, "evaluate"], env=environment)
        wait_for(lambda: value(workspace.database, waiting) or process.poll() is not None, within_s=600)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        holder.execute(text(f"SELECT pg_advisory_unlock({HELD})"))  # it is the session's, and the pool keeps that
    run(workspace.database, "DROP TRIGGER hold ON evaluation_progress")
    assert value(workspace.database, "SELECT count(*) FROM evaluations") == 0
    assert value(workspace.database, "SELECT count(*) FROM evaluation_progress") == 16

    assert evaluation.evaluate(workspace).reused == 16
    assert prepared == [8, 6], "two of four chunks remained"
    resumed = query(workspace.database, OUTPUTS)
    assert value(workspace.database, "SELECT count(*) FROM evaluation_progress") == 0
    add(workspace, "m2")
    assert evaluation.evaluate(workspace, "m2").reused == 0
    assert query(workspace.database, OUTPUTS) == resumed, "the same bits as in one attempt"


def test_a_text_that_changed_after_the_kill_is_computed_again(workspace, killed, prepared, tmp_path):
    changed = [{**ROWS[1], "text": "the phone and the chip"}]
    ingest_file(workspace, tmp_path / "x.csv", changed, replace(COLUMNS, split="split"))
    assert evaluation.evaluate(workspace).reused == 15
    assert prepared == [1, 8, 6]


def test_an_annotation_that_changed_after_the_kill_counts(workspace, killed):
    reused = evaluation.evaluate(workspace)
    article = value(workspace.database, "SELECT min(id) FROM articles WHERE split = 'test'")
    with workspace.database.begin() as connection:
        annotate(connection, article, "business")
    again = evaluation.evaluate(workspace)
    first, second = (report.metrics.by_category["business"].support for report in (reused, again))
    assert second == first + 1


def test_another_engine_does_not_reuse_the_outputs(workspace, killed):
    assert evaluation.evaluate(workspace, engine="keras").reused == 0


def test_a_second_evaluation_computes_only_new_articles(workspace, model, prepared, tmp_path):
    evaluation.evaluate(workspace)
    prepared.clear()
    more = [{**row, "split": "test"} for row in articles(3, seed=3, prefix="more")]
    ingest_file(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
    assert evaluation.evaluate(workspace).reused == 30
    assert sum(prepared) == 3
    assert value(workspace.database, "SELECT count(*) FROM evaluation_predictions") == 30 + 33


def test_simultaneous_evaluations_of_one_model_succeed_and_the_file_has_the_newest(workspace, model):
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: evaluation.evaluate(workspace), range(6)))
    assert len({report.metrics.accuracy for report in reports}) == 1
    newest = value(workspace.database, "SELECT metrics FROM evaluations ORDER BY id DESC LIMIT 1")
    written = json.loads((workspace.models / "m1.evaluation.json").read_text())
    assert {name: written[name] for name in newest} == newest
    assert value(workspace.database, "SELECT count(*) FROM evaluations") == 6
    assert [path.name for path in workspace.models.glob(".*")] == []


def test_outputs_are_written_and_read_in_slices_bit_for_bit(workspace, model, monkeypatch):
    evaluation.evaluate(workspace)
    with workspace.database.connect() as connection:
        expected = evaluations.probabilities(connection, 1, 3)
    monkeypatch.setattr(evaluations, "_MAX_PROBABILITIES", 7)
    evaluation.evaluate(workspace)
    with workspace.database.connect() as connection:
        np.testing.assert_array_equal(evaluations.probabilities(connection, 2, 3), expected)
    stored = [row for _, row, _ in query(workspace.database, OUTPUTS)]
    np.testing.assert_array_equal(np.array(stored, np.float32), expected)


def test_the_threshold_of_a_report_is_that_of_the_model(workspace, model, monkeypatch, tmp_path):
    """Another evaluation chooses a threshold while this one computes."""
    validation = [{**row, "split": "validation"} for row in articles(9, seed=5, prefix="v")]
    ingest_file(workspace, tmp_path / "v.csv", validation, replace(COLUMNS, split="split"))
    original = model_outputs.compute_outputs
    calls = []

    def meanwhile(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            evaluation.evaluate(workspace, target_precision=0.9)
        return original(*arguments)

    monkeypatch.setattr(model_outputs, "compute_outputs", meanwhile)
    evaluation.evaluate(workspace)
    stored = query(
        workspace.database,
        "SELECT CAST(metrics #>> '{report,abstention,threshold}' AS real), threshold, "
        "metrics #>> '{report,abstention,target_precision}' FROM evaluations, models",
    )
    assert len(stored) == 2
    assert all(reported == chosen is not None for reported, chosen, _ in stored)
    assert {target for *_, target in stored} == {"0.9"}
