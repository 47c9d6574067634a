"""A training that was killed resumes where it stopped, and ends with the same bits as an uninterrupted one."""

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

from classifier.exceptions import TrainingInProgressError, TrainingMemoryError
from classifier.ingest.splits import Proportions
from classifier.model.keras import network as networks
from classifier.pipeline.monitoring import status
from classifier.pipeline.training import candidate
from classifier.settings import Settings
from classifier.training import checkpoints
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support.synthetic import articles, ingest_file, query, run, value
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
"""The command kills itself before or after it saves the state of a step, so the moment is the same on any machine."""


class KilledError(BaseException):
    """Stands in for the death of the process."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture
def training(workspace, encoder, tmp_path):
    """Return a function that trains in 17 steps per epoch, saves every third of them, and dies at step `until`."""
    ingest_file(workspace, tmp_path / "known.csv", articles(75), proportions=Proportions(1, 0, 0))

    def train(*, until=None, home="home", recipe=RECIPE):
        settings = Settings(home=tmp_path / home, checkpoint_steps=3, _env_file=None)

        def on_progress(progress):
            if until in {progress.step, "the first step"}:
                raise KilledError(progress.step)

        env = Workspace(workspace.database, settings)
        return candidate.train(env, recipe, encoder_name=str(encoder), on_progress=on_progress)

    return train


@pytest.fixture
def killed(training, tmp_path):
    """Train until step 11, in the first epoch, before there are best weights; return the folder of the saved states."""
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
def test_a_training_killed_at_five_random_moments_ends_like_an_uninterrupted_one(workspace, encoder, tmp_path):
    """The command is killed with `kill -9`, and trains with the dtype of this machine."""
    ingest_file(workspace, tmp_path / "known.csv", articles(300))
    values = ("epochs=6", "patience=6", "batch_size=4", "learning_rate=0.01", "max_length=16")
    changes = [argument for value in values for argument in ("--set", value)]
    command = [sys.executable, "-c", COMMAND, "train", "--encoder", str(encoder), *changes, "--json"]
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
    (running,) = status.read_status(workspace).trainings
    assert 1 <= running.attempts <= 5
    assert 0 < running.step < running.steps

    done.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True))
    unbroken, broken = (candidate.Trained(**json.loads(process.stdout)) for process in done)
    assert (unbroken.resumed_from_step, broken.resumed_from_step > 0) == (0, True)
    assert weights(broken) == weights(unbroken), f"seed {seed}"
    assert history(broken) == history(unbroken)
    assert broken.validation_macro_f1 == unbroken.validation_macro_f1 > 0.5
    assert list(saved.iterdir()) == [], "the saved states are deleted once the model is registered"
    assert query(workspace.database, "SELECT status, model_id IS NULL FROM training_runs") == [("succeeded", False)] * 2
    curves = "SELECT epoch, step, loss, accuracy, macro_f1 FROM training_metrics WHERE run_id = {} AND macro_f1 > 0"
    first, second = (query(workspace.database, f"{curves.format(run_id)} ORDER BY 1") for (run_id,) in
                     query(workspace.database, "SELECT id FROM training_runs ORDER BY 1"))  # fmt: skip
    assert first == second
    assert [epoch for epoch, *_ in first] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
class TestAKilledTraining:
    def test_resumes_and_ends_with_the_same_weights(self, training, killed):
        broken, unbroken = training(), training(home="other")
        assert (broken.resumed_from_step, unbroken.resumed_from_step) == (9, 0)
        assert weights(broken) == weights(unbroken)
        assert history(broken) == history(unbroken)
        assert not killed.exists()

    def test_resumes_from_the_state_before_a_damaged_one(self, training, killed, caplog):
        newest = killed / "step-00000009.0001" / "state.safetensors"
        content = bytearray(newest.read_bytes())
        content[-9] ^= 1
        newest.write_bytes(content)
        assert first_step(training) == 7
        assert "step-00000009.0001: damaged" in caplog.text

    def test_starts_from_the_beginning_if_every_state_is_damaged(self, training, killed, caplog):
        for path in killed.glob("step-*/state.json"):
            path.write_text(path.read_text()[:50])
        assert first_step(training) == 1
        assert caplog.text.count("damaged") == 2

    def test_starts_from_the_beginning_if_the_articles_have_changed(self, training, killed, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "more.csv", articles(6, prefix="more", seed=9))
        assert first_step(training) == 1
        assert killed.exists(), "its training may still be resumed"

    @pytest.mark.usefixtures("killed")
    def test_starts_from_the_beginning_if_the_recipe_has_changed(self, training):
        assert first_step(training, recipe=replace(RECIPE, seed=1)) == 1

    def test_is_not_registered_twice_if_it_died_just_after_registering(self, training, killed, workspace, monkeypatch):
        def die(_):
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "discard", die)
            with pytest.raises(KilledError):
                training()
        assert training().model == value(workspace.database, "SELECT name FROM models")
        assert query(workspace.database, "SELECT status FROM training_runs WHERE model_id > 0") == [("succeeded",)]
        assert not killed.exists()


def test_a_second_process_with_the_same_training_is_refused_in_one_line(training, killed):
    with (
        checkpoints.open_checkpoints(killed.parent, killed.name),
        pytest.raises(
            TrainingInProgressError,
            match=rf"process {os.getpid()} is training with the same articles and recipe; wait for it",
        ),
    ):
        training()


def limit_rows(monkeypatch, max_rows):
    """Make steps of more than `max_rows` rows run out of memory as TensorFlow does; return the rows of each call."""
    import keras
    import tensorflow as tf

    calls, fit = [], keras.Model.train_on_batch

    def limited(self, **arguments):
        rows = len(arguments["x"]["token_ids"])
        calls.append(rows)
        if rows > max_rows:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return fit(self, **arguments)

    monkeypatch.setattr(keras.Model, "train_on_batch", limited)
    return calls


@pytest.mark.slow
def test_a_step_that_runs_out_of_memory_is_split_and_logged(training, killed, monkeypatch, caplog):
    calls = limit_rows(monkeypatch, 1)
    trained = training()
    assert trained.resumed_from_step == 9
    assert calls[:3] == [4, 2, 1]
    assert "a step's 4 articles is accumulated over 4 parts of 1" in caplog.text
    assert len(calls) == 2 + 4 * (3 * 17 - 9)
    assert json.loads((Path(trained.artefact) / "classifier.json").read_text())["training"]["accumulation_steps"] == 4


def test_too_little_memory_for_one_article_is_reported_to_the_user(training, monkeypatch):
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
    points = [(event.step, value.tag) for event in summary_iterator(str(events)) for value in event.summary.value]
    assert [step for step, tag in points if tag == "train/loss"] == list(range(1, 52))
    assert [step for step, tag in points if tag == "validation/macro_f1"] == [17, 34, 51]


@pytest.mark.slow
def test_a_short_outage_of_the_database_neither_stops_the_training_nor_loses_an_epoch(
    training, workspace, caplog, monkeypatch
):
    from classifier.pipeline.training import metrics_recorder

    run(workspace.database, "ALTER TABLE training_metrics RENAME TO away")
    record = metrics_recorder.MetricsRecorder.__call__

    def comes_back(self, progress):
        if progress.step == 20:
            run(workspace.database, "ALTER TABLE away RENAME TO training_metrics")
        record(self, progress)

    monkeypatch.setattr(metrics_recorder.MetricsRecorder, "__call__", comes_back)
    training()
    assert "cannot write the training's metrics now" in caplog.text
    epochs = "SELECT epoch FROM training_metrics WHERE macro_f1 IS NOT NULL ORDER BY step"
    assert query(workspace.database, epochs) == [(1,), (2,), (3,)]
    assert value(workspace.database, "SELECT status FROM training_runs") == "succeeded"


def test_the_gradient_of_a_split_batch_is_the_gradient_of_the_batch(encoder):
    """Steps of five articles, unsplit and split into three parts with a row of padding, without dropout."""
    import numpy as np

    from classifier.model import checkpoint
    from classifier.training.batches import TrainingBatch, split_batch

    encoder_checkpoint = checkpoint.read_checkpoint(encoder)
    choose = np.random.default_rng(0)
    tokens = choose.integers(1, 17, (5, 8)).astype(np.int32)
    batch = TrainingBatch(tokens, np.ones_like(tokens), choose.integers(0, 3, 5), np.ones(5, np.float32), np.arange(5))

    def fitted(accumulation_steps):
        network = networks.Network(encoder_checkpoint.shape, 3, dropout=0.0)
        network.load(encoder_checkpoint)
        for layer in network._model._flatten_layers():
            if hasattr(layer, "rate"):
                layer.rate = 0.0
        network.prepare(networks.OptimizerConfig(0.01, 0.01, 1, 10, 1.0, accumulation_steps))
        for _ in range(3):
            for part in split_batch(batch, accumulation_steps):
                network.fit_batch(part.tokens, part.mask, part.targets, part.sample_weight)
        return network.weights()

    unsplit, split = fitted(1), fitted(3)
    for name, tensor in unsplit.items():
        np.testing.assert_allclose(split[name], tensor, atol=2e-4, err_msg=name)
    pretrained = encoder_checkpoint.weights
    moved = max(np.abs(tensor - pretrained[name]).max() for name, tensor in unsplit.items() if name in pretrained)
    assert moved > 0.01
