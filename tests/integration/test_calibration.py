"""A model's confidence is calibrated everywhere, and labels below the threshold are marked as abstained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier import registry
from classifier.evaluation.abstention import Threshold
from classifier.exceptions import TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import artefact, hardware, temperature_scaling
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, model_details
from classifier.pipeline.training import candidate, model_import
from classifier.store import annotated_articles, model_rows
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, LENIENT, articles, ingest_file, query, run, unlabelled, value
from tests.support.tiny_models import make_artefact, make_encoder

RECIPE = Recipe(epochs=1, max_length=32, dtype="float32")
CALIBRATION = {"temperature": {"value": 2.5}, "threshold": {"value": 0.5}}


@pytest.fixture
def env(workspace, tmp_path, monkeypatch):
    """Return a workspace with sixty validation and sixty test articles, on a machine without a GPU."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    splits = ("train", "train", "validation", "test")
    rows = [{**row, "split": splits[n // 3 % 4]} for n, row in enumerate(articles(240))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    return workspace


@pytest.fixture
def imported(env, tmp_path):
    make_artefact(tmp_path / "elsewhere")
    return model_import.import_model(env, str(tmp_path / "elsewhere"), target_precision=0.1)


def make_champion(env, name, **more):
    files = make_artefact(env.models / name, **more)
    with env.database.begin() as connection:
        model = registry.register(connection, name, files, {})
        model_rows.make_champion(connection, model.id)
    return model


def raw(files, texts, engine="openvino"):
    return FineTunedClassifier(replace(files.load(), calibration={})).labeller(engine).probabilities(texts)


@pytest.mark.slow
def test_temperature_and_threshold_are_chosen_on_validation_articles_alone_and_stored(env, tmp_path, monkeypatch):
    """If test articles were used for a choice, they would no longer measure the model."""
    predicted = set()
    probabilities = Labeller.probabilities

    def spy(self, texts):
        predicted.update(texts)
        return probabilities(self, texts)

    monkeypatch.setattr(Labeller, "probabilities", spy)
    make_encoder(tmp_path / "encoder")
    trained = candidate.train(env, RECIPE, encoder_name=str(tmp_path / "encoder"), target_precision=0.5)
    with env.database.connect() as connection:
        assert predicted == {article.text for article in annotated_articles.load_split(connection, "validation")}
    stored = json.loads((Path(trained.artefact) / "classifier.json").read_text())["calibration"]
    ((temperature, threshold, confidence),) = query(
        env.database, "SELECT temperature, threshold, calibration FROM models"
    )
    assert confidence == stored
    assert temperature == stored["temperature"]["value"] != 1
    assert threshold == pytest.approx(stored["threshold"]["value"])
    assert (stored["temperature"]["articles"], stored["threshold"]["target_precision"]) == (60, 0.5)
    assert stored["temperature"]["nll_after"] < stored["temperature"]["nll_before"]
    assert trained.calibration == f"temperature {temperature:.4f}; {Threshold.of(stored['threshold'])}"


class TestEvaluation:
    @pytest.mark.usefixtures("imported")
    def test_it_reports_the_calibration_before_and_after_and_what_the_threshold_reached(self, env):
        report = evaluation.evaluate(env)
        ((stored,),) = query(env.database, "SELECT metrics -> 'report' FROM evaluations")
        calibration, abstention = stored["calibration"], stored["abstention"]
        assert calibration["temperature"] == value(env.database, "SELECT temperature FROM models") != 1
        assert calibration["before"]["bins"] != calibration["bins"]
        assert report.confidence["ece_before"] == calibration["before"]["ece"]
        labelled, correct = query(
            env.database,
            "SELECT count(*), "
            "count(*) FILTER (WHERE most = p.probabilities[array_position(m.categories, p.annotated_categories[1])]) "
            "FROM evaluation_predictions AS p, models AS m, "
            "LATERAL (SELECT max(x) AS most FROM unnest(probabilities) AS x) AS best WHERE most >= m.threshold",
        )[0]
        assert (abstention["coverage"], abstention["precision"]) == (labelled / 60, correct / labelled)
        assert abstention["target_precision"] == 0.1
        shown = model_details.describe_model(env)
        assert shown.evaluation["confidence"] == json.loads(json.dumps(report.confidence))
        assert (shown.temperature, shown.confidence["threshold"]["reached"]) == (calibration["temperature"], True)

    def test_stored_probabilities_are_calibrated(self, env, imported):
        evaluation.evaluate(env)
        stored = query(env.database, "SELECT probabilities FROM evaluation_predictions ORDER BY article_id")
        files = artefact.read_artefact(Path(imported.artefact))
        with env.database.connect() as connection:
            texts = [article.text for article in annotated_articles.load_split(connection, "test")]
        expected = temperature_scaling.apply_temperature(raw(files, texts), files.temperature)
        np.testing.assert_allclose([row for (row,) in stored], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_predictions_are_calibrated_with_either_engine(env, tmp_path, engine):
    make_champion(env, "m1", details={"calibration": CALIBRATION})
    ingest_file(env, tmp_path / "new.csv", unlabelled(30, seed=1, prefix="new"))
    queue.label_queue(env, engine=engine)
    rows = query(
        env.database,
        "SELECT text, confidence, probabilities FROM predictions JOIN articles ON id = article_id ORDER BY id",
    )
    assert len(rows) == 30
    files = artefact.read_artefact(env.models / "m1")
    expected = temperature_scaling.apply_temperature(raw(files, [row[0] for row in rows], engine), 2.5)
    np.testing.assert_allclose([row[2] for row in rows], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose([row[1] for row in rows], expected.max(axis=1), rtol=0, atol=1e-5)


def test_a_model_without_calibration_stores_its_probabilities_unchanged(env, tmp_path):
    make_champion(env, "m1")
    ingest_file(env, tmp_path / "new.csv", unlabelled(30, seed=1, prefix="new"))
    queue.label_queue(env, engine="openvino")
    rows = query(env.database, "SELECT text, probabilities FROM predictions JOIN articles ON id = article_id")
    files = artefact.read_artefact(env.models / "m1")
    labeller = FineTunedClassifier(files.load()).labeller("openvino", home=env.settings.home)
    probabilities = np.array([row[1] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(probabilities, labeller.probabilities([row[0] for row in rows]))
    assert query(env.database, "SELECT temperature, threshold, calibration FROM models") == [(1.0, None, None)]
    assert value(env.database, "SELECT count(*) FROM article_labels WHERE abstained") == 0


class TestView:
    """Analysts filter by the column `abstained`."""

    def abstained(self, env):
        return dict(query(env.database, "SELECT external_id, abstained FROM article_labels WHERE source = 'new'"))

    @pytest.fixture
    def labelled(self, env, tmp_path):
        make_champion(env, "m1", details={"calibration": CALIBRATION})
        ingest_file(env, tmp_path / "new.csv", unlabelled(40, seed=1, prefix="new"), source="new")
        queue.label_queue(env)
        return env

    def test_a_label_below_the_threshold_is_marked_and_still_shown(self, labelled):
        rows = query(labelled.database, "SELECT confidence, abstained, label FROM article_labels WHERE source = 'new'")
        assert {abstained for _, abstained, _ in rows} == {True, False}
        assert all(abstained == (confidence < 0.5) and label for confidence, abstained, label in rows)

    def test_annotations_and_articles_without_a_label_are_never_marked(self, labelled, tmp_path):
        run(labelled.database, "UPDATE models SET threshold = 0.999999")
        ingest_file(labelled, tmp_path / "last.csv", unlabelled(1, seed=2, prefix="last"), source="new")
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, (SELECT id FROM tasks), revision, ARRAY['sport'], 'ann' "
            "FROM articles WHERE external_id = 'new0'",
        )
        abstained = self.abstained(labelled)
        assert (abstained["new0"], abstained["new1"], abstained["last0"]) == (False, True, None)

    def test_it_follows_the_champion(self, labelled):
        before = self.abstained(labelled)
        make_champion(labelled, "m2", seed=3)
        queue.label_queue(labelled)
        assert set(self.abstained(labelled).values()) == {False}
        decisions.roll_back(labelled, "m1")
        assert self.abstained(labelled) == before

    def test_a_new_threshold_of_the_champion_applies_at_once(self, labelled):
        report = evaluation.evaluate(labelled, "champion", target_precision=0.0)
        assert (report.confidence["threshold"], report.confidence["target_precision"]) == (0, 0)
        assert set(self.abstained(labelled).values()) == {False}
        shown = model_details.describe_model(labelled, "champion")
        assert shown.confidence == {"temperature": {"value": 2.5}, "threshold": shown.confidence["threshold"]}
        assert shown.confidence["threshold"]["target_precision"] == 0

    def test_an_evaluation_alone_leaves_the_threshold(self, labelled):
        evaluation.evaluate(labelled, "champion")
        assert value(labelled.database, "SELECT threshold FROM models") == 0.5
        assert decisions.promote_if_better(labelled, margins=LENIENT).reason == registry.ALREADY_CHAMPION


def test_without_validation_articles_nothing_is_chosen_and_a_request_is_refused_with_a_reason(env, tmp_path):
    run(env.database, "UPDATE articles SET split = 'train' WHERE split = 'validation'")
    make_artefact(tmp_path / "elsewhere")
    imported = model_import.import_model(env, str(tmp_path / "elsewhere"))
    assert imported.calibration == "not calibrated, never abstains"
    with pytest.raises(TrainingDataError, match="validation split has no annotated article to choose a threshold on"):
        evaluation.evaluate(env, target_precision=0.9)


@pytest.mark.usefixtures("imported")
def test_an_imported_model_is_calibrated_on_this_workspaces_articles(env):
    ((temperature, article_count, target_precision),) = query(
        env.database,
        "SELECT temperature, calibration->'temperature'->'articles', calibration->'threshold'->'target_precision' "
        "FROM models WHERE threshold IS NOT NULL",
    )
    assert temperature != 1
    assert (article_count, target_precision) == (60, 0.1)


def test_near_duplicates_among_the_validation_articles_count_once_for_a_threshold(env, tmp_path):
    rows = [{**row, "split": "validation", "id": f"again{n}"} for n, row in enumerate(articles(240)) if n // 3 % 4 == 2]
    ingest_file(env, tmp_path / "again.csv", rows, replace(COLUMNS, split="split"))
    make_artefact(tmp_path / "elsewhere")
    model_import.import_model(env, str(tmp_path / "elsewhere"))
    counted = "SELECT calibration->'temperature'->'articles', calibration->'threshold'->'articles' FROM models"
    clusters = (
        "SELECT count(DISTINCT cluster_id) FROM articles JOIN text_clusters USING (fingerprint) WHERE split = :split"
    )
    distinct = value(env.database, clusters, split="validation")
    assert query(env.database, counted) == [(120, distinct)]
    assert distinct <= 60
