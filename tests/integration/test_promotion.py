"""A model that passes the gate becomes champion, one at a time, and every decision is stored."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from classifier import registry
from classifier.evaluation.margins import Margins
from classifier.exceptions import ArtefactError, ModelNotFoundError, NoChampionError, NotEvaluatedError
from classifier.pipeline.promotion import decisions as promote
from classifier.pipeline.promotion import evaluation, gate_result
from classifier.store import model_rows
from classifier.workspace import Workspace
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.synthetic import COLUMNS, LENIENT, add_model, articles, ingest_file, query, run, value
from tests.support.tiny_models import make_artefact


def decide(connection, name, verdict="promoted", reason="because"):
    return registry.decide(
        connection, model_rows.by_name(connection, name), verdict, reason, decided_by="test", statistics={}
    )


def statuses(connection):
    return dict(connection.execute(text("SELECT name, status FROM models")).all())


class TestDecision:
    def test_the_first_model_is_promoted(self, connection):
        add_model(connection, "m1")
        decision = decide(connection, "m1")
        assert (decision.promoted, decision.previous) == (True, None)
        assert registry.champion(connection).name == "m1"
        rows = connection.execute(text("SELECT verdict, previous_id, decided_by, reason FROM promotions")).all()
        assert rows == [("promoted", None, "test", "because")]

    def test_a_promoted_model_takes_the_champions_place(self, connection):
        add_model(connection, "m1")
        decide(connection, "m1")
        add_model(connection, "m2")
        decision = decide(connection, "m2")
        assert (decision.promoted, decision.previous) == (True, "m1")
        assert statuses(connection) == {"m1": "retired", "m2": "champion"}

    def test_a_held_model_is_rejected_and_the_reason_is_kept(self, connection):
        first = add_model(connection, "m1")
        decide(connection, "m1")
        second = add_model(connection, "m2")
        assert not decide(connection, "m2", "held", "it is worse").promoted
        assert statuses(connection) == {"m1": "champion", "m2": "rejected"}
        kept = connection.execute(
            text("SELECT model_id, previous_id, verdict, reason FROM promotions ORDER BY id")
        ).all()
        assert kept[1] == (second, first, "held", "it is worse")

    def test_an_undecided_model_stays_a_candidate(self, connection):
        add_model(connection, "m1")
        assert not decide(connection, "m1", "undecided").promoted
        assert statuses(connection) == {"m1": "candidate"}
        assert decide(connection, "m1").promoted

    def test_the_champion_is_not_decided_upon_again(self, connection):
        add_model(connection, "m1")
        decide(connection, "m1")
        assert decide(connection, "m1", "held").reason == "it is the champion already"
        assert connection.scalar(text("SELECT count(*) FROM promotions")) == 1

    def test_a_former_champion_can_be_promoted_again_and_stays_one_if_it_is_held(self, connection):
        for name in ("m1", "m2"):
            add_model(connection, name)
            decide(connection, name)
        decide(connection, "m1", "held")
        assert statuses(connection) == {"m1": "retired", "m2": "champion"}
        assert decide(connection, "m1").promoted
        assert statuses(connection) == {"m1": "champion", "m2": "retired"}

    def test_a_pruned_model_is_refused(self, connection):
        model_rows.set_status(connection, add_model(connection, "m1"), "pruned")
        with pytest.raises(ModelNotFoundError, match="m1: was pruned"):
            decide(connection, "m1")

    def test_the_database_itself_holds_one_champion_at_most(self, connection):
        add_model(connection, "m1")
        add_model(connection, "m2")
        with pytest.raises(IntegrityError, match="uq_models_champion"), connection.begin_nested():
            connection.execute(text("UPDATE models SET status = 'champion'"))


class TestFind:
    def test_without_a_name_the_newest_model_is_found(self, connection):
        with pytest.raises(ModelNotFoundError, match="no model yet"):
            registry.find(connection, None)
        for name in ("z", "a"):
            add_model(connection, name)
        assert registry.find(connection, None).name == "a"

    def test_an_unknown_model_is_named(self, connection):
        with pytest.raises(ModelNotFoundError, match="m9: no such model"):
            registry.find(connection, "m9")
        with pytest.raises(NoChampionError):
            registry.find(connection, "champion")


def test_simultaneous_promotions_are_each_compared_with_the_champion_that_they_replace(workspace):
    """Each of six candidates is as good as the others, so each is champion in its turn."""
    names = [f"m{number}" for number in range(6)]
    add_test_articles(workspace, 300)
    for name in names:
        add_evaluated(workspace, name)
    with ThreadPoolExecutor(3) as pool:
        decisions = list(
            pool.map(lambda name: promote.promote_if_better(workspace, name, margins=Margins(resamples=200)), names)
        )
    assert all(decision.promoted for decision in decisions)
    assert len({decision.previous for decision in decisions}) == 6, "no two followed the same champion"
    compared = query(workspace.database, "SELECT statistics->>'champion', previous_id FROM promotions ORDER BY id")
    assert len({champion for champion, _ in compared}) == 6
    assert query(workspace.database, "SELECT status, count(*) FROM models GROUP BY 1 ORDER BY 1") == [
        ("champion", 1), ("retired", 5),
    ]  # fmt: skip


class TestGate:
    """On stored predictions: the gate's verdict becomes a decision, and is stored."""

    def test_a_model_that_is_worse_is_held_with_the_reasons_and_the_statistics(self, workspace):
        add_test_articles(workspace, 300)
        add_evaluated(workspace, "m1")
        assert promote.promote_if_better(workspace).promoted
        add_evaluated(workspace, "m2", wrong=range(0, 300, 7))
        decision = promote.promote_if_better(workspace, decided_by="ann", more={"churn": {"changed": 3}})
        assert (decision.verdict, decision.previous) == ("held", "m1")
        assert "macro-F1 0.8567, champion 1.0000: -14.33 points" in decision.reason
        kept = query(
            workspace.database,
            "SELECT verdict, decided_by, statistics->>'verdict', statistics->'margins'->>'policy', "
            "statistics->'churn'->>'changed', statistics->'rule_results'->0->>'rule' FROM promotions ORDER BY id",
        )
        assert kept[1] == ("held", "ann", "hold", "non-inferior", "3", "macro-F1")

    def test_too_few_articles_leave_a_candidate_undecided_until_there_are_more(self, workspace):
        add_test_articles(workspace, 100)
        add_evaluated(workspace, "m1")
        promote.promote_if_better(workspace)
        add_evaluated(workspace, "m2")
        decision = promote.promote_if_better(workspace)
        assert decision.verdict == "undecided"
        assert "further test annotations would probably decide" in decision.reason
        assert value(workspace.database, "SELECT status FROM models WHERE name = 'm2'") == "candidate"

    def test_applying_the_gate_decides_nothing(self, workspace):
        add_test_articles(workspace, 300)
        add_evaluated(workspace, "m1")
        result = gate_result.apply_gate(workspace)
        assert (result.gate.verdict, result.champion, result.test_articles) == ("promote", None, 300)
        assert value(workspace.database, "SELECT count(*) FROM promotions") == 0

    def test_a_model_that_was_not_evaluated_is_refused(self, workspace):
        with workspace.database.begin() as connection:
            add_model(connection, "m1")
        with pytest.raises(NotEvaluatedError, match="classifier evaluate m1"):
            promote.promote_if_better(workspace)

    def test_a_user_may_decline_a_model_that_the_gate_would_promote(self, workspace):
        add_test_articles(workspace, 300)
        add_evaluated(workspace, "m1")
        decision = promote.decline(workspace, "m1", reason="the desk is closed", decided_by="ann")
        assert (decision.verdict, decision.promoted) == ("held", False)
        assert query(workspace.database, "SELECT verdict, decided_by, reason FROM promotions") == [
            ("held", "ann", "the desk is closed")
        ]

    def test_margins_are_settings(self, workspace):
        add_test_articles(workspace, 100)
        for name in ("m1", "m2"):
            add_evaluated(workspace, name)
        wide = Workspace(workspace.database, workspace.settings.model_copy(update={"gate": {"macro_f1": 0.2}}))
        assert [promote.promote_if_better(wide, name).verdict for name in ("m1", "m2")] == ["promoted", "promoted"]


