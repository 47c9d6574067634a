"""A model that backs off labels an article with a parent, where none of its categories is sure enough."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.exceptions import SettingsError
from classifier.model import hardware
from classifier.pipeline.categories import changes
from classifier.pipeline.labelling import classification, queue
from classifier.pipeline.promotion import evaluation
from classifier.pipeline.training import candidate
from classifier.training.recipes import Recipe
from tests.support.multi_label import add_champion, add_task
from tests.support.synthetic import (
    COLUMNS,
    add_articles,
    articles,
    ingest_file,
    make_champion,
    query,
    run,
    unlabelled,
    value,
)
from tests.support.tiny_models import make_encoder

CATEGORIES = ("corn", "earn", "gold", "wheat")
OUTPUTS = {
    "sure": [0.05, 0.03, 0.02, 0.9],
    "grain": [0.4, 0.05, 0.05, 0.5],
    "commodity": [0.3, 0.1, 0.25, 0.35],
    "unsure": [0.2, 0.45, 0.2, 0.15],
}
LABELS = "SELECT external_id, label, confidence, abstained FROM article_labels ORDER BY external_id"


def move(workspace, names, parent):
    changes.change_categories(workspace, "move", names, [parent], changed_by="ann")


@pytest.fixture
def labelled(workspace):
    """Four articles, each of which a model that backs off is sure of at another level of the tree."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(name, f"text {name}", "train") for name in OUTPUTS])
    outputs = np.array(list(OUTPUTS.values()), dtype=np.float32)
    add_champion(workspace, ids, outputs, categories=CATEGORIES, threshold=0.8, backs_off=True)
    move(workspace, ["corn", "wheat"], "grain")
    move(workspace, ["grain", "gold"], "commodity")
    return workspace


def shown(workspace):
    return {row[0]: (row[1], pytest.approx(row[2]), row[3]) for row in query(workspace.database, LABELS)}


class TestLabels:
    def test_each_article_has_the_nearest_category_that_is_sure_enough(self, labelled):
        assert shown(labelled) == {
            "sure": ("wheat", 0.9, False),
            "grain": ("grain", 0.9, False),
            "commodity": ("commodity", 0.9, False),
            "unsure": ("earn", 0.45, True),
        }

    def test_both_views_say_the_same(self, labelled):
        sets = query(
            labelled.database, "SELECT external_id, labels, confidences, abstained FROM article_label_sets ORDER BY 1"
        )
        assert {row[0]: (row[1][0], row[2][0], row[3]) for row in sets} == shown(labelled)

    def test_the_tree_of_today_counts(self, labelled):
        changes.undo_change(labelled, changed_by="ann")
        assert shown(labelled)["commodity"] == ("wheat", 0.35, True)
        changes.change_categories(labelled, "rename", ["grain"], ["cereals"], changed_by="ann")
        assert shown(labelled)["grain"] == ("cereals", 0.9, False)

    def test_an_annotation_stays(self, labelled):
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, 1, 1, ARRAY['corn'], 'ann' FROM articles WHERE external_id = 'grain'",
        )
        assert shown(labelled)["grain"][::2] == ("corn", False)

    def test_a_model_that_does_not_back_off_abstains(self, labelled):
        run(labelled.database, "UPDATE models SET backs_off = false")
        assert shown(labelled)["grain"] == ("wheat", 0.5, True)


class TestProbabilities:
    SELECT = "SELECT category, parent, probability FROM category_probabilities(:id, :task)"

    def test_a_parent_has_the_sum_of_the_categories_below_it(self, labelled):
        article = value(labelled.database, "SELECT id FROM articles WHERE external_id = 'grain'")
        rows = query(labelled.database, self.SELECT, id=article, task=labelled.task.name)
        assert [row[:2] for row in rows] == [
            ("commodity", None),
            ("grain", "commodity"),
            ("wheat", "grain"),
            ("corn", "grain"),
            ("earn", None),
            ("gold", "commodity"),
        ]
        assert [row[2] for row in rows] == pytest.approx([0.95, 0.9, 0.5, 0.4, 0.05, 0.05])

    def test_in_a_multi_label_task_it_has_the_highest_of_them(self, workspace):
        topics = add_task(workspace)
        with workspace.database.begin() as connection:
            ids = add_articles(connection, [("1", "text", "train")])
        add_champion(topics, ids, [[0.3, 0.9, 0.8]])
        changes.change_categories(topics, "move", ["gold", "grain"], ["commodity"], changed_by="ann")
        rows = query(workspace.database, self.SELECT, id=ids[0], task="topics")
        assert {row[0]: row[2] for row in rows} == {
            "commodity": pytest.approx(0.9),
            "grain": pytest.approx(0.9),
            "ship": pytest.approx(0.8),
            "gold": pytest.approx(0.3),
        }


