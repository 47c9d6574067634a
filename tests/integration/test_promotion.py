"""A model becomes champion when it has earned it, one at a time, and every decision is kept."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from classifier import registry
from classifier.exceptions import ArtefactError, ModelNotFoundError, NoChampionError, NotEvaluatedError
from classifier.pipeline import evaluate, promote
from classifier.store import reads, writes
from tests.integration.made_up import COLUMNS, add_model, articles, query, run, take_in, value
from tests.tiny import make_artefact


def decide(connection, name):
    return registry.promote(connection, reads.model(connection, name), decided_by="test")


def statuses(connection):
    return dict(connection.execute(text("SELECT name, status FROM models")).all())


class TestDecision:
    def test_the_first_model_is_promoted(self, connection):
        add_model(connection, "m1", macro_f1=0.1)
        decision = decide(connection, "m1")
        assert (decision.promoted, decision.previous) == (True, None)
        assert registry.champion(connection).name == "m1"
        rows = connection.execute(text("SELECT verdict, previous_id, decided_by, reason FROM promotions")).all()
        assert rows == [("promoted", None, "test", "first champion, macro-F1 0.1000")]

    @pytest.mark.parametrize("score", [0.5, 0.50001, 1.0])
    def test_a_model_that_is_not_worse_is_promoted(self, connection, score):
        add_model(connection, "m1", macro_f1=0.5)
        decide(connection, "m1")
        add_model(connection, "m2", macro_f1=score)
        decision = decide(connection, "m2")
        assert (decision.promoted, decision.previous) == (True, "m1")
        assert statuses(connection) == {"m1": "retired", "m2": "champion"}

    def test_a_model_that_is_worse_is_held_and_the_reason_is_kept(self, connection):
        first = add_model(connection, "m1", macro_f1=0.5)
        decide(connection, "m1")
        second = add_model(connection, "m2", macro_f1=0.4999)
        decision = decide(connection, "m2")
        assert not decision.promoted
        assert decision.reason == "macro-F1 0.4999 is below the champion's 0.5000"
        assert statuses(connection) == {"m1": "champion", "m2": "rejected"}
        kept = connection.execute(
            text("SELECT model_id, previous_id, verdict, reason FROM promotions ORDER BY id")
        ).all()
        assert kept[1] == (second, first, "held", decision.reason)

    def test_the_newest_evaluation_counts(self, connection):
        model = add_model(connection, "m1", macro_f1=0.5)
        decide(connection, "m1")
        values = {"data_sha256": "d", "articles": 9, "accuracy": 0.9, "macro_f1": 0.9, "metrics": {}}
        writes.add_evaluation(connection, model, "test", values)
        add_model(connection, "m2", macro_f1=0.8)
        assert not decide(connection, "m2").promoted

    def test_the_champion_is_not_decided_upon_again(self, connection):
        add_model(connection, "m1", macro_f1=0.5)
        decide(connection, "m1")
        assert decide(connection, "m1").reason == "it is the champion already"
        assert connection.scalar(text("SELECT count(*) FROM promotions")) == 1

    def test_a_former_champion_can_come_back(self, connection):
        for name in ("m1", "m2"):
            add_model(connection, name, macro_f1=0.5)
            decide(connection, name)
        assert decide(connection, "m1").promoted
        assert statuses(connection) == {"m1": "champion", "m2": "retired"}

    def test_a_model_that_was_not_evaluated_is_refused(self, connection):
        add_model(connection, "m1")
        with pytest.raises(NotEvaluatedError, match="classifier evaluate --model m1"):
            decide(connection, "m1")
        assert statuses(connection) == {"m1": "candidate"}

    def test_figures_from_different_articles_are_not_compared(self, connection):
        add_model(connection, "m1", macro_f1=0.5, data="then")
        decide(connection, "m1")
        add_model(connection, "m2", macro_f1=0.9, data="now")
        with pytest.raises(NotEvaluatedError, match="evaluate --model champion"):
            decide(connection, "m2")

    def test_the_database_itself_holds_one_champion_at_most(self, connection):
        add_model(connection, "m1")
        add_model(connection, "m2")
        with pytest.raises(IntegrityError, match="uq_models_champion"), connection.begin_nested():
            connection.execute(text("UPDATE models SET status = 'champion'"))


class TestFind:
    def test_without_a_name_the_newest_is_meant(self, connection):
        with pytest.raises(ModelNotFoundError, match="no model yet"):
            registry.find(connection, None)
        for name in ("z", "a"):
            add_model(connection, name)
        assert registry.find(connection, None).name == "a"

    def test_what_is_not_there_is_named(self, connection):
        with pytest.raises(ModelNotFoundError, match="nobody: no such model"):
            registry.find(connection, "nobody")
        with pytest.raises(NoChampionError):
            registry.find(connection, "champion")


def test_of_two_promotions_at_once_both_are_decided_one_after_the_other(workspace):
    """Each of ten candidates is as good as the others, so each is champion in its turn."""
    names = [f"m{number}" for number in range(10)]
    with workspace.database.begin() as connection:
        for name in names:
            add_model(connection, name, macro_f1=0.5)

    def one(name):
        with workspace.database.begin() as connection:
            return decide(connection, name)

    with ThreadPoolExecutor(5) as pool:
        decisions = list(pool.map(one, names))
    assert all(decision.promoted for decision in decisions)
    assert len({decision.previous for decision in decisions}) == 10, "no two followed the same champion"
    assert query(workspace.database, "SELECT status, count(*) FROM models GROUP BY 1 ORDER BY 1") == [
        ("champion", 1), ("retired", 9),
    ]  # fmt: skip


class TestUseCase:
    """With real artefacts, measured by OpenVINO on annotated articles."""

    @pytest.fixture
    def registered(self, workspace, tmp_path):
        def one(name, seed):
            files = make_artefact(workspace.models / name, seed=seed)
            with workspace.database.begin() as connection:
                return registry.register(connection, name, files, {})

        rows = [{**row, "split": ("train", "test")[n % 2]} for n, row in enumerate(articles(60))]
        take_in(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
        return one

    def test_evaluation_stores_the_figures_and_writes_them_beside_the_artefact(self, workspace, registered):
        model = registered("m1", 0)
        result = evaluate.run(workspace)
        stored = query(
            workspace.database, "SELECT articles, accuracy, macro_f1, metrics->>'engine', split FROM evaluations"
        )
        assert stored == [(30, result.metrics.accuracy, result.metrics.macro_f1, result.engine, "test")]
        assert (workspace.models / "m1.evaluation.json").is_file()
        registry.open_artefact(model)  # it has not changed
        assert result.baseline.accuracy == 1.0

    def test_a_champion_that_was_measured_on_other_articles_is_measured_again(self, workspace, registered, tmp_path):
        registered("m1", 0)
        evaluate.run(workspace)
        assert promote.run(workspace).promoted
        more = [{**row, "split": "test"} for row in articles(6, seed=3, prefix="more")]
        take_in(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
        registered("m2", 1)
        evaluate.run(workspace)
        decision = promote.run(workspace)
        assert "champion's" in decision.reason
        measured = query(
            workspace.database,
            "SELECT name, articles FROM evaluations JOIN models ON model_id = models.id ORDER BY evaluations.id",
        )
        assert measured == [("m1", 30), ("m2", 36), ("m1", 36)]

    def test_a_former_champion_that_was_measured_on_other_articles_is_measured_again(
        self, workspace, registered, tmp_path
    ):
        """Rolling back works however many articles came since."""
        registered("m1", 0)
        evaluate.run(workspace)
        promote.run(workspace)
        more = [{**row, "split": "test"} for row in articles(6, seed=3, prefix="more")]
        take_in(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
        run(workspace.database, "UPDATE models SET status = 'retired'")
        registered("m2", 0)
        evaluate.run(workspace)
        promote.run(workspace)
        decision = promote.run(workspace, "m1")
        assert decision.promoted
        assert value(workspace.database, "SELECT name FROM models WHERE status = 'champion'") == "m1"

    def test_a_model_whose_files_changed_is_not_promoted(self, workspace, registered):
        registered("m1", 0)
        evaluate.run(workspace)
        promote.run(workspace)
        registered("m2", 0)
        evaluate.run(workspace)
        weights = workspace.models / "m2" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        with pytest.raises(ArtefactError, match="sha256"):
            promote.run(workspace)
        with workspace.database.connect() as connection:
            assert statuses(connection) == {"m1": "champion", "m2": "candidate"}

    def test_a_manifest_that_was_rewritten_to_fit_is_noticed_too(self, workspace, registered):
        model = registered("m1", 0)
        shutil.rmtree(model.artefact)
        make_artefact(workspace.models / "m1", seed=5)
        with pytest.raises(ArtefactError, match="registered as"):
            evaluate.run(workspace)

    def test_a_model_whose_files_are_gone_is_not_promoted(self, workspace, registered):
        model = registered("m1", 0)
        evaluate.run(workspace)
        shutil.rmtree(model.artefact)
        with pytest.raises(ArtefactError, match="no such file"):
            promote.run(workspace)
        assert value(workspace.database, "SELECT status FROM models") == "candidate"