class TestUseCase:
    """With real artefacts, evaluated by OpenVINO on annotated articles."""

    @pytest.fixture
    def registered(self, workspace, tmp_path):
        def register(name, seed):
            files = make_artefact(workspace.models / name, seed=seed)
            with workspace.database.begin() as connection:
                return registry.register(connection, name, files, {})

        rows = [{**row, "split": ("train", "test")[n % 2]} for n, row in enumerate(articles(60))]
        ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
        return register

    def test_evaluation_stores_the_figures_and_writes_them_next_to_the_artefact(self, workspace, registered):
        model = registered("m1", 0)
        result = evaluation.evaluate(workspace)
        stored = query(
            workspace.database, "SELECT articles, accuracy, macro_f1, metrics->>'engine', split FROM evaluations"
        )
        assert stored == [(30, result.metrics.accuracy, result.metrics.macro_f1, result.engine, "test")]
        assert (workspace.models / "m1.evaluation.json").is_file()
        registry.open_artefact(model)  # it has not changed
        assert result.baseline.accuracy == 1.0

    def test_a_champion_that_was_evaluated_on_other_articles_is_evaluated_again(self, workspace, registered, tmp_path):
        registered("m1", 0)
        evaluation.evaluate(workspace)
        assert promote.promote_if_better(workspace, margins=LENIENT).promoted
        more = [{**row, "split": "test"} for row in articles(6, seed=3, prefix="more")]
        ingest_file(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
        registered("m2", 1)
        evaluation.evaluate(workspace)
        decision = promote.promote_if_better(workspace, margins=LENIENT)
        assert ", champion " in decision.reason
        evaluations = query(
            workspace.database,
            "SELECT name, articles FROM evaluations JOIN models ON model_id = models.id ORDER BY evaluations.id",
        )
        assert evaluations == [("m1", 30), ("m2", 36), ("m1", 36)]

    def test_a_former_champion_that_was_evaluated_on_other_articles_is_evaluated_again(
        self, workspace, registered, tmp_path
    ):
        """It can be promoted again however many articles arrived since."""
        registered("m1", 0)
        evaluation.evaluate(workspace)
        promote.promote_if_better(workspace, margins=LENIENT)
        more = [{**row, "split": "test"} for row in articles(6, seed=3, prefix="more")]
        ingest_file(workspace, tmp_path / "more.csv", more, replace(COLUMNS, split="split"))
        run(workspace.database, "UPDATE models SET status = 'retired'")
        registered("m2", 0)
        evaluation.evaluate(workspace)
        promote.promote_if_better(workspace, margins=LENIENT)
        decision = promote.promote_if_better(workspace, "m1", margins=LENIENT)
        assert decision.promoted
        assert value(workspace.database, "SELECT name FROM models WHERE status = 'champion'") == "m1"

    @staticmethod
    def damage(workspace, name):
        weights = workspace.models / name / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)

    def test_a_model_whose_files_changed_is_not_promoted(self, workspace, registered):
        registered("m1", 0)
        evaluation.evaluate(workspace)
        promote.promote_if_better(workspace, margins=LENIENT)
        registered("m2", 0)
        evaluation.evaluate(workspace)
        self.damage(workspace, "m2")
        with pytest.raises(ArtefactError, match="sha256"):
            promote.promote_if_better(workspace, margins=LENIENT)
        with workspace.database.connect() as connection:
            assert statuses(connection) == {"m1": "champion", "m2": "candidate"}

    def test_a_model_whose_files_change_after_the_gate_read_them_is_not_promoted(
        self, workspace, registered, monkeypatch
    ):
        registered("m1", 0)
        evaluation.evaluate(workspace)
        apply_gate = gate_result.apply_gate

        def apply_then_damage(*arguments, **options):
            result = apply_gate(*arguments, **options)
            self.damage(workspace, "m1")
            return result

        monkeypatch.setattr(gate_result, "apply_gate", apply_then_damage)
        with pytest.raises(ArtefactError, match="sha256"):
            promote.promote_if_better(workspace, margins=LENIENT)
        assert value(workspace.database, "SELECT status FROM models") == "candidate"

    def test_a_manifest_that_was_rewritten_to_fit_is_noticed_too(self, workspace, registered):
        model = registered("m1", 0)
        shutil.rmtree(model.artefact)
        make_artefact(workspace.models / "m1", seed=5)
        with pytest.raises(ArtefactError, match="registered as"):
            evaluation.evaluate(workspace)

    def test_a_model_whose_files_are_gone_is_not_promoted(self, workspace, registered):
        model = registered("m1", 0)
        evaluation.evaluate(workspace)
        shutil.rmtree(model.artefact)
        with pytest.raises(ArtefactError, match="not found"):
            promote.promote_if_better(workspace, margins=LENIENT)
        assert value(workspace.database, "SELECT status FROM models") == "candidate"
