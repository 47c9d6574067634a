"""A training keeps how it came about, repeats itself, goes on from a model, and is skipped where nothing is new."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import pytest

from classifier import registry
from classifier.exceptions import SettingsError
from classifier.pipeline.training import candidate, training_data
from classifier.store import reads
from classifier.training import data_snapshot
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, annotate, articles, run, take_in, value
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=0.01, max_length=16, precision="float32")


@pytest.fixture
def world(workspace, tmp_path):
    """A database of annotated articles, and a function that trains on them."""
    rows = [{**row, "split": "validation" if n % 4 == 3 else "train"} for n, row in enumerate(articles(60))]
    take_in(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    encoder = str(make_encoder(tmp_path / "encoder"))

    def one(**options):
        started = {} if options.get("start_from") else {"encoder_name": encoder}
        return candidate.train(workspace, RECIPE, **started, **options)

    return one


def details(workspace, name):
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        return registry.open_artefact(model), reads.training(connection, model.id)


def told(training):
    return [(epoch["loss"], epoch["accuracy"], epoch["macro_f1"]) for epoch in training["training"]["history"]]


@pytest.mark.slow
def test_a_training_keeps_its_data_and_repeats_itself_bit_by_bit(workspace, world):
    (first, one), (second, two) = (details(workspace, world().model) for _ in range(2))
    assert told(one) == told(two)
    hashes = [files.manifest["sha256"] for files in (first, second)]
    assert hashes[0]["model.safetensors"] == hashes[1]["model.safetensors"]
    assert hashes[0][data_snapshot.FILE] == hashes[1][data_snapshot.FILE] == one["data"]["snapshot_sha256"]
    assert one["data"] == two["data"]
    with workspace.database.connect() as connection:
        used = [*reads.annotated_articles(connection, "train"), *reads.annotated_articles(connection, "validation")]
    assert data_snapshot.read_snapshot(first.directory) == {(one.id, one.text_hash, one.category) for one in used}
    assert (
        hashlib.sha256((first.directory / data_snapshot.FILE).read_bytes()).hexdigest() == hashes[0][data_snapshot.FILE]
    )


@pytest.mark.slow
def test_a_champion_is_gone_on_with_and_a_new_category_gets_a_row(workspace, world, caplog):
    caplog.set_level(logging.INFO)
    assert details(workspace, world(start_from=None).model)[1]["from"] is None
    run(workspace.database, "UPDATE models SET status = 'champion'")
    with workspace.database.begin() as connection:
        annotate(connection, value(workspace.database, "SELECT min(id) FROM articles WHERE split = 'train'"), "art")
    report = world(start_from="champion", min_new_annotations=1)
    files, training = details(workspace, report.model)
    assert files.categories == ("art", "business", "sport", "tech")
    assert training["from"] == value(workspace.database, "SELECT name FROM models WHERE status = 'champion'")
    assert "3 of 4 categories known; new: ['art']; gone: []" in caplog.text
    assert "1 new annotations since" in caplog.text


class TestSkipping:
    """Without a training: a snapshot is put where one would have left it."""

    @pytest.fixture
    def trained(self, workspace, world, monkeypatch):
        """Register a model that was trained on the articles as they are now."""
        from tests.support.tiny_models import make_artefact

        learnt, validated = training_data.read_training_data(workspace)
        content = data_snapshot.encode_snapshot({"train": learnt, "validation": validated})
        files = make_artefact(workspace.models / "m1", extra_files={data_snapshot.FILE: content})
        with workspace.database.begin() as connection:
            registry.register(connection, "m1", files, {"data": {"sha256": "0"}})
        run(workspace.database, "UPDATE models SET status = 'rejected'")

        def no_training(*_, **__):
            raise TrainsError

        monkeypatch.setattr(candidate.session, "fit", no_training)
        return world

    def test_nothing_new_is_skipped_and_says_so(self, trained):
        found = trained(min_new_annotations=1)
        assert isinstance(found, candidate.SkippedTraining)
        assert found.reason == "0 new annotations since m1, fewer than the 1 that a training is worth"

    def test_a_corrected_annotation_counts(self, workspace, trained):
        with workspace.database.begin() as connection:
            annotate(connection, value(workspace.database, "SELECT min(id) FROM articles"), "sport")
            annotate(connection, value(workspace.database, "SELECT max(id) FROM articles"), "business")
        assert trained(min_new_annotations=3).new_annotations == 2
        with pytest.raises(TrainsError):
            trained(min_new_annotations=2)

    def test_zero_always_trains(self, trained):
        with pytest.raises(TrainsError):
            trained()

    @pytest.mark.parametrize("state", ["status = 'candidate'", "training = '{}'"], ids=["undecided", "imported"])
    def test_a_model_that_was_not_trained_and_decided_on_does_not_count(self, workspace, trained, state):
        run(workspace.database, f"UPDATE models SET {state}")
        with pytest.raises(TrainsError):
            trained(min_new_annotations=1)

    def test_from_the_champion_is_from_the_encoder_while_there_is_none(self, workspace, caplog):
        found = candidate.starting_point.find_starting_point(replace_encoder(workspace), None, "champion")
        assert (found.model, found.files) == (None, None)
        assert "there is no champion to start from yet: starting afresh" in caplog.text

    def test_an_encoder_and_a_model_are_not_both_started_from(self, workspace):
        with pytest.raises(SettingsError, match="choose one of them"):
            candidate.train(workspace, RECIPE, encoder_name="x", start_from="m1")


class TrainsError(Exception):
    """A training would have begun."""


def replace_encoder(workspace):
    settings = workspace.settings.model_copy(update={"encoder": str(make_encoder(workspace.settings.home / "e"))})
    return replace(workspace, settings=settings)
