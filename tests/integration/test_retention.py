"""Pruning keeps what a rollback, the gate, the next training and a process that uses a model need."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from classifier import advisory_locks, registry
from classifier.cli import promotion
from classifier.cli.app import app
from classifier.exceptions import ModelNotFoundError, RollbackError, TrainingDataError
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import (
    decisions,
    evaluation,
    gate_result,
    html_report,
    label_churn,
    pruning,
    retention,
)
from classifier.pipeline.promotion.model_files import model_in_use
from classifier.pipeline.training import candidate, starting_point, training_data, tuning
from classifier.store import annotated_articles, model_rows
from classifier.training import data_snapshot
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, LENIENT, articles, ingest_file, query, unlabelled, value
from tests.support.tiny_models import make_artefact, make_encoder

RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=0.01, max_length=16, dtype="float32")


@pytest.fixture
def annotated(workspace, tmp_path):
    """Sixty annotated articles, of every split."""
    splits = ("train", "validation", "test")
    rows = [{**row, "split": splits[n // 3 % 3]} for n, row in enumerate(articles(60))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))


@pytest.fixture
def model(workspace):
    """Register a model like a training on all annotated articles, and decide on it."""

    def add(name, verdict=None, *, seed=0):
        with workspace.database.begin() as connection:
            parts = {part: annotated_articles.load_split(connection, part) for part in ("train", "validation")}
            files = make_artefact(
                workspace.models / name,
                seed=seed,
                extra_files={data_snapshot.FILE: data_snapshot.encode_snapshot(parts)},
            )
            model = registry.register(connection, name, files, {"data": {"snapshot": data_snapshot.FILE}})
            if verdict:
                registry.decide(connection, model, verdict, "because", decided_by="test", statistics={})
        return model

    return add


def newly_annotated(workspace):
    with workspace.database.connect() as connection:
        return [
            *annotated_articles.load_split(connection, "train"),
            *annotated_articles.load_split(connection, "validation"),
        ]


def names(pruned):
    return [model.model for model in pruned]


@pytest.mark.usefixtures("annotated")
class TestTheNextTraining:
    """After a prune, a training can start, and can see that there are no new annotations."""

    def test_six_undecided_candidates_that_were_pruned_do_not_stop_it(self, workspace, model):
        model("m1", "promoted")
        for number in range(6):
            model(f"u{number}", "undecided", seed=number)
        assert len(pruning.prune(workspace, keep=3, yes=True)) == 2
        skipped = starting_point.skip_training(workspace, (newly_annotated(workspace),), 1)
        assert (skipped.since, skipped.new_annotations) == ("m1", 0)

    def test_the_model_that_it_compares_the_data_with_is_never_pruned(self, workspace, model):
        model("m1", "promoted")
        for number in range(3):
            model(f"r{number}", "held", seed=number)
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0", "r1"]
        assert starting_point.skip_training(workspace, (newly_annotated(workspace),), 1).since == "r2"

    def test_after_a_pruning_of_an_earlier_version_it_compares_with_one_that_is_there(self, workspace, model):
        model("m1", "promoted")
        last = model("r1", "held")
        with workspace.database.begin() as connection:
            pruning.model_rows.set_status(connection, last.id, "pruned")
        shutil.rmtree(last.artefact)
        assert starting_point.skip_training(workspace, (newly_annotated(workspace),), 1).since == "m1"

    @pytest.mark.parametrize("lost", ["model.safetensors", "snapshot.parquet", None])
    def test_it_trains_where_the_files_to_compare_with_are_gone_and_says_so(self, workspace, model, lost, caplog):
        champion = model("m1", "promoted")
        if lost:
            (workspace.models / "m1" / lost).unlink()
        else:
            shutil.rmtree(champion.artefact)
        assert starting_point.skip_training(workspace, (newly_annotated(workspace),), 1) is None
        assert "m1: cannot read the snapshot of its training data" in caplog.text


class TestWhatIsKept:
    @pytest.fixture
    def nights(self, model):
        """Four champions, each followed by three models that were held."""
        for number in range(4):
            model(f"m{number}", "promoted", seed=number)
            for night in range(3):
                model(f"r{number}{night}", "held", seed=night)

    @pytest.mark.usefixtures("nights")
    def test_former_champions_are_not_pushed_out_by_models_that_were_held(self, workspace):
        pruned = names(pruning.prune(workspace, keep=2, keep_champions=2, yes=True))
        assert [name for name in pruned if name.startswith("m")] == ["m0"]
        assert [decisions.roll_back(workspace).model for _ in range(2)] == ["m2", "m1"]
        with pytest.raises(RollbackError, match="no champion before m1"):
            decisions.roll_back(workspace)

    @pytest.mark.usefixtures("nights")
    def test_every_night_ends_with_as_many_models_as_the_setting_says(self, workspace, model):
        with_setting = Workspace(workspace.database, workspace.settings.model_copy(update={"keep_models": 2}))
        model("undecided on", None)
        retention.apply_retention(with_setting)
        kept = {path.name for path in workspace.models.iterdir()}
        assert kept == {"m3", "m2", "m1", "m0", "r30", "r31", "r32", "undecided on"}, "r32 is the last decided on"
        assert retention.apply_retention(with_setting).models == 0

    @pytest.mark.usefixtures("nights")
    def test_the_command_keeps_as_many_champions_as_every_night_does(self, workspace, monkeypatch):
        monkeypatch.setattr(promotion, "workspace", lambda: workspace)
        result = CliRunner().invoke(app, ["prune", "--keep-models", "0", "--yes", "--json"])
        pruned = {model["model"] for model in json.loads(result.stdout)["models"]}
        assert pruned
        assert pruned.isdisjoint({"m0", "m1", "m2", "m3"})
        text = CliRunner().invoke(app, ["prune", "--help"]).stdout
        assert f"by default, {retention.KEPT_CHAMPIONS}." in re.sub(r"[\s│|]+", " ", text)

    @pytest.mark.usefixtures("nights")
    def test_the_setting_can_keep_every_model(self, workspace):
        with_setting = Workspace(workspace.database, workspace.settings.model_copy(update={"keep_models": -1}))
        assert retention.apply_retention(with_setting) is None
        assert value(workspace.database, "SELECT count(*) FROM models WHERE status = 'pruned'") == 0

    def test_it_is_on_by_default(self, workspace):
        assert workspace.settings.keep_models > 0

    def test_files_next_to_a_pruned_model_are_deleted_too(self, workspace, model):
        model("r0", "held")
        model("m1", "promoted")
        for name in ("r0", "m1"):
            (workspace.models / f"{name}.evaluation.json").write_text("{}")
            (workspace.models / f"{name}.evaluation.html").write_text("")
        pruning.prune(workspace, keep=0, yes=True)
        left = {path.name for path in workspace.models.iterdir()}
        assert left == {"m1", "m1.evaluation.json", "m1.evaluation.html"}

    def test_a_file_that_another_prune_deletes_meanwhile_ends_no_prune(self, workspace, model, monkeypatch):
        model("r0", "held")
        model("m1", "promoted")
        is_file = Path.is_file

        def delete_afterwards(path):
            result = is_file(path)
            if path.parent.name == "r0":
                path.unlink(missing_ok=True)
            return result

        monkeypatch.setattr(Path, "is_file", delete_afterwards)
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0"]
        assert not (workspace.models / "r0").exists()

    def test_half_written_models_go_after_a_week_and_nothing_else_does(self, workspace):
        old, young, foreign, complete = (
            ".20260101-020000-abcd.x1y2", ".20260102-020000-abcd.x1y2", ".snapshots", "20260101-020000-abcd"
        )  # fmt: skip
        for name in (old, young, foreign, complete):
            (workspace.models / name).mkdir(parents=True)
            (workspace.models / name / "model.safetensors").write_bytes(b"x")
        for name in (old, foreign, complete):
            for path in (workspace.models / name / "model.safetensors", workspace.models / name):
                os.utime(path, (time.time() - 8 * 86_400,) * 2)
        assert retention.apply_retention(workspace).half_written == 1
        assert {path.name for path in workspace.models.iterdir()} == {young, foreign, complete}


class TestModelsInUse:
    def test_a_model_in_use_is_left_for_the_next_prune(self, workspace, model, caplog):
        caplog.set_level(logging.INFO)
        for name in ("r0", "r1"):
            model(name, "held")
        model("m1", "promoted")
        with workspace.database.connect() as connection:
            read = model_rows.by_name(connection, "r0")
        with model_in_use(workspace, read):
            assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r1"]
            assert Path(read.artefact).is_dir()
            assert "r0: in use" in caplog.text
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0"]

    def test_a_lock_that_is_lost_with_its_connection_does_not_fail_the_use_case(self, workspace, model):
        row = model("r0", "held")
        with model_in_use(workspace, row):
            held = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = {advisory_locks.MODEL_FILES}"
            assert query(workspace.database, held) == [(True,)]
        with model_in_use(workspace, row):
            assert value(workspace.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 1
        assert value(workspace.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

    @pytest.mark.usefixtures("annotated")
    @pytest.mark.parametrize("use_case", [evaluation.evaluate, gate_result.apply_gate, label_churn.measure_churn])
    def test_an_evaluation_keeps_its_model(self, workspace, model, use_case, monkeypatch):
        model("r0", "held")
        evaluation.evaluate(workspace, "r0")
        model("m1", "promoted")
        evaluation.evaluate(workspace, "m1")
        pruned, opened = [], registry.open_artefact

        def prune_meanwhile(row):
            pruned.append(names(pruning.prune(workspace, keep=0, yes=True)))
            return opened(row)

        monkeypatch.setattr(registry, "open_artefact", prune_meanwhile)
        use_case(workspace, "r0")
        assert pruned
        assert not any(pruned)

    @pytest.mark.slow
    @pytest.mark.usefixtures("annotated")
    def test_a_training_that_starts_from_a_model_keeps_it_to_its_end(self, workspace, model):
        model("r0", "held")
        model("m1", "promoted")
        pruned = []
        trained = candidate.train(
            workspace,
            RECIPE,
            start_from="r0",
            on_progress=lambda _: pruned.extend(pruning.prune(workspace, keep=0, yes=True)),
        )
        assert pruned == []
        assert (workspace.models / trained.model / "tokenizer.json").is_file()
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0"]

    @pytest.mark.usefixtures("annotated")
    @pytest.mark.parametrize(
        "use",
        [
            lambda workspace: candidate.train(workspace, RECIPE, start_from="r0"),
            lambda workspace: tuning.tune(workspace, RECIPE, trials=1, start_from="r0"),
        ],
        ids=["train", "tune"],
    )
    def test_a_training_keeps_the_model_it_starts_from_while_it_reads_the_articles(
        self, workspace, model, monkeypatch, use
    ):
        model("r0", "held")
        model("m1", "promoted")
        read, pruned = training_data.read_training_data, []

        def prune_meanwhile(*arguments):
            read(*arguments)
            pruned.append(names(pruning.prune(workspace, keep=0, yes=True)))
            raise TrainingDataError("stop here")

        monkeypatch.setattr(training_data, "read_training_data", prune_meanwhile)
        with pytest.raises(TrainingDataError, match="stop here"):
            use(workspace)
        assert pruned == [[]]
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0"]

    def test_a_model_to_start_from_is_kept_while_its_files_are_checked(self, workspace, model, monkeypatch):
        model("r0", "held")
        model("m1", "promoted")
        opened, pruned = registry.open_artefact, []

        def prune_meanwhile(row):
            pruned.append(names(pruning.prune(workspace, keep=0, yes=True)))
            return opened(row)

        monkeypatch.setattr(registry, "open_artefact", prune_meanwhile)
        assert starting_point.find_starting_point(workspace, None, "r0").model == "r0"
        assert pruned == [[]]

    def test_labels_of_a_batch_that_a_worker_has_claimed_are_not_pruned(self, workspace, model, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(4))
        worker_of = model("r0", "held")
        model("m1", "promoted")
        with workspace.database.begin() as page:
            page.execute(
                pruning.labelling_queue.query("open_page"),
                {"pages": advisory_locks.OPEN_PAGES, "model_id": worker_of.id},
            )
            assert pruning.prune(workspace, keep=0, yes=True) == []
        assert names(pruning.prune(workspace, keep=0, yes=True)) == ["r0"]


class TestAPrunedModelThatIsNamed:
    """The error says that the model was pruned, and not that it must be restored from a backup."""

    @pytest.fixture
    def pruned(self, workspace, model):
        model("r0", "held")
        evaluation.evaluate(workspace, "r0")
        model("m1", "promoted")
        evaluation.evaluate(workspace, "m1")
        pruning.prune(workspace, keep=0, yes=True)

    @pytest.mark.usefixtures("annotated", "pruned")
    @pytest.mark.parametrize(
        "use",
        [
            lambda workspace: evaluation.evaluate(workspace, "r0"),
            lambda workspace: gate_result.apply_gate(workspace, "r0"),
            lambda workspace: label_churn.measure_churn(workspace, "r0"),
            lambda workspace: decisions.promote_if_better(workspace, "r0", margins=LENIENT),
            lambda workspace: starting_point.find_starting_point(workspace, None, "r0"),
            lambda workspace: candidate.train(workspace, RECIPE, start_from="r0"),
        ],
        ids=["evaluate", "gate", "churn", "promote", "start", "train"],
    )
    def test_it_is_refused_in_one_line(self, workspace, use):
        with pytest.raises(
            ModelNotFoundError, match=r"^r0: was pruned, its files and labels are gone; see: classifier models$"
        ):
            use(workspace)

    @pytest.mark.usefixtures("annotated", "pruned")
    def test_its_report_can_still_be_written(self, workspace):
        assert "r0" in Path(html_report.write_report(workspace, "r0").page).read_text(encoding="utf-8")

    @pytest.mark.usefixtures("annotated", "pruned")
    def test_without_a_name_the_newest_model_that_is_not_pruned_is_found(self, workspace):
        assert evaluation.evaluate(workspace).model == "m1"


def test_labels_are_deleted_only_of_models_that_have_labelled(workspace, model, tmp_path):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(7))
    model("r0", "held")
    for name in ("m1", "m2", "m3"):
        model(name, "promoted")
        queue.label_queue(workspace)
    listed = pruning.prune(workspace, keep=0)
    assert [(row.model, row.labels) for row in listed] == [("r0", 0), ("m1", 7)]
    assert [(row.model, row.labels) for row in pruning.prune(workspace, keep=0, yes=True)] == [("r0", 0), ("m1", 7)]
    assert query(workspace.database, "SELECT DISTINCT name FROM predictions JOIN models ON models.id = model_id") in (
        [("m2",), ("m3",)], [("m3",), ("m2",)]
    )  # fmt: skip


def test_an_encoder_is_no_model_and_stays(workspace, model, tmp_path):
    """Downloads, tuning studies and saved states are in other folders than models."""
    kept = [make_encoder(workspace.settings.home / "hub" / "encoder"), workspace.settings.checkpoints_directory / "k"]
    kept[1].mkdir(parents=True)
    model("r0", "held")
    model("m1", "promoted")
    retention.apply_retention(Workspace(workspace.database, workspace.settings.model_copy(update={"keep_models": 0})))
    assert all(path.exists() for path in kept)
