"""A multi-label task's candidates are trained, calibrated and imported as multi-label models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from classifier import registry
from classifier.evaluation.thresholds import CategoryThresholds
from classifier.exceptions import EncoderError, TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.ingest.splits import Proportions
from classifier.model import artefact, hardware, multi_label
from classifier.model.targets import label_matrix
from classifier.pipeline.training import calibration, candidate, model_import, training_data
from classifier.store import annotated_articles, task_rows
from classifier.training.recipes import Recipe
from classifier.training.spooled_articles import label_sets_of
from tests.support.synthetic import WORDS, articles, ingest_file, query, run
from tests.support.tiny_models import CATEGORIES, make_artefact, make_encoder

RECIPE = Recipe(
    epochs=2, batch_size=8, learning_rate=0.01, max_length=32, dtype="float32", ensemble="linear",
    class_weights="balanced", masking=0.05,
)  # fmt: skip


def label_set(number):
    """Return one, two or no categories."""
    return [name for column, name in enumerate(WORDS) if number % 7 in ((0, 1, 3), (1, 2), (1, 4))[column]]


def make_multi(workspace, *, min_labels=0):
    with workspace.database.begin() as connection:
        task_rows.change(connection, task_rows.current_id(connection), kind="multi", min_labels=min_labels)
    workspace = workspace.with_task(None)
    assert workspace.task.kind == "multi"
    return workspace


@pytest.fixture
def ready(workspace, tmp_path, monkeypatch):
    """Return a multi-label task's workspace: its articles have the words of their categories, and some have none."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    rows = [
        {**row, "text": " ".join(["the", *(WORDS[name][0] for name in label_set(number)), row["id"]])}
        for number, row in enumerate(articles(280))
    ]
    ingest_file(workspace, tmp_path / "articles.csv", rows, proportions=Proportions(0.5, 0.25, 0.25))
    annotate(workspace, lambda number: label_set(int(number)))
    make_encoder(tmp_path / "encoder")
    return make_multi(workspace, min_labels=1)


def annotate(workspace, labels_of):
    for article_id, external_id in query(workspace.database, "SELECT id, external_id FROM articles"):
        run(
            workspace.database,
            "UPDATE annotations SET categories = :names WHERE article_id = :id",
            names=sorted(labels_of(external_id[1:])),
            id=article_id,
        )


@pytest.mark.slow
def test_a_candidate_has_a_sigmoid_a_temperature_and_a_threshold_for_each_category(ready, tmp_path):
    trained = candidate.train(ready, RECIPE, encoder_name=str(tmp_path / "encoder"))
    files = artefact.read_artefact(Path(trained.artefact))
    config = json.loads((files.directory / "config.json").read_text(encoding="utf-8"))
    assert (files.kind, config["problem_type"]) == ("multi", "multi_label_classification")
    assert trained.categories == files.categories == CATEGORIES

    stored = files.calibration
    chosen = CategoryThresholds.of(stored["thresholds"])
    assert (chosen.goal, chosen.min_labels, len(chosen.values)) == ("f1", 1, 3)
    assert trained.calibration == f"temperature {stored['temperature']['value']:.4f}; {chosen}"
    assert stored["temperature"]["nll_after"] <= stored["temperature"]["nll_before"]
    assert "threshold" not in stored
    ((kept, thresholds, temperature),) = query(
        ready.database, "SELECT calibration, thresholds, temperature FROM models"
    )
    assert (kept, temperature) == (stored, files.temperature)
    assert thresholds == pytest.approx(chosen.values)

    with ready.database.connect() as connection:
        validation = annotated_articles.load_split(connection, "validation")
        train = annotated_articles.load_split(connection, "train")
    assert chosen.articles == len(validation) == trained.validation_articles
    assert any(not article.categories for article in train), "an article without a category is trained on"
    counted = label_matrix(label_sets_of(train), CATEGORIES).sum(axis=0)
    assert files.manifest["data"]["by_category"] == dict(zip(CATEGORIES, counted.tolist(), strict=True))

    model = files.load()
    assert model.ensemble is not None
    assert trained.ensemble.startswith("network ")
    probabilities, truth = calibration.label_outputs_of(FineTunedClassifier(model).labeller("openvino"), validation)
    labels = multi_label.assign_labels(probabilities, model.thresholds, min_labels=1)
    assert labels.any(axis=1).all()
    assert (labels == truth).all(axis=1).mean() > 0.6, "the words tell the categories"
    assert labels.sum(axis=1).max() > 1


