"""A training stores its provenance, is reproducible, starts from a model, and is skipped if nothing is new."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import pytest

from classifier import registry
from classifier.exceptions import SettingsError
from classifier.pipeline.training import candidate, training_data
from classifier.store import annotated_articles, model_rows
from classifier.training import data_snapshot
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, annotate, articles, ingest_file, run, value
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=0.01, max_length=16, dtype="float32")


@pytest.fixture
def train(workspace, tmp_path):
    """Add annotated articles to the database, and return a function that trains on them."""
    rows = [{**row, "split": "validation" if n % 4 == 3 else "train"} for n, row in enumerate(articles(60))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    encoder = str(make_encoder(tmp_path / "encoder"))

    def run_training(**options):
        started = {} if options.get("start_from") else {"encoder_name": encoder}
        return candidate.train(workspace, RECIPE, **started, **options)

    return run_training


def details(workspace, name):
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        return registry.open_artefact(model), model_rows.training(connection, model.id)


def metrics(training):
    return [(epoch["loss"], epoch["accuracy"], epoch["macro_f1"]) for epoch in training["training"]["history"]]


@pytest.mark.slow
def test_a_training_stores_its_data_and_is_reproducible_bit_by_bit(workspace, train):
    (first, first_details), (second, second_details) = (details(workspace, train().model) for _ in range(2))
    assert metrics(first_details) == metrics(second_details)
    hashes = [files.manifest["sha256"] for files in (first, second)]
    assert hashes[0]["model.safetensors"] == hashes[1]["model.safetensors"]
    assert hashes[0][data_snapshot.FILE] == hashes[1][data_snapshot.FILE] == first_details["data"]["snapshot_sha256"]
    assert first_details["data"] == second_details["data"]
    with workspace.database.connect() as connection:
        used = [
            *annotated_articles.load_split(connection, "train"),
            *annotated_articles.load_split(connection, "validation"),
        ]
    assert data_snapshot.read_snapshot(first.directory) == {
        (article.id, article.text_hash, article.categories) for article in used
    }
    assert (
        hashlib.sha256((first.directory / data_snapshot.FILE).read_bytes()).hexdigest() == hashes[0][data_snapshot.FILE]
    )


@pytest.mark.slow
def test_training_from_the_champion_adds_a_row_for_a_new_category(workspace, train, caplog):
    caplog.set_level(logging.INFO)
    assert details(workspace, train(start_from=None).model)[1]["from"] is None
    run(workspace.database, "UPDATE models SET status = 'champion'")
    with workspace.database.begin() as connection:
        annotate(connection, value(workspace.database, "SELECT min(id) FROM articles WHERE split = 'train'"), "art")
    report = train(start_from="champion", min_new_annotations=1)
    files, training = details(workspace, report.model)
    assert files.categories == ("art", "business", "sport", "tech")
    assert training["from"] == value(workspace.database, "SELECT name FROM models WHERE status = 'champion'")
    assert "3 of 4 categories; new: ['art']; left out: []" in caplog.text
    assert "1 new annotation since" in caplog.text


class TestSkipping:
    """Nothing is trained: the test writes the snapshot of an earlier training."""

    @pytest.fixture
    def trained(self, workspace, train, monkeypatch):
        """Register a model with a snapshot of the present articles, and return a function that trains."""
        from tests.support.tiny_models import make_artefact

        train_articles, validation_articles = training_data.read_training_data(workspace)
        content = data_snapshot.encode_snapshot({"train": train_articles, "validation": validation_articles})
        files = make_artefact(workspace.models / "m1", extra_files={data_snapshot.FILE: content})
        with workspace.database.begin() as connection:
            registry.register(connection, "m1", files, {"data": {"sha256": "0"}})
        run(workspace.database, "UPDATE models SET status = 'rejected'")

        def no_training(*_, **__):
            raise TrainsError

        monkeypatch.setattr(candidate.session, "fit", no_training)
        return train

    def test_a_training_without_new_annotations_is_skipped_with_a_reason(self, trained):
        report = trained(min_new_annotations=1)
        assert isinstance(report, candidate.SkippedTraining)
        assert report.reason == "0 new annotations since m1, fewer than the minimum of 1"

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

    def test_without_a_champion_training_starts_from_the_encoder(self, workspace, caplog):
        start = candidate.starting_point.find_starting_point(replace_encoder(workspace), None, "champion")
        assert (start.model, start.files) == (None, None)
        assert "there is no champion yet: starting from the encoder" in caplog.text

    def test_an_encoder_and_a_model_to_start_from_cannot_both_be_set(self, workspace):
        with pytest.raises(SettingsError, match="choose one of them"):
            candidate.train(workspace, RECIPE, encoder_name="x", start_from="m1")


class TrainsError(Exception):
    """A training would have started."""


def replace_encoder(workspace):
    settings = workspace.settings.model_copy(update={"encoder": str(make_encoder(workspace.settings.home / "e"))})
    return replace(workspace, settings=settings)
