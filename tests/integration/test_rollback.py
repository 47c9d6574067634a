"""A rollback shows the former champion's labels at once, rewrites nothing, and loses no article."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from classifier import registry
from classifier.exceptions import ArtefactError, ModelNotFoundError, NoChampionError, RollbackError, SettingsError
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, history, label_churn, pruning
from classifier.store import labelling_queue, model_rows
from tests.support.synthetic import add_model, dump, ingest_file, query, run, unlabelled, value
from tests.support.tiny_models import make_artefact
from tests.support.waiting import HANG_S, wait_for


@pytest.fixture
def champion(workspace):
    """Make a model of random weights champion, as the gate would."""

    def add(name, seed, *, promoted=True):
        files = make_artefact(workspace.models / name, seed=seed)
        with workspace.database.begin() as connection:
            model = registry.register(connection, name, files, {})
            if promoted:
                registry.decide(connection, model, "promoted", "because", decided_by="test", statistics={})
        return model

    return add


@pytest.fixture
def two(workspace, champion, tmp_path):
    """Forty articles, labelled by m1 and then by m2, which is champion."""
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(40))
    champion("m1", 0)
    queue.label_queue(workspace)
    champion("m2", 5)
    queue.label_queue(workspace)


def promote_again(workspace, model):
    with workspace.database.begin() as connection:
        registry.decide(connection, model, "promoted", "because", decided_by="test", statistics={})


def make_champion_again(workspace, name):
    with workspace.database.begin() as connection:
        registry.roll_back(connection, name, "because", decided_by="test")


def labels(workspace):
    return query(workspace.database, "SELECT article_id, label, model FROM article_labels ORDER BY 1")


def waiting(workspace):
    return value(workspace.database, "SELECT count(*) FROM labelling_queue")


class TestRollback:
    @pytest.mark.usefixtures("two")
    def test_the_labels_switch_back_and_forth_and_no_prediction_is_written(self, workspace):
        second, before = labels(workspace), dump(workspace.database, "predictions")
        decision = decisions.roll_back(workspace, reason="the sports desk complained", decided_by="ann")
        assert (decision.model, decision.previous, decision.verdict) == ("m1", "m2", "rolled back")
        first = labels(workspace)
        assert {model for *_, model in first} == {"m1"}
        assert first != second
        decisions.roll_back(workspace, "m2")
        assert labels(workspace) == second
        assert dump(workspace.database, "predictions") == before
        past = history.read_history(workspace)
        assert [(decision.model, decision.verdict, decision.previous) for decision in past[:2]] == [
            ("m2", "rolled back", "m1"), ("m1", "rolled back", "m2"),
        ]  # fmt: skip
        assert (past[1].reason, past[1].decided_by) == ("the sports desk complained", "ann")
        assert past[0].decided_at > past[1].decided_at

    @pytest.mark.usefixtures("two")
    def test_new_articles_are_the_backlog_of_the_model_that_has_not_labelled_them(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "new.csv", unlabelled(6, prefix="n", seed=2))
        queue.label_queue(workspace)
        decisions.roll_back(workspace)
        assert sum(label is None for _, label, _ in labels(workspace)) == 6
        assert queue.label_queue(workspace).labelled == 6
        ingest_file(workspace, tmp_path / "newer.csv", unlabelled(3, prefix="m", seed=3))
        queue.label_queue(workspace)
        decisions.roll_back(workspace, "m2")
        assert queue.label_queue(workspace).labelled == 3, "m2 has labelled the six already"
        assert {model for *_, model in labels(workspace)} == {"m2"}
        assert (len(labels(workspace)), waiting(workspace)) == (49, 0)

    @pytest.mark.usefixtures("two")
    def test_a_text_that_changed_meanwhile_is_labelled_again(self, workspace, tmp_path):
        rows = unlabelled(40)
        rows[3]["text"] = "another text about a match"
        ingest_file(workspace, tmp_path / "x.csv", rows)
        queue.label_queue(workspace)
        decisions.roll_back(workspace)
        assert [label for _, label, _ in labels(workspace)].count(None) == 1
        assert queue.label_queue(workspace).labelled == 1

    def test_articles_that_waited_only_for_the_new_champion_are_not_labelled_twice(self, workspace, champion, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(40))
        champion("m1", 0)
        queue.label_queue(workspace)
        champion("m2", 5)
        queue.label_queue(workspace, limit=8, page_size=8)
        ingest_file(workspace, tmp_path / "new.csv", unlabelled(2, prefix="n", seed=2))
        assert waiting(workspace) == 34
        decisions.roll_back(workspace)
        assert waiting(workspace) == 2, "the new articles, and none of the other model's backlog"
        assert queue.label_queue(workspace).labelled == 2

    def test_a_second_rollback_goes_back_further(self, workspace, champion):
        for number in range(3):
            champion(f"m{number}", number)
        assert decisions.roll_back(workspace).model == "m1"
        assert decisions.roll_back(workspace).model == "m0"
        with pytest.raises(RollbackError, match="no champion before m0; name a former champion"):
            decisions.roll_back(workspace)
        assert decisions.roll_back(workspace, "m2").model == "m2"

    def test_after_another_promotion_a_rollback_returns_to_the_replaced_model(self, workspace, champion):
        champion("m0", 0)
        champion("m1", 1)
        decisions.roll_back(workspace)
        champion("m2", 2)
        assert decisions.roll_back(workspace).model == "m0"

    def test_repeated_rollbacks_never_return_to_a_model_that_was_promoted_twice(self, workspace, champion):
        champion("m0", 0)
        first = champion("m1", 1)
        champion("m2", 2)
        promote_again(workspace, first)
        assert [decisions.roll_back(workspace).model for _ in range(3)] == ["m2", "m1", "m0"]
        with pytest.raises(RollbackError, match="no champion before m0"):
            decisions.roll_back(workspace)

    def test_a_rollback_to_a_newer_model_keeps_the_order_of_rollbacks(self, workspace, champion):
        for number in range(4):
            champion(f"m{number}", number)
        decisions.roll_back(workspace, "m1")
        decisions.roll_back(workspace, "m3")
        assert [decisions.roll_back(workspace).model for _ in range(3)] == ["m2", "m1", "m0"]

    def test_a_model_that_was_rolled_back_and_named_after_another_promotion_is_the_newest_again(
        self, workspace, champion
    ):
        champion("m0", 0)
        champion("m1", 1)
        decisions.roll_back(workspace)
        champion("m2", 2)
        decisions.roll_back(workspace, "m1")
        assert [decisions.roll_back(workspace).model for _ in range(2)] == ["m2", "m0"]

    def test_a_pruned_model_is_skipped(self, workspace, champion):
        models = [champion(f"m{number}", number) for number in range(4)]
        with workspace.database.begin() as connection:
            model_rows.set_status(connection, models[2].id, "pruned")
        assert [decisions.roll_back(workspace).model for _ in range(2)] == ["m1", "m0"]

    def test_a_rollback_never_returns_to_the_same_model_before_a_pruned_one(self, workspace, champion):
        first, second = champion("m0", 0), champion("m1", 1)
        promote_again(workspace, first)
        with workspace.database.begin() as connection:
            model_rows.set_status(connection, second.id, "pruned")
        with pytest.raises(RollbackError, match="no champion before m0"):
            decisions.roll_back(workspace)

    def test_the_model_of_the_next_rollback_is_not_pruned(self, workspace, champion):
        first = champion("m0", 0)
        for number in range(1, 4):
            champion(f"m{number}", number)
        promote_again(workspace, first)
        decisions.roll_back(workspace)
        pruning.prune(workspace, keep=0, yes=True)
        assert decisions.roll_back(workspace).model == "m2"

    @pytest.mark.usefixtures("two")
    def test_articles_that_wait_for_a_champion_promoted_meanwhile_get_its_label(self, workspace):
        """The clean-up after the rollback to m1 waits at its first batch while m2 becomes champion again."""
        database = workspace.database
        decisions.roll_back(workspace)
        run(database, "DELETE FROM predictions WHERE model_id = (SELECT id FROM models WHERE name = 'm2')")
        run(
            database,
            "INSERT INTO labelling_queue (article_id, task_id, priority) SELECT id, (SELECT id FROM tasks), 1 "
            "FROM articles",
        )
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = :kind"
        with ThreadPoolExecutor(2) as pool:
            with database.begin() as connection:
                connection.execute(text("LOCK TABLE labelling_queue IN EXCLUSIVE MODE"))
                cleaning = pool.submit(decisions._drop_labelled, workspace)
                wait_for(lambda: value(database, waits, kind="relation"), within_s=60)
                promoting = pool.submit(make_champion_again, workspace, "m2")
                wait_for(lambda: promoting.done() or value(database, waits, kind="advisory"), within_s=60)
                second = registry.find(connection, "m2").id
                labelling_queue.enqueue_backfill_chunk(connection, second, 100)
            cleaning.result(timeout=60)
            promoting.result(timeout=60)
        assert queue.label_queue(workspace).labelled == 40
        assert {model for *_, model in labels(workspace)} == {"m2"}

    @pytest.mark.parametrize(
        ("to", "error", "message"),
        [
            ("m2", RollbackError, "m2: it is the champion already"),
            ("m3", RollbackError, "m3: never was champion; run: classifier promote m3"),
            ("m4", RollbackError, "m4: was pruned"),
            ("m9", ModelNotFoundError, "m9: no such model"),
        ],
    )
    @pytest.mark.usefixtures("two")
    def test_an_impossible_rollback_is_refused(self, workspace, champion, to, error, message):
        champion("m3", 3, promoted=False)
        with workspace.database.begin() as connection:
            model_rows.set_status(connection, add_model(connection, "m4"), "pruned")
        with pytest.raises(error, match=message):
            decisions.roll_back(workspace, to)
        assert {model for *_, model in labels(workspace)} == {"m2"}

    def test_without_a_champion_there_is_no_rollback(self, workspace):
        with pytest.raises(NoChampionError):
            decisions.roll_back(workspace)

    @pytest.mark.usefixtures("two")
    def test_a_model_whose_files_are_missing_is_refused(self, workspace):
        (workspace.models / "m1" / "model.safetensors").unlink()
        with pytest.raises(ArtefactError, match=r"model\.safetensors"):
            decisions.roll_back(workspace)

    @pytest.mark.usefixtures("two")
    def test_a_process_that_is_killed_before_the_commit_changes_nothing(self, workspace):
        before = labels(workspace)
        killed = kill_at(workspace, "decisions.roll_back(workspace)", "INSERT INTO promotions")
        assert killed.returncode == -9
        assert labels(workspace) == before
        assert value(workspace.database, "SELECT count(*) FROM promotions") == 2
        assert decisions.roll_back(workspace).model == "m1"

    @pytest.mark.usefixtures("two")
    def test_a_process_that_is_killed_after_the_commit_has_rolled_back(self, workspace):
        killed = kill_at(workspace, "decisions.roll_back(workspace)", "WITH chunk AS MATERIALIZED")
        assert killed.returncode == -9
        assert {model for *_, model in labels(workspace)} == {"m1"}
        assert queue.label_queue(workspace).waiting == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from classifier.pipeline.promotion import decisions, pruning
from classifier.settings import Settings
from classifier.store.connections import connect
from classifier.workspace import Workspace
url, home, begins, action = sys.argv[1:]
workspace = Workspace(connect(url), Settings(home=Path(home), _env_file=None))
@event.listens_for(workspace.database, "before_cursor_execute")
def kill(connection, cursor, statement, *rest):
    if statement.startswith(begins):
        os.kill(os.getpid(), signal.SIGKILL)
exec(action)
"""


