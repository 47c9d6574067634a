"""The pages in Airflow show the labels and trainings of the database, and mark estimates."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from classifier import registry
from classifier.pipeline.labelling import label_counts, queue
from classifier.pipeline.promotion import evaluation, html_report
from classifier.pipeline.training import learning_curves
from classifier.store import training_runs
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.synthetic import annotate, articles, ingest_file, make_champion, run, unlabelled, value
from tests.support.tiny_models import make_artefact


@pytest.fixture
def labelled(workspace, tmp_path):
    """Thirty annotated articles and twenty that the champion has labelled."""
    ingest_file(workspace, tmp_path / "a.csv", articles(30))
    ingest_file(workspace, tmp_path / "b.csv", unlabelled(20, prefix="b"))
    make_champion(workspace, "m1", 0)
    queue.label_queue(workspace)


class TestLabels:
    @pytest.mark.usefixtures("labelled")
    def test_articles_are_counted_by_the_label_that_users_see(self, workspace):
        corrected = value(workspace.database, "SELECT max(id) FROM articles")
        with workspace.database.begin() as opened:
            annotate(opened, corrected, "tech")
        counts = label_counts.count_labels(workspace)
        shown = {row.name: row.articles for row in counts.categories}
        expected = "SELECT count(*) FROM article_labels WHERE label = :name"
        assert shown == {name: value(workspace.database, expected, name=name) for name in shown}
        assert (counts.labelled, counts.unlabelled, counts.counted) == (50, 0, 1.0)
        assert sum(row.annotated for row in counts.categories) == 31

    @pytest.mark.usefixtures("labelled")
    def test_each_of_the_last_days_has_its_number_of_labels(self, workspace):
        run(
            workspace.database,
            "UPDATE predictions SET predicted_at = now() - interval '40 days' WHERE article_id % 2 = 0",
        )
        counts = label_counts.count_labels(workspace)
        days = dict(counts.days)
        today = datetime.now(UTC).date()
        assert (len(days), days[today], sum(days.values())) == (30, 10, 10)
        assert list(days) == sorted(days)

    @pytest.mark.usefixtures("labelled")
    def test_of_many_labels_a_share_is_counted_and_scaled_up(self, workspace, monkeypatch):
        monkeypatch.setattr(label_counts, "MAX_COUNTED_PREDICTIONS", 5)
        run(workspace.database, "ANALYZE")
        counts = label_counts.count_labels(workspace)
        assert counts.written_share == pytest.approx(0.25)
        assert counts.counted == 1.0
        assert isinstance(counts.days[0][0], date)

    def test_an_empty_database_has_no_labels(self, workspace):
        counts = label_counts.count_labels(workspace)
        assert (counts.labelled, counts.unlabelled, counts.categories) == (0, 0, ())


class TestCurves:
    def test_a_models_curves_are_those_of_its_run(self, workspace):
        files = make_artefact(workspace.models / "m1")
        with workspace.database.begin() as connection:
            model = registry.register(connection, "m1", files, {})
            run_id = training_runs.start(connection, "k", steps=900, epochs=2, from_step=0)
            points = [
                {"step": n, "epoch": 1, "loss": 1 / n, "accuracy": None, "macro_f1": None, "seconds": n}
                for n in range(1, 900)
            ]
            points.append({"step": 900, "epoch": 1, "loss": 0.1, "accuracy": 0.9, "macro_f1": 0.8, "seconds": 900})
            training_runs.record(connection, run_id, points, {"step": 900})
        assert learning_curves.of_running_training(workspace).macro_f1 == ((1.0, 0.8),)
        with workspace.database.begin() as connection:
            training_runs.finish(connection, "k", run_id, model_id=model.id)
        curves = learning_curves.of_model(workspace, "m1")
        assert curves.accuracy == ((1.0, 0.9),)
        assert len(curves.loss) <= learning_curves.MAX_POINTS
        assert learning_curves.of_running_training(workspace) == learning_curves.Curves()

    def test_without_a_recorded_run_the_curves_come_from_the_epochs_of_the_training(self, workspace):
        files = make_artefact(workspace.models / "m1")
        history = [{"epoch": n, "loss": 1.0 / n, "accuracy": 0.5, "macro_f1": 0.4, "seconds": n} for n in (1, 2)]
        with workspace.database.begin() as connection:
            registry.register(connection, "m1", files, {"training": {"history": history}})
            registry.register(connection, "imported", files, {})
        curves = learning_curves.of_model(workspace, "m1")
        assert (curves.unit, curves.loss) == ("epoch", ((1.0, 1.0), (2.0, 0.5)))
        assert learning_curves.of_model(workspace, "imported").loss == ()


def test_a_stored_report_includes_the_champion_only_for_the_same_articles(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "a.csv", articles(90))
    for name, seed in (("m1", 0), ("m2", 1)):
        make_champion(workspace, name, seed)
        evaluation.evaluate(workspace, name)
    report = html_report.read_report(workspace, "m1")
    assert (report.model.name, report.champion.name, report.verdict) == ("m1", "m2", "")
    assert html_report.read_report(workspace, "m2").champion is None
    run(
        workspace.database,
        "UPDATE evaluations SET data_sha256 = 'another' WHERE model_id = (SELECT min(id) FROM models)",
    )
    assert html_report.read_report(workspace, "m1").champion is None


def test_an_evaluation_of_an_older_version_has_no_report(workspace):
    add_test_articles(workspace, 4)
    add_evaluated(workspace, "old")
    assert html_report.read_report(workspace, "old").model is None
