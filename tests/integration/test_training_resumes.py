"""A training that dies goes on where it was, and ends in the same bits as one that did not die."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.exceptions import TrainingMemoryError, TrainingUnderWayError
from classifier.ingest.splits import Proportions
from classifier.model.keras import network as networks
from classifier.pipeline.monitoring import status
from classifier.pipeline.training import candidate
from classifier.settings import Settings
from classifier.training import checkpoints
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support.synthetic import articles, query, run, take_in, value
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(
    epochs=3,
    batch_size=4,
    learning_rate=0.01,
    max_length=16,  # one width: one graph
    masking=0.1,
    patience=3,
)
COMMAND = """
import os, signal, sys
from classifier import atomic_files

goal, moment = int(os.environ.get("TEST_KILL_AT", -1)), os.environ.get("TEST_KILL_MOMENT")
publish = atomic_files.publish

def publish_and_die(aside, directory):
    due = goal >= 0 and directory.name.startswith("step-") and int(directory.name[5:13]) >= goal
    if due and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    publish(aside, directory)
    if due:
        os.kill(os.getpid(), signal.SIGKILL)

atomic_files.publish = publish_and_die
from classifier.cli.app import main
sys.argv = ["classifier", *sys.argv[1:]]
main()
"""
"""It kills itself before or after it saves the state of a step: a moment of its own work, on any machine."""


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture
def training(workspace, encoder, tmp_path):
    """Train on 67 articles, 17 steps an epoch, saving every third step; with `until`, only up to that step."""
    take_in(workspace, tmp_path / "known.csv", articles(75), proportions=Proportions(1, 0, 0))

    def one(*, until=None, home="home", recipe=RECIPE):
        settings = Settings(home=tmp_path / home, checkpoint_steps=3, _env_file=None)

        def on_progress(now):
            if until in {now.step, "the first step"}:
                raise KilledError(now.step)

        place = Workspace(workspace.database, settings)
        return candidate.train(place, recipe, encoder_name=str(encoder), on_progress=on_progress)

    return one


@pytest.fixture
def killed(training, tmp_path):
    """Train until step 11, in the first epoch, before any best weights; return the folder of what was saved."""
    with pytest.raises(KilledError):
        training(until=11)
    (folder,) = (tmp_path / "home" / "checkpoints").iterdir()
    assert [path.name for path in sorted(folder.glob("step-*"))] == ["step-00000006.0001", "step-00000009.0001"]
    return folder


def first_step(training, **options):
    with pytest.raises(KilledError) as killed:
        training(until="the first step", **options)
    return killed.value.args[0]


def weights(trained):
    return (Path(trained.artefact) / "model.safetensors").read_bytes()


def history(trained):
    manifest = json.loads((Path(trained.artefact) / "classifier.json").read_text())
    return [{name: epoch[name] for name in ("epoch", "loss", "accuracy", "macro_f1")}
            for epoch in manifest["training"]["history"]]  # fmt: skip


@pytest.mark.long
@pytest.mark.slow
def test_killed_at_five_random_moments_it_ends_as_the_unbroken_run(workspace, encoder, tmp_path):
    """`kill -9` of the command itself, in the number format that this machine trains in."""
    take_in(workspace, tmp_path / "known.csv", articles(300))
    command = [sys.executable, "-c", COMMAND, "train", "--encoder", str(encoder), "--epochs", "6", "--patience", "6",
               "--batch-size", "4", "--learning-rate", "0.01", "--max-length", "16", "--json"]  # fmt: skip
    environment = {
        **os.environ,
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_CHECKPOINT_STEPS": "5",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = [subprocess.run(command, env={**environment, "CLASSIFIER_HOME": str(tmp_path / "unbroken")},
                           check=True, capture_output=True, text=True)]  # fmt: skip
    environment["CLASSIFIER_HOME"] = str(tmp_path / "broken")
    seed = random.randrange(10**6)
    choose = random.Random(seed)
    saved = tmp_path / "broken" / "checkpoints"
    for goal in sorted(choose.sample(range(300), 5)):
        kill = {"TEST_KILL_AT": str(goal), "TEST_KILL_MOMENT": choose.choice(["before", "after"])}
        killed = subprocess.run(command, env={**environment, **kill}, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, f"seed {seed}: {killed.stderr}"
    (under_way,) = status.read_status(workspace).trainings
    assert 1 <= under_way.attempts <= 5
    assert 0 < under_way.step < under_way.steps

    done.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True))
    unbroken, broken = (candidate.Trained(**json.loads(one.stdout)) for one in done)
    assert (unbroken.resumed_from_step, broken.resumed_from_step > 0) == (0, True)
    assert weights(broken) == weights(unbroken), f"seed {seed}"
    assert history(broken) == history(unbroken)
    assert broken.validation_macro_f1 == unbroken.validation_macro_f1 > 0.5
    assert list(saved.iterdir()) == [], "what was saved goes when the model is registered"
    assert query(workspace.database, "SELECT status, model_id IS NULL FROM training_runs") == [("succeeded", False)] * 2
    curves = "SELECT epoch, step, loss, accuracy, macro_f1 FROM training_metrics WHERE run_id = {} AND macro_f1 > 0"
    first, second = (query(workspace.database, f"{curves.format(run_id)} ORDER BY 1") for (run_id,) in
                     query(workspace.database, "SELECT id FROM training_runs ORDER BY 1"))  # fmt: skip
    assert first == second
    assert [epoch for epoch, *_ in first] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
class TestOneThatDied:
    def test_goes_on_and_ends_in_the_same_weights(self, training, killed):
        broken, unbroken = training(), training(home="other")
        assert (broken.resumed_from_step, unbroken.resumed_from_step) == (9, 0)
        assert weights(broken) == weights(unbroken)
        assert history(broken) == history(unbroken)
        assert not killed.exists()

    def test_goes_on_from_the_state_before_a_damaged_one(self, training, killed, caplog):
        newest = killed / "step-00000009.0001" / "state.safetensors"
        content = bytearray(newest.read_bytes())
        content[-9] ^= 1
        newest.write_bytes(content)
        assert first_step(training) == 7
        assert "step-00000009.0001: damaged" in caplog.text

    def test_starts_afresh_where_every_state_is_damaged(self, training, killed, caplog):
        for path in killed.glob("step-*/state.json"):
            path.write_text(path.read_text()[:50])
        assert first_step(training) == 1
        assert caplog.text.count("damaged") == 2

    def test_starts_afresh_where_the_articles_have_changed(self, training, killed, workspace, tmp_path):
        take_in(workspace, tmp_path / "more.csv", articles(6, prefix="more", seed=9))
        assert first_step(training) == 1
        assert killed.exists(), "it may still be wanted"

    @pytest.mark.usefixtures("killed")
    def test_starts_afresh_where_the_recipe_has_changed(self, training):
        assert first_step(training, recipe=replace(RECIPE, seed=1)) == 1

    def test_is_not_registered_twice_where_it_died_just_after_that(self, training, killed, workspace, monkeypatch):
        def die(_):
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "discard", die)
            with pytest.raises(KilledError):
                training()
        assert training().model == value(workspace.database, "SELECT name FROM models")
        assert query(workspace.database, "SELECT status FROM training_runs WHERE model_id > 0") == [("succeeded",)]
        assert not killed.exists()


def test_the_same_training_twice_at_once_is_refused_in_one_line(training, killed):
    with (
        checkpoints.opened(killed.parent, killed.name),
        pytest.raises(TrainingUnderWayError, match=rf"trained already, by process {os.getpid()}; wait for it"),
    ):
        training()


def limit_rows(monkeypatch, most):
    """Let every step of more than `most` rows run out of memory, as TensorFlow says it."""
    import keras
    import tensorflow as tf

    calls, fit = [], keras.Model.train_on_batch

    def limited(self, **given):
        rows = len(given["x"]["token_ids"])
        calls.append(rows)
        if rows > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return fit(self, **given)

    monkeypatch.setattr(keras.Model, "train_on_batch", limited)
    return calls


@pytest.mark.slow
def test_out_of_memory_halves_what_is_computed_at_once_and_says_so(training, killed, monkeypatch, caplog):
    calls = limit_rows(monkeypatch, 1)
    trained = training()
    assert trained.resumed_from_step == 9
    assert calls[:3] == [4, 2, 1]
    assert "a step's 4 articles are computed in 4 parts of 1" in caplog.text
    assert len(calls) == 2 + 4 * (3 * 17 - 9)
    assert json.loads((Path(trained.artefact) / "classifier.json").read_text())["training"]["parts"] == 4


def test_not_even_one_article_at_a_time_is_the_users_to_mend(training, monkeypatch):
    limit_rows(monkeypatch, 0)
    with pytest.raises(TrainingMemoryError, match="not even one article"):
        training()


@pytest.mark.slow
def test_the_model_has_its_learning_curves_and_tensorboard_files(training, workspace):
    from tensorflow.compat.v1.train import summary_iterator

    trained = training()
    folder = Path(trained.artefact)
    assert "validation" in (folder / "learning-curves.svg").read_text()
    (events,) = folder.glob("events.out.tfevents.*")
    found = [(event.step, one.tag) for event in summary_iterator(str(events)) for one in event.summary.value]
    assert [step for step, tag in found if tag == "train/loss"] == list(range(1, 52))
    assert [step for step, tag in found if tag == "validation/macro_f1"] == [17, 34, 51]


@pytest.mark.slow
def test_a_database_that_is_briefly_away_stops_no_training_and_loses_no_epoch(training, workspace, caplog, monkeypatch):
    from classifier.pipeline.training import metrics_recorder

    run(workspace.database, "ALTER TABLE training_metrics RENAME TO away")
    recorder_at = metrics_recorder.Recorder.__call__

    def comes_back(self, now):
        if now.step == 20:
            run(workspace.database, "ALTER TABLE away RENAME TO training_metrics")
        recorder_at(self, now)

    monkeypatch.setattr(metrics_recorder.Recorder, "__call__", comes_back)
    training()
    assert "cannot be written now" in caplog.text
    epochs = "SELECT epoch FROM training_metrics WHERE macro_f1 IS NOT NULL ORDER BY step"
    assert query(workspace.database, epochs) == [(1,), (2,), (3,)]
    assert value(workspace.database, "SELECT status FROM training_runs") == "succeeded"


def test_the_parts_of_a_step_add_up_to_the_whole(encoder):
    """One step of five articles, whole and in three parts with a row of padding, without dropout."""
    import numpy as np

    from classifier.model import checkpoint
    from classifier.training.batches import Batch, split

    tiny = checkpoint.read_checkpoint(encoder)
    choose = np.random.default_rng(0)
    tokens = choose.integers(1, 17, (5, 8)).astype(np.int32)
    batch = Batch(tokens, np.ones_like(tokens), choose.integers(0, 3, 5), np.ones(5, np.float32), np.arange(5))

    def fitted(parts):
        network = networks.Network(tiny.shape, 3, dropout=0.0)
        network.load(tiny)
        for layer in network._model._flatten_layers():
            if hasattr(layer, "rate"):
                layer.rate = 0.0
        network.prepare(networks.OptimizerConfig(0.01, 0.01, 1, 10, 1.0, parts))
        for _ in range(3):
            for part in split(batch, parts):
                network.fit_batch(part.tokens, part.mask, part.targets, part.sample_weight)
        return network.weights()

    whole, parts = fitted(1), fitted(3)
    for name, tensor in whole.items():
        np.testing.assert_allclose(parts[name], tensor, atol=2e-4, err_msg=name)
    moved = max(np.abs(tensor - tiny.weights[name]).max() for name, tensor in whole.items() if name in tiny.weights)
    assert moved > 0.01