def kill_at(workspace, action, begins):
    """Run the action in a process that kills itself before the first statement that begins with a text."""
    url = workspace.database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", KILLED, url, str(workspace.settings.home), begins, action]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)


class TestPrune:
    @pytest.fixture
    def five(self, workspace, champion, tmp_path):
        """m0 to m3 were champion and m4 is; each labelled ten articles. r was rejected, c is a candidate."""
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(10))
        for number in range(5):
            champion(f"m{number}", number)
            queue.label_queue(workspace)
        champion("c", 6, promoted=False)
        with workspace.database.begin() as connection:
            model_rows.set_status(connection, champion("r", 7, promoted=False).id, "rejected")

    def names(self, pruned):
        return [model.model for model in pruned]

    @pytest.mark.usefixtures("five")
    def test_without_yes_nothing_is_deleted(self, workspace):
        before = dump(workspace.database, "models", "predictions")
        pruned = pruning.prune(workspace, keep=0)
        assert [(model.model, model.labels) for model in pruned] == [("m0", 10), ("m1", 10), ("m2", 10), ("r", 0)]
        assert dump(workspace.database, "models", "predictions") == before
        assert (workspace.models / "m0").exists()

    @pytest.mark.usefixtures("five")
    def test_the_champion_the_previous_champion_candidates_and_the_newest_are_kept(self, workspace):
        assert self.names(pruning.prune(workspace, keep=0, yes=True)) == ["m0", "m1", "m2", "r"]
        left = {path.name for path in workspace.models.iterdir() if path.is_dir()}
        assert left == {"m3", "m4", "c"}
        kept = "SELECT name, count(*) FROM predictions JOIN models ON models.id = model_id GROUP BY 1 ORDER BY 1"
        assert query(workspace.database, kept) == [("m3", 10), ("m4", 10)]
        assert value(workspace.database, "SELECT count(*) FROM models WHERE pruned_at IS NOT NULL") == 4
        assert pruning.prune(workspace, keep=0, yes=True) == []
        assert decisions.roll_back(workspace).model == "m3"

    @pytest.mark.usefixtures("five")
    def test_the_given_number_of_newest_models_is_kept(self, workspace):
        assert self.names(pruning.prune(workspace, keep=2)) == ["m0", "m1"]
        assert self.names(pruning.prune(workspace, keep=9)) == []
        with pytest.raises(SettingsError, match="keep-models -1: must be at least 0"):
            pruning.prune(workspace, keep=-1)

    @pytest.mark.usefixtures("five")
    def test_after_a_rollback_the_replaced_model_is_kept_too(self, workspace):
        decisions.roll_back(workspace)
        assert self.names(pruning.prune(workspace, keep=0)) == [
            "m0",
            "m1",
            "r",
        ]  # m3 is champion, m2 before it, m4 after

    def test_of_undecided_candidates_only_the_newest_model_is_kept(self, workspace, champion):
        champion("m1", 0)
        for number, name in enumerate(("u1", "u2")):
            model = champion(name, number, promoted=False)
            with workspace.database.begin() as connection:
                registry.decide(connection, model, "undecided", "too few", decided_by="test", statistics={})
            assert self.names(pruning.prune(workspace, keep=0)) == ["u1"] * number

    @pytest.mark.usefixtures("five")
    def test_the_next_prune_finishes_a_killed_one(self, workspace):
        killed = kill_at(workspace, "pruning.prune(workspace, keep=0, yes=True)", "WITH deleted_predictions AS")
        assert killed.returncode == -9
        assert value(workspace.database, "SELECT count(*) FROM models WHERE status = 'pruned'") == 4
        with pytest.raises(RollbackError, match="m0: was pruned"):
            decisions.roll_back(workspace, "m0")
        assert self.names(pruning.prune(workspace, keep=9)) == ["m0", "m1", "m2", "r"]
        pruning.prune(workspace, keep=9, yes=True)
        assert value(workspace.database, "SELECT count(DISTINCT model_id) FROM predictions") == 2
        assert not (workspace.models / "m0").exists()


