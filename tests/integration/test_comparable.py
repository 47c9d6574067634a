"""Two models are compared on the same articles, texts and annotations, and on none that either was trained on."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from classifier import registry
from classifier.articles import AnnotatedArticle
from classifier.evaluation.test_articles import Predictions
from classifier.exceptions import NotComparableError, OutdatedQuestionError, TrainingDataError
from classifier.ingest.fingerprints import text_hash
from classifier.pipeline.promotion import decisions, evaluation, evaluation_results, gate_result, training_exposure
from classifier.pipeline.promotion.decisions import PromotionQuestion
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.store import model_rows
from classifier.training import data_snapshot
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.factories import make_articles, make_predictions
from tests.support.synthetic import COLUMNS, LENIENT, annotate, articles, ingest_file, query, value
from tests.support.tiny_models import make_artefact

SPLITS = replace(COLUMNS, split="split")
NOTHING = TrainingExposure(frozenset(), ())
LONG = "the bank said on monday that its profit had grown by a third since the shares of the company were sold in march"


@pytest.fixture
def test_split(workspace, tmp_path):
    """Thirty test articles, and thirty to train on."""
    rows = [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(articles(60))]
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLITS)


def add(workspace, name, *, trained_on=None, training=None, without=()):
    """Register a model; all have the same weights. `trained_on` are articles, `without` columns of its snapshot."""
    content = (
        {}
        if trained_on is None
        else {data_snapshot.FILE: _without(data_snapshot.encode_snapshot({"train": trained_on}), without)}
    )
    files = make_artefact(workspace.models / name, extra_files=content)
    with workspace.database.begin() as connection:
        return registry.register(connection, name, files, training or {})


def _without(content, columns):
    file = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(content)).drop_columns(list(columns)), file)
    return file.getvalue()


def stored_article(workspace, external_id):
    (row,) = query(workspace.database, "SELECT id, text FROM articles WHERE external_id = :id", id=external_id)
    return AnnotatedArticle(row[0], row[1], text_hash(row[1]), ("business",))


def dispute(workspace, number):
    """Annotate a test article with two different categories."""
    ids = query(workspace.database, "SELECT id FROM articles WHERE split = 'test' ORDER BY id")
    with workspace.database.begin() as connection:
        for person, category in (("ann", "sport"), ("ben", "tech")):
            annotate(connection, ids[number][0], category, person)


def between_evaluations(monkeypatch, change, times):
    """Make a change after each of the first evaluations."""
    original, calls = evaluation.evaluate, []

    def evaluated(workspace, name):
        report = original(workspace, name)
        calls.append(name)
        if len(calls) <= times:
            change(len(calls))
        return report

    monkeypatch.setattr(evaluation, "evaluate", evaluated)
    return calls


@pytest.mark.usefixtures("test_split")
def test_articles_that_change_between_two_evaluations_are_evaluated_again(workspace, tmp_path, monkeypatch):
    """One article becomes disputed and another is annotated, so that the number of articles stays the same."""
    for name in ("m1", "m2"):
        add(workspace, name)
        evaluation.evaluate(workspace, name)
    assert decisions.promote_if_better(workspace, "m1", margins=LENIENT).promoted
    more = [
        {"id": f"n{number}", "text": f"a phone number {number}", "category": "tech", "split": "test"}
        for number in (1, 2)
    ]
    ingest_file(workspace, tmp_path / "n1.csv", more[:1], SPLITS)

    def change(_):
        dispute(workspace, 0)
        ingest_file(workspace, tmp_path / "n2.csv", more[1:], SPLITS)

    calls = between_evaluations(monkeypatch, change, 1)
    result = gate_result.apply_gate(workspace, "m2")
    assert calls == ["m2", "m1", "m2"], "the first model was evaluated before the change"
    macro_f1 = result.gate.rule_results[0].statistics
    assert macro_f1["candidate"] == macro_f1["other"], "the weights are the same"
    speed = next(rule for rule in result.gate.rule_results if rule.rule == "speed")
    assert (speed.outcome, speed.statistics["ratio"]) == ("pass", 1.0)
    assert result.test_articles == 31
    of_both = query(
        workspace.database,
        "SELECT count(*), count(DISTINCT (article_id, text_hash, annotated_categories)) FROM evaluation_predictions "
        "WHERE evaluation_id = ANY(:ids)",
        ids=list(result.evaluation_ids),
    )
    assert of_both == [(62, 31)]


@pytest.mark.usefixtures("test_split")
def test_articles_that_change_at_each_evaluation_are_refused_in_a_line(workspace, monkeypatch):
    for name in ("m1", "m2"):
        add(workspace, name)
        evaluation.evaluate(workspace, name)
    assert decisions.promote_if_better(workspace, "m1", margins=LENIENT).promoted
    dispute(workspace, 0)
    between_evaluations(monkeypatch, lambda number: dispute(workspace, number), 99)
    with pytest.raises(NotComparableError, match="m2 and m1: the test articles or their annotations changed"):
        decisions.promote_if_better(workspace, "m2", margins=LENIENT)
    assert value(workspace.database, "SELECT name FROM models WHERE status = 'champion'") == "m1"


RIGHT = np.array(["a", "b", "c", "d"])
HASHES = tuple(bytes([number]) for number in range(4))


@pytest.mark.parametrize(
    "other",
    [
        {"test_articles": replace(make_articles(RIGHT), ids=np.array([1, 2, 3, 5]))},
        {"test_articles": make_articles(np.array(["a", "b", "c", "a"]))},
        {"text_hashes": (*HASHES[:3], b"another text")},
    ],
)
def test_evaluations_with_another_article_text_or_annotation_are_not_compared(other):
    mine = EvaluationResults("m2", None, make_articles(RIGHT), make_predictions(RIGHT), RIGHT, HASHES)
    theirs = replace(mine, model="m1", **other)
    with pytest.raises(NotComparableError, match="m2 and m1"):
        evaluation_results.compare_models(mine, theirs, NOTHING)


def test_articles_that_a_model_was_trained_on_are_left_out_for_both(monkeypatch):
    monkeypatch.setattr(EvaluationResults, "gflops", 1.0)
    mine = EvaluationResults("m2", None, make_articles(RIGHT), make_predictions(RIGHT), RIGHT, HASHES)
    comparison = evaluation_results.compare_models(
        mine, replace(mine, model="m1"), TrainingExposure(frozenset({2}), ("m1",))
    )
    assert comparison.test_articles.ids.tolist() == [1, 3, 4]
    assert all(isinstance(compared, Predictions) for compared in (comparison.candidate, comparison.champion))
    assert len(comparison.candidate.probabilities) == len(comparison.champion.probabilities) == 3
    assert (comparison.left_out, comparison.unknown, len(comparison.baseline)) == (1, ("m1",), 3)
    with pytest.raises(TrainingDataError, match="each of the 4 test articles or a near-duplicate"):
        evaluation_results.compare_models(mine, None, TrainingExposure(frozenset({1, 2, 3, 4}), ()))


class TestTrainedOn:
    """After a training, a source puts a near-duplicate of an old train article into its own test split."""

    @pytest.fixture
    def twins(self, workspace, tmp_path):
        """A near-duplicate and a text of its own, both in the test split; returns the ids and the old article."""
        others = [{**row, "split": "train"} for row in articles(6)]
        old = [{"id": "old", "text": LONG, "category": "business", "split": "train"}, *others]
        ingest_file(workspace, tmp_path / "old.csv", old, SPLITS)
        rows = [{"id": "twin", "text": f"{LONG} again"}, {"id": "own", "text": "a goal in the last minute"}]
        ingest_file(
            workspace, tmp_path / "new.csv", [{**r, "category": "business", "split": "test"} for r in rows], SPLITS
        )
        ids = dict(query(workspace.database, "SELECT external_id, id FROM articles"))
        return ids, stored_article(workspace, "old")

    def exposed(self, workspace, *models):
        with workspace.database.connect() as connection:
            rows = query(workspace.database, "SELECT id, text_hash FROM articles WHERE split = 'test'")
            return training_exposure.find_exposure(
                connection, models, {article_id: bytes(text_hash) for article_id, text_hash in rows}
            )

    def test_a_near_duplicate_of_a_training_text_is_exposed(self, workspace, twins):
        ids, old = twins
        model = add(workspace, "m1", trained_on=[old])
        assert self.exposed(workspace, model) == TrainingExposure(frozenset({ids["twin"]}), ())

    def test_a_near_duplicate_is_exposed_even_after_the_training_text_has_changed(self, workspace, twins, tmp_path):
        ids, old = twins
        model = add(workspace, "m1", trained_on=[old])
        row = {"id": "old", "text": "quite another text", "category": "business", "split": "train"}
        ingest_file(workspace, tmp_path / "old.csv", [row], SPLITS)
        assert self.exposed(workspace, model).articles == {ids["twin"]}

    def test_a_snapshot_of_an_older_version_exposes_it_while_the_text_is_unchanged(self, workspace, twins):
        ids, old = twins
        model = add(workspace, "m1", trained_on=[old], without=["fingerprint"])
        assert self.exposed(workspace, model).articles == {ids["twin"]}

    def test_the_same_text_is_exposed_by_its_hash_alone(self, workspace, twins):
        ids, _ = twins
        same = AnnotatedArticle(999_999, f"{LONG} again", text_hash(f"{LONG} again"), ("business",))
        model = add(workspace, "m1", trained_on=[same], without=["fingerprint"])
        assert self.exposed(workspace, model).articles == {ids["twin"]}

    def test_the_training_data_of_the_starting_model_count_too(self, workspace, twins):
        ids, old = twins
        add(workspace, "m0", trained_on=[old])
        add(workspace, "m1", training={"from": "m0"})
        model = add(workspace, "m2", trained_on=[], training={"from": "m1"})
        assert self.exposed(workspace, model) == TrainingExposure(frozenset({ids["twin"]}), ("m1",))

    def test_neither_model_is_judged_on_it_and_the_gate_says_so(self, workspace, twins):
        _, old = twins
        champion = add(workspace, "m1", trained_on=[old])
        assert evaluation.evaluate(workspace, "m1").left_out == 1
        with workspace.database.begin() as connection:
            model_rows.make_champion(connection, champion.id)
        add(workspace, "m2", trained_on=[])
        evaluated = evaluation.evaluate(workspace, "m2")
        assert (evaluated.left_out, evaluated.metrics.articles) == (0, 2)
        result = gate_result.apply_gate(workspace, "m2")
        assert result.test_articles == 1
        assert any(rule.reason.startswith("1 test article left out") for rule in result.gate.rule_results)

    def test_a_model_that_was_trained_on_all_test_articles_is_not_evaluated(self, workspace, twins):
        add(workspace, "m1", trained_on=[twins[1], stored_article(workspace, "own")])
        with pytest.raises(TrainingDataError, match="m1: the model was trained on each of the 2 test articles"):
            evaluation.evaluate(workspace)


class TestQuestion:
    """A decision after an approval is on the question that was asked, or there is none."""

    @pytest.fixture
    def asked(self, workspace):
        """The champion m1 after m0; the gate would promote m2."""
        add_test_articles(workspace, 300)
        for name in ("m0", "m1"):
            add_evaluated(workspace, name)
            assert decisions.promote_if_better(workspace, name).promoted
        add_evaluated(workspace, "m2")
        result = gate_result.apply_gate(workspace, "m2")
        return PromotionQuestion(result.evaluation_ids, result.champion, result.gate.verdict)

    def champion(self, workspace):
        return value(workspace.database, "SELECT name FROM models WHERE status = 'champion'")

    def test_a_question_that_still_holds_is_decided_despite_new_annotations(self, workspace, asked):
        with workspace.database.begin() as connection:
            annotate(connection, value(workspace.database, "SELECT min(id) FROM articles"), "b", "ann")
        decision = decisions.promote_if_better(workspace, "m2", question=asked)
        assert (decision.promoted, decision.previous) == (True, "m1")
        assert decision.statistics["evaluation_ids"] == asked.evaluation_ids
        assert value(workspace.database, "SELECT count(*) FROM evaluations") == 3, "no model was evaluated again"

    def test_a_question_about_another_champion_decides_nothing(self, workspace, asked):
        decisions.roll_back(workspace)
        with pytest.raises(OutdatedQuestionError, match="the question is outdated \\('promote', compared with m1\\)"):
            decisions.promote_if_better(workspace, "m2", question=asked)
        assert self.champion(workspace) == "m0"
        assert value(workspace.database, "SELECT status FROM models WHERE name = 'm2'") == "candidate"

    def test_a_question_about_another_verdict_decides_nothing(self, workspace, asked):
        with pytest.raises(OutdatedQuestionError, match="the question is outdated \\('hold', compared with m1\\)"):
            decisions.promote_if_better(workspace, "m2", question=replace(asked, verdict="hold"))
        assert self.champion(workspace) == "m1"

    def test_a_question_about_an_older_evaluation_decides_nothing(self, workspace, asked):
        older = (asked.evaluation_ids[0] - 1, asked.evaluation_ids[1])
        with pytest.raises(OutdatedQuestionError, match="an evaluation or the verdict has changed"):
            decisions.promote_if_better(workspace, "m2", question=replace(asked, evaluation_ids=older))
        assert self.champion(workspace) == "m1"

    def test_a_champion_that_changes_at_the_last_moment_decides_nothing(self, workspace, asked, monkeypatch):
        original = gate_result.read_gate_result

        def then_rolled_back(*arguments, **options):
            result = original(*arguments, **options)
            decisions.roll_back(workspace)
            return result

        monkeypatch.setattr(gate_result, "read_gate_result", then_rolled_back)
        with pytest.raises(OutdatedQuestionError):
            decisions.promote_if_better(workspace, "m2", question=asked)
        assert self.champion(workspace) == "m0"


def test_the_gate_is_applied_again_if_a_model_was_evaluated_meanwhile(workspace, monkeypatch):
    add_test_articles(workspace, 300)
    for name in ("m1", "m2"):
        add_evaluated(workspace, name)
    assert decisions.promote_if_better(workspace, "m1").promoted
    original, results = gate_result.apply_gate, []

    def then_evaluated(*arguments, **options):
        result = original(*arguments, **options)
        results.append(result)
        if len(results) == 1:
            with workspace.database.begin() as connection:
                copy = "INSERT INTO evaluations (model_id, split, data_sha256, articles, accuracy, macro_f1, metrics) "
                columns = "model_id, split, data_sha256, articles, accuracy, macro_f1, metrics"
                connection.exec_driver_sql(f"{copy} SELECT {columns} FROM evaluations WHERE model_id = 1")
                connection.exec_driver_sql(
                    "INSERT INTO evaluation_predictions SELECT (SELECT max(id) FROM evaluations), article_id, "
                    "text_hash, words, cluster_id, annotated_categories, baseline_categories, probabilities "
                    "FROM evaluation_predictions "
                    "WHERE evaluation_id = 1"
                )
        return result

    monkeypatch.setattr(gate_result, "apply_gate", then_evaluated)
    assert decisions.promote_if_better(workspace, "m2").promoted
    assert [result.evaluation_ids[1] for result in results] == [1, 3]