@pytest.fixture
def env(workspace, tmp_path, monkeypatch):
    """Annotated articles of all splits and a tree, on a machine without a GPU."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    splits = ("train", "train", "validation", "test")
    rows = [{**row, "split": splits[n // 3 % 4]} for n, row in enumerate(articles(240))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    move(workspace, ["business", "sport", "tech"], "news")
    return workspace


class TestThreshold:
    """Of a model with random weights, which is never sure of a category, but of the parent of all of them."""

    def test_an_evaluation_chooses_it_with_the_answers_by_parents(self, env):
        make_champion(env, "m1", 0)
        alone = evaluation.evaluate(env, "m1", target_precision=0.9)
        assert "coverage_by_parents" not in alone.confidence
        report = evaluation.evaluate(env, "m1", target_precision=0.9, back_off=True)
        ((backs_off, threshold, calibration),) = query(
            env.database, "SELECT backs_off, threshold, calibration -> 'threshold' FROM models"
        )
        assert backs_off
        assert calibration["reached"]
        assert calibration["parents"] == pytest.approx(1, abs=0.2)
        assert report.confidence["coverage_by_parents"] == report.confidence["coverage"] == 1
        assert report.confidence["precision"] == 1
        label = next(classification.open_registered(env, None, engine="auto").classify(["the team"]))
        assert (label.label, label.abstained) == ("news", False)
        assert label.confidence == pytest.approx(1)
        assert label.confidence >= np.float32(threshold)

    def test_a_later_evaluation_can_take_it_back(self, env):
        make_champion(env, "m1", 0)
        evaluation.evaluate(env, "m1", target_precision=0.9, back_off=True)
        evaluation.evaluate(env, "m1", target_precision=0.9, back_off=False)
        assert value(env.database, "SELECT backs_off FROM models") is False

    def test_without_a_tree_no_model_backs_off(self, env):
        changes.undo_change(env, changed_by="ann")
        make_champion(env, "m1", 0)
        evaluation.evaluate(env, "m1", target_precision=0.9, back_off=True)
        assert value(env.database, "SELECT backs_off FROM models") is False

    def test_it_belongs_to_a_target_precision(self, env):
        make_champion(env, "m1", 0)
        with pytest.raises(SettingsError, match="use --target-precision too"):
            evaluation.evaluate(env, "m1", back_off=True)

    @pytest.mark.slow
    def test_the_setting_holds_for_each_training(self, env, tmp_path):
        make_encoder(tmp_path / "encoder")
        opened = replace(env, settings=env.settings.model_copy(update={"back_off": True, "target_precision": 0.9}))
        trained = candidate.train(
            opened, Recipe(epochs=1, max_length=32, dtype="float32"), encoder_name=str(tmp_path / "encoder")
        )
        stored = json.loads((Path(trained.artefact) / "classifier.json").read_text())["calibration"]["threshold"]
        assert stored["parents"] is not None
        assert value(env.database, "SELECT backs_off FROM models") is True
        assert "backs off to a parent" in trained.calibration


def test_a_single_text_gets_the_label_that_the_view_shows(env, tmp_path):
    ingest_file(env, tmp_path / "new.csv", unlabelled(10, prefix="n"))
    make_champion(env, "m1", 0)
    evaluation.evaluate(env, "m1", target_precision=0.9, back_off=True)
    queue.label_queue(env)
    rows = query(
        env.database,
        "SELECT text, label, confidence FROM article_labels JOIN articles ON id = article_id "
        "WHERE origin = 'prediction'",
    )
    classified = classification.open_registered(env, None, engine="auto").classify([row[0] for row in rows])
    assert [(each.label, pytest.approx(each.confidence)) for each in classified] == [row[1:] for row in rows]
    assert {row[1] for row in rows} == {"news"}