@pytest.mark.slow
def test_thresholds_for_a_precision_are_chosen_if_it_is_named(ready, tmp_path):
    make_artefact(tmp_path / "elsewhere", kind="multi")
    imported = model_import.import_model(ready, str(tmp_path / "elsewhere"), target_precision=0.75)
    assert " for a precision of 0.75: " in imported.calibration
    with ready.database.connect() as connection:
        files = registry.open_artefact(registry.find(connection, imported.model))
    assert (files.kind, files.calibration["thresholds"]["goal"]) == ("multi", "precision")


def test_an_import_without_validation_articles_leaves_every_threshold_at_a_half(workspace, tmp_path):
    make_artefact(tmp_path / "elsewhere", kind="multi")
    imported = model_import.import_model(make_multi(workspace), str(tmp_path / "elsewhere"))
    assert imported.calibration == "not calibrated, every threshold is 0.5"


def test_a_multi_label_model_is_not_imported_into_a_single_label_task(workspace, tmp_path):
    make_artefact(tmp_path / "elsewhere", kind="multi")
    with pytest.raises(EncoderError, match="must have one category; import it into a multi-label task"):
        model_import.import_model(workspace, str(tmp_path / "elsewhere"))
    assert query(workspace.database, "SELECT name FROM models") == []


@pytest.mark.parametrize("has_problem_type", [True, False])
def test_a_single_label_model_is_not_imported_into_a_multi_label_task(workspace, tmp_path, has_problem_type):
    make_artefact(tmp_path / "elsewhere")
    if not has_problem_type:
        path = tmp_path / "elsewhere" / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        del config["problem_type"]
        path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(EncoderError, match="in a multi-label task it must be 'multi_label_classification'; set it if"):
        model_import.import_model(make_multi(workspace), str(tmp_path / "elsewhere"))
    assert query(workspace.database, "SELECT name FROM models") == []


class TestTrainingData:
    def test_articles_without_a_category_are_trained_and_validated_on(self, ready):
        train, validation = training_data.read_training_data(ready, "multi")
        assert () in train.label_sets
        assert () in validation.label_sets
        assert CATEGORIES in train.label_sets

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (lambda _: [], "no annotated article has a category; articles of two categories are needed"),
            (
                lambda number: ["sport"] if int(number) % 2 else [],
                "all annotated articles are of one category, 'sport'",
            ),
        ],
    )
    def test_fewer_than_two_categories_are_an_error(self, ready, labels, message):
        annotate(ready, labels)
        with pytest.raises(TrainingDataError, match=message):
            training_data.read_training_data(ready, "multi")

    def test_a_validation_article_of_an_unknown_category_stays(self, ready, caplog):
        run(
            ready.database,
            "UPDATE annotations SET categories = ARRAY['art', 'sport'] WHERE article_id = "
            "(SELECT min(id) FROM articles WHERE split = 'validation')",
        )
        train, validation = training_data.read_training_data(ready, "multi")
        assert ("art", "sport") in validation.label_sets
        assert "categories without an article in the train split are not validated: ['art']" in caplog.text
        categories = sorted({name for names in train.label_sets for name in names})
        row = validation.label_sets.index(("art", "sport"))
        np.testing.assert_array_equal(label_matrix(validation.label_sets, categories)[row], [False, True, False])

    def test_without_a_validation_split_every_category_keeps_an_article_to_train_on(self, ready):
        run(ready.database, "UPDATE articles SET split = 'train' WHERE split = 'validation'")
        train, validation = training_data.read_training_data(ready, "multi")
        assert len(validation)
        assert {name for names in train.label_sets for name in names} == {*CATEGORIES}
