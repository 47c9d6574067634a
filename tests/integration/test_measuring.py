"""Evaluations keep each chunk of answers: a kill costs one chunk, and two at once end well."""

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

ANSWERS = (
    "SELECT article_id, probabilities, gflops FROM evaluation_predictions "
    "WHERE evaluation_id = (SELECT max(id) FROM evaluations) ORDER BY article_id"
)


class KilledError(BaseException):
    """Stands for the end of the process."""


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


def test_an_evaluation_that_is_killed_computes_only_what_is_left(workspace, model, prepared):
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
    assert prepared == [8, 6], "two of four chunks were left"
    broken = query(workspace.database, ANSWERS)
    assert value(workspace.database, "SELECT count(*) FROM evaluation_progress") == 0
    add(workspace, "m2")
    assert evaluation.evaluate(workspace, "m2").reused == 0
    assert query(workspace.database, ANSWERS) == broken, "the same bits as in one attempt"


def test_a_text_that_changed_after_the_kill_is_answered_anew(workspace, killed, prepared, tmp_path):
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
    first, second = (found.metrics.by_category["business"].support for found in (reused, again))
    assert second == first + 1


def test_another_engine_does_not_take_the_answers(workspace, killed):
    assert evaluation.evaluate(workspace, engine="keras").reused == 0


def test_measuring_again_computes_what_is_new(workspace, model, prepared, tmp_path):
    evaluation.evaluate(workspace)
    prepared.clear()
    more = [{**row, "split": "test"} for row in articles(3, seed=3, prefix="more")]
    ingest_file(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
    assert evaluation.evaluate(workspace).reused == 30
    assert sum(prepared) == 3
    assert value(workspace.database, "SELECT count(*) FROM evaluation_predictions") == 30 + 33


def test_evaluations_of_one_model_at_once_end_well_and_the_file_is_of_the_newest(workspace, model):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: evaluation.evaluate(workspace), range(6)))
    assert len({one.metrics.accuracy for one in found}) == 1
    newest = value(workspace.database, "SELECT metrics FROM evaluations ORDER BY id DESC LIMIT 1")
    written = json.loads((workspace.models / "m1.evaluation.json").read_text())
    assert {name: written[name] for name in newest} == newest
    assert value(workspace.database, "SELECT count(*) FROM evaluations") == 6
    assert [path.name for path in workspace.models.glob(".*")] == []


def test_answers_are_written_and_read_in_slices_to_the_bit(workspace, model, monkeypatch):
    evaluation.evaluate(workspace)
    with workspace.database.connect() as connection:
        whole = evaluations.probabilities(connection, 1, 3)
    monkeypatch.setattr(evaluations, "_MAX_PROBABILITIES", 7)
    evaluation.evaluate(workspace)
    with workspace.database.connect() as connection:
        np.testing.assert_array_equal(evaluations.probabilities(connection, 2, 3), whole)
    stored = [row for _, row, _ in query(workspace.database, ANSWERS)]
    np.testing.assert_array_equal(np.array(stored, np.float32), whole)


def test_the_threshold_of_a_report_is_the_one_that_the_model_has(workspace, model, monkeypatch, tmp_path):
    """Another evaluation chooses a threshold while this one measures."""
    validation = [{**row, "split": "validation"} for row in articles(9, seed=5, prefix="v")]
    ingest_file(workspace, tmp_path / "v.csv", validation, replace(COLUMNS, split="split"))
    original = model_outputs.compute_outputs
    calls = []

    def meanwhile(*given):
        calls.append(given)
        if len(calls) == 1:
            evaluation.evaluate(workspace, target_precision=0.9)
        return original(*given)

    monkeypatch.setattr(model_outputs, "compute_outputs", meanwhile)
    evaluation.evaluate(workspace)
    stored = query(
        workspace.database,
        "SELECT CAST(metrics #>> '{report,abstention,threshold}' AS real), threshold, "
        "metrics #>> '{report,abstention,target_precision}' FROM evaluations, models",
    )
    assert len(stored) == 2
    assert all(reported == chosen is not None for reported, chosen, _ in stored)
    assert {wanted for *_, wanted in stored} == {"0.9"}
