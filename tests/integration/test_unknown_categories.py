"""A category that occurs in the test split only is named by training, evaluation, gate, status and page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from classifier.evaluation.margins import Margins
from classifier.pipeline.monitoring import category_coverage, status
from classifier.pipeline.monitoring.category_coverage import UncoveredCategory
from classifier.pipeline.promotion import decisions, evaluation, gate_result
from classifier.pipeline.training import candidate
from classifier.store import annotated_articles, model_rows
from classifier.training.recipes import Recipe
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.synthetic import COLUMNS, LENIENT, add_articles, annotate, articles, ingest_file
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=0.01, max_length=16, dtype="float32")


def rows():
    """Sixty articles of three categories in all splits, and two of a fourth in the test split."""
    covered = [
        {**row, "split": ("train", "train", "validation", "test")[number // 3 % 4]}
        for number, row in enumerate(articles(60))
    ]
    return covered + [{**row, "category": "politics", "split": "test"} for row in articles(2, prefix="p", seed=5)]


@pytest.mark.slow
def test_training_evaluation_gate_and_status_name_a_category_of_the_test_split_only(
    workspace, tmp_path, caplog, classifier
):
    ingest_file(workspace, tmp_path / "x.csv", rows(), replace(COLUMNS, split="split"))
    trained = candidate.train(workspace, RECIPE, encoder_name=str(make_encoder(tmp_path / "encoder")))
    assert trained.categories_without_train_articles == {"politics": 2}
    assert "1 annotated category (politics: 2 articles) without an article in the train split" in caplog.text

    report = evaluation.evaluate(workspace)
    assert report.unknown_categories == {"politics": 2}
    assert f"{trained.model} does not know 1 annotated category (politics: 2 articles)" in caplog.text

    result = gate_result.apply_gate(workspace, margins=LENIENT)
    (warning,) = result.gate.warnings
    assert warning.startswith("WARNING: the model cannot predict 1 of 4 categories of the test articles")
    assert "politics (2)" in warning
    decision = decisions.promote_if_better(workspace, margins=LENIENT)
    assert decision.promoted
    assert warning in decision.reason

    expected = UncoveredCategory("politics", 2, has_train_articles=False, champion_knows=False)
    assert status.read_status(workspace).uncovered == (expected,)
    url = workspace.database.url.render_as_string(hide_password=False)
    shown = " ".join(classifier("status", CLASSIFIER_DATABASE_URL=url).stdout.split())
    assert "WARNING: 1 annotated category (politics: 2 articles) without an article in the train split" in shown
    assert f"WARNING: the champion {trained.model} does not know 1 annotated category" in shown
    evaluated = classifier("evaluate", CLASSIFIER_DATABASE_URL=url)
    assert "of categories that the model does not know" in evaluated.stdout
    gate = classifier("gate", "--sample", "0", "--json", CLASSIFIER_DATABASE_URL=url)
    assert json.loads(gate.stdout)["warnings"] == [warning]


def uncovered(workspace):
    with workspace.database.connect() as connection:
        return category_coverage.load_uncovered(connection)


def test_a_category_is_covered_if_the_champion_knows_it_and_it_has_a_train_article(workspace):
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"a{n}", f"text {n}", "train") for n in range(4)])
        for article_id, category in zip(ids, ("a", "b", "c", "a"), strict=True):
            annotate(connection, article_id, category)
    assert uncovered(workspace) == ()
    add_test_articles(workspace, 4)
    model = add_evaluated(workspace, "m1")
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, model.id)
    assert uncovered(workspace) == (UncoveredCategory("c", 1, has_train_articles=True, champion_knows=False),)


def test_only_the_annotation_that_counts_is_counted(workspace):
    with workspace.database.begin() as connection:
        (first, second) = add_articles(connection, [("a1", "x", "test"), ("a2", "y", "test")])
        annotate(connection, first, "old")
        annotate(connection, first, "new")
        annotate(connection, second, "new", "ann")
        annotate(connection, second, "new", "someone else")
    assert uncovered(workspace) == (UncoveredCategory("new", 2, has_train_articles=False, champion_knows=None),)
    with workspace.database.connect() as connection:
        assert category_coverage.without_train_articles(connection, ["old"]) == {"new": 2}
        assert len(annotated_articles.uncovered_categories(connection)) == 1


def test_a_message_names_some_categories_and_counts_the_others():
    many = {f"c{number}": 1_000 for number in range(12)}
    line = category_coverage.describe_unknown(many, "m1")
    assert line.startswith("m1 does not know 12 annotated categories (c0: 1,000 articles, c1: ")
    assert "and 2 more)" in line
    assert category_coverage.describe_unknown({}, "m1") == ""
    assert category_coverage.describe((), "m1") == []


def test_a_model_that_knows_every_test_category_has_no_warning(workspace):
    add_test_articles(workspace, 40)
    add_evaluated(workspace, "m1")
    result = gate_result.apply_gate(workspace, margins=Margins())
    assert result.gate.warnings == ()
    (rule,) = [rule for rule in result.gate.rule_results if rule.rule == "unknown categories"]
    assert (rule.outcome, rule.reason) == ("pass", "the model knows all 2 categories of the test articles")