class TestChurn:
    @pytest.mark.usefixtures("two")
    def test_the_measured_churn_is_the_change_of_a_promotion(self, workspace):
        decisions.roll_back(workspace)
        first = {article: label for article, label, _ in labels(workspace)}
        churn = label_churn.measure_churn(workspace, "m2")
        decisions.roll_back(workspace, "m2")
        second = {article: label for article, label, _ in labels(workspace)}
        changes = [article for article in first if first[article] != second[article]]
        assert (churn.sample, churn.changed, churn.champion, churn.backlog) == (40, len(changes), "m1", 40)
        assert sum(flow.articles for flow in churn.flows) == len(changes) > 0
        for flow in churn.flows:
            assert all((first[id_], second[id_]) == (flow.before, flow.after) for id_ in flow.examples)
        low, high = churn.share_interval
        assert low < churn.share < high
        assert churn.backfill_seconds == pytest.approx(40 / churn.articles_per_second)

    @pytest.mark.usefixtures("two")
    def test_nothing_is_stored(self, workspace, champion):
        champion("m3", 9, promoted=False)
        before = dump(workspace.database, "models", "predictions", "labelling_queue")
        label_churn.measure_churn(workspace)
        assert dump(workspace.database, "models", "predictions", "labelling_queue") == before

    @pytest.mark.usefixtures("two")
    def test_a_sample_has_the_given_size(self, workspace, champion):
        champion("m3", 9, promoted=False)
        once, again = (label_churn.measure_churn(workspace, size=12) for _ in range(2))
        assert (once.sample, once.flows) == (12, again.flows)

    def test_a_first_model_changes_no_label_and_has_every_article_to_label(self, workspace, champion, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(15))
        champion("m1", 0, promoted=False)
        churn = label_churn.measure_churn(workspace)
        assert (churn.champion, churn.changed, churn.backlog, churn.sample) == (None, 0, 15, 15)

    def test_an_empty_database_has_no_churn(self, workspace, champion):
        champion("m1", 0, promoted=False)
        churn = label_churn.measure_churn(workspace)
        assert (churn.sample, churn.backlog, churn.backfill_seconds) == (0, 0, 0.0)
