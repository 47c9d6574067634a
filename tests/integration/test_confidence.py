"""A model's confidence is calibrated, and marked where it is too low, wherever somebody reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from classifier import registry
from classifier.exceptions import TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import artefact, hardware, temperature_scaling
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, model_details
from classifier.pipeline.training import candidate, model_import
from classifier.store import reads, writes
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, LENIENT, articles, query, run, take_in, unlabelled, value
from tests.support.tiny_models import make_artefact, make_encoder

RECIPE = Recipe(epochs=1, max_length=32, precision="float32")
SURE = {"temperature": {"value": 2.5}, "threshold": {"value": 0.5}}


@pytest.fixture
def place(workspace, tmp_path, monkeypatch):
    """A workspace with sixty articles each to validate and to test on, on a machine without a GPU."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    splits = ("train", "train", "validation", "test")
    rows = [{**row, "split": splits[n // 3 % 4]} for n, row in enumerate(articles(240))]
    take_in(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    return workspace


@pytest.fixture
def imported(place, tmp_path):
    make_artefact(tmp_path / "elsewhere")
    return model_import.import_model(place, str(tmp_path / "elsewhere"), target_precision=0.1)


def crown(place, name, **more):
    files = make_artefact(place.models / name, **more)
    with place.database.begin() as connection:
        model = registry.register(connection, name, files, {})
        writes.make_champion(connection, model.id)
    return model


def raw(files, texts, engine="openvino"):
    return FineTunedClassifier(replace(files.load(), calibration={})).labeller(engine).probabilities(texts)


@pytest.mark.slow
def test_a_training_fits_both_on_validation_articles_alone_and_keeps_them(place, tmp_path, monkeypatch):
    """Asked about the test articles, it would tell nothing of them any more."""
    asked = set()
    probabilities = Labeller.probabilities

    def spy(self, texts):
        asked.update(texts)
        return probabilities(self, texts)

    monkeypatch.setattr(Labeller, "probabilities", spy)
    make_encoder(tmp_path / "encoder")
    trained = candidate.train(place, RECIPE, encoder_name=str(tmp_path / "encoder"), target_precision=0.5)
    with place.database.connect() as connection:
        assert asked == {article.text for article in reads.annotated_articles(connection, "validation")}
    kept = json.loads((Path(trained.artefact) / "classifier.json").read_text())["confidence"]
    ((temperature, threshold, confidence),) = query(
        place.database, "SELECT temperature, threshold, confidence FROM models"
    )
    assert confidence == kept
    assert temperature == kept["temperature"]["value"] != 1
    assert threshold == pytest.approx(kept["threshold"]["value"])
    assert (kept["temperature"]["articles"], kept["threshold"]["target_precision"]) == (60, 0.5)
    assert kept["temperature"]["nll_after"] < kept["temperature"]["nll_before"]
    assert trained.confidence.startswith(f"temperature {temperature:.4f}; abstains")


class TestEvaluation:
    @pytest.mark.usefixtures("imported")
    def test_it_says_what_it_was_before_and_what_the_threshold_reached(self, place):
        found = evaluation.evaluate(place)
        ((report,),) = query(place.database, "SELECT metrics -> 'report' FROM evaluations")
        calibration, abstention = report["calibration"], report["abstention"]
        assert calibration["temperature"] == value(place.database, "SELECT temperature FROM models") != 1
        assert calibration["before"]["bins"] != calibration["bins"]
        assert found.confidence["ece_before"] == calibration["before"]["ece"]
        labelled, right = query(
            place.database,
            "SELECT count(*), count(*) FILTER (WHERE most = p.probabilities[array_position(m.categories, p.category)]) "
            "FROM evaluation_predictions AS p, models AS m, "
            "LATERAL (SELECT max(x) AS most FROM unnest(probabilities) AS x) AS best WHERE most >= m.threshold",
        )[0]
        assert (abstention["coverage"], abstention["precision"]) == (labelled / 60, right / labelled)
        assert abstention["target_precision"] == 0.1
        shown = model_details.describe_model(place)
        assert shown.evaluation["confidence"] == json.loads(json.dumps(found.confidence))
        assert (shown.temperature, shown.confidence["threshold"]["reached"]) == (calibration["temperature"], True)

    def test_stored_answers_are_those_of_the_temperature(self, place, imported):
        evaluation.evaluate(place)
        stored = query(place.database, "SELECT probabilities FROM evaluation_predictions ORDER BY article_id")
        files = artefact.read_artefact(Path(imported.artefact))
        with place.database.connect() as connection:
            texts = [article.text for article in reads.annotated_articles(connection, "test")]
        expected = temperature_scaling.apply_temperature(raw(files, texts), files.temperature)
        np.testing.assert_allclose([row for (row,) in stored], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_what_is_written_is_calibrated_with_either_engine(place, tmp_path, engine):
    crown(place, "m1", details={"calibration": SURE})
    take_in(place, tmp_path / "new.csv", unlabelled(30, seed=1, prefix="new"))
    queue.label_queue(place, engine=engine)
    rows = query(
        place.database,
        "SELECT text, confidence, probabilities FROM predictions JOIN articles ON id = article_id ORDER BY id",
    )
    assert len(rows) == 30
    files = artefact.read_artefact(place.models / "m1")
    expected = temperature_scaling.apply_temperature(raw(files, [row[0] for row in rows], engine), 2.5)
    np.testing.assert_allclose([row[2] for row in rows], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose([row[1] for row in rows], expected.max(axis=1), rtol=0, atol=1e-5)


def test_a_model_of_before_says_the_same_bits_as_before(place, tmp_path):
    crown(place, "m1")
    take_in(place, tmp_path / "new.csv", unlabelled(30, seed=1, prefix="new"))
    queue.label_queue(place, engine="openvino")
    rows = query(place.database, "SELECT text, probabilities FROM predictions JOIN articles ON id = article_id")
    files = artefact.read_artefact(place.models / "m1")
    labeller = FineTunedClassifier(files.load()).labeller("openvino", home=place.settings.home)
    found = np.array([row[1] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(found, labeller.probabilities([row[0] for row in rows]))
    assert query(place.database, "SELECT temperature, threshold, confidence FROM models") == [(1.0, None, None)]
    assert value(place.database, "SELECT count(*) FROM article_labels WHERE abstained") == 0


class TestView:
    """`abstained` is what an analyst filters by."""

    def abstained(self, place):
        return dict(query(place.database, "SELECT external_id, abstained FROM article_labels WHERE source = 'new'"))

    @pytest.fixture
    def labelled(self, place, tmp_path):
        crown(place, "m1", details={"calibration": SURE})
        take_in(place, tmp_path / "new.csv", unlabelled(40, seed=1, prefix="new"), source="new")
        queue.label_queue(place)
        return place

    def test_a_label_that_is_not_sure_enough_is_marked_and_still_shown(self, labelled):
        rows = query(labelled.database, "SELECT confidence, abstained, label FROM article_labels WHERE source = 'new'")
        assert {abstained for _, abstained, _ in rows} == {True, False}
        assert all(abstained == (confidence < 0.5) and label for confidence, abstained, label in rows)

    def test_what_a_human_said_is_never_marked_and_what_nobody_said_neither(self, labelled, tmp_path):
        run(labelled.database, "UPDATE models SET threshold = 0.999999")
        take_in(labelled, tmp_path / "last.csv", unlabelled(1, seed=2, prefix="last"), source="new")
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, revision, category, annotator) "
            "SELECT id, revision, 'sport', 'ann' FROM articles WHERE external_id = 'new0'",
        )
        found = self.abstained(labelled)
        assert (found["new0"], found["new1"], found["last0"]) == (False, True, None)

    def test_it_follows_the_champion(self, labelled):
        before = self.abstained(labelled)
        crown(labelled, "m2", seed=3)
        queue.label_queue(labelled)
        assert set(self.abstained(labelled).values()) == {False}
        decisions.roll_back(labelled, "m1")
        assert self.abstained(labelled) == before

    def test_a_new_choice_of_the_champions_threshold_shows_at_once(self, labelled):
        found = evaluation.evaluate(labelled, "champion", target_precision=0.0)
        assert (found.confidence["threshold"], found.confidence["target_precision"]) == (0, 0)
        assert set(self.abstained(labelled).values()) == {False}
        shown = model_details.describe_model(labelled, "champion")
        assert shown.confidence == {"temperature": {"value": 2.5}, "threshold": shown.confidence["threshold"]}
        assert shown.confidence["threshold"]["target_precision"] == 0

    def test_an_evaluation_alone_leaves_the_threshold(self, labelled):
        evaluation.evaluate(labelled, "champion")
        assert value(labelled.database, "SELECT threshold FROM models") == 0.5
        assert decisions.promote_if_better(labelled, margins=LENIENT).reason == registry.ALREADY_CHAMPION


def test_without_validation_articles_nothing_is_chosen_and_asking_for_it_says_why(place, tmp_path):
    run(place.database, "UPDATE articles SET split = 'train' WHERE split = 'validation'")
    make_artefact(tmp_path / "elsewhere")
    imported = model_import.import_model(place, str(tmp_path / "elsewhere"))
    assert imported.confidence == "not calibrated, abstains from nothing"
    with pytest.raises(TrainingDataError, match="validation split has no annotated article to choose a threshold on"):
        evaluation.evaluate(place, target_precision=0.9)


@pytest.mark.usefixtures("imported")
def test_a_model_from_elsewhere_is_calibrated_on_the_articles_that_are_here(place):
    ((temperature, articles_, wanted),) = query(
        place.database,
        "SELECT temperature, confidence->'temperature'->'articles', confidence->'threshold'->'target_precision' "
        "FROM models WHERE threshold IS NOT NULL",
    )
    assert temperature != 1
    assert (articles_, wanted) == (60, 0.1)


def test_the_view_keeps_what_was_granted_on_it(database):
    """Analysts read it with a role of their own: it is replaced, not dropped."""
    from alembic import command

    from classifier.store import schema

    with database.connect() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        connection.execute(text("INSERT INTO models (name, artefact, manifest_sha256, categories, training) "
                                "VALUES ('old', '/none', '0', '{a}', '{}')"))  # fmt: skip
        connection.execute(text("GRANT SELECT ON article_labels TO pg_monitor"))
        connection.commit()
        schema.upgrade(connection)
    granted = "SELECT has_table_privilege('pg_monitor', 'article_labels', 'SELECT')"
    assert value(database, granted)
    assert query(database, "SELECT temperature, threshold FROM models") == [(1.0, None)]


def test_near_duplicates_among_the_validation_articles_count_once_for_a_threshold(place, tmp_path):
    rows = [{**row, "split": "validation", "id": f"again{n}"} for n, row in enumerate(articles(240)) if n // 3 % 4 == 2]
    take_in(place, tmp_path / "again.csv", rows, replace(COLUMNS, split="split"))
    make_artefact(tmp_path / "elsewhere")
    model_import.import_model(place, str(tmp_path / "elsewhere"))
    counted = "SELECT confidence->'temperature'->'articles', confidence->'threshold'->'articles' FROM models"
    clusters = (
        "SELECT count(DISTINCT cluster_id) FROM articles JOIN text_clusters USING (fingerprint) WHERE split = :split"
    )
    distinct = value(place.database, clusters, split="validation")
    assert query(place.database, counted) == [(120, distinct)]
    assert distinct <= 60
