"""Two questions about the same articles, a single-label and a multi-label one: neither touches the other's labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier import registry
from classifier.evaluation.label_set_metrics import LabelSetMetrics
from classifier.exceptions import ModelNotFoundError, SettingsError, TaskError
from classifier.ingest.splits import Proportions
from classifier.model import hardware
from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import label_export, queue
from classifier.pipeline.monitoring import drift_check, status
from classifier.pipeline.promotion import decisions, evaluation, gate_result, html_report, label_churn, mistakes
from classifier.pipeline.training import candidate
from classifier.store import model_rows
from classifier.store.article_labels import LabelSelection
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support.synthetic import WORDS, articles, dump, ingest_file, query, run, value
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=12, batch_size=8, learning_rate=0.01, max_length=32, dtype="float32")
PRICES = ("cheap", "dear")
PRICE_WORDS = (WORDS["business"][1], WORDS["sport"][1])


def label_set(number):
    """Return one, two or no labels."""
    return [name for column, name in enumerate(WORDS) if number % 7 in ((0, 1, 3), (1, 2), (1, 4))[column]]


@pytest.fixture
def both(workspace, tmp_path, monkeypatch):
    """Return the workspaces of the tasks topic (multi-label) and price, with annotated and unannotated articles."""
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    tasks.add(workspace, "topic", kind="multi")
    tasks.add(workspace, "price")
    topic, price = workspace.with_task("topic"), workspace.with_task("price")
    rows = [
        {
            **row,
            "text": " ".join([
                "the",
                *(WORDS[name][0] for name in label_set(number)),
                PRICE_WORDS[number % 2],
                f"number{number}",
            ]),
            "category": PRICES[number % 2],
        }
        for number, row in enumerate(articles(280))
    ]
    ingest_file(price, tmp_path / "annotated.csv", rows, proportions=Proportions(0.5, 0.25, 0.25))
    for article_id, external_id in query(price.database, "SELECT id, external_id FROM articles"):
        run(
            price.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "VALUES (:id, :task, 1, :names, 'ann')",
            id=article_id,
            task=topic.task.id,
            names=sorted(label_set(int(external_id[1:]))),
        )
    run(
        price.database,
        "DELETE FROM labelling_queue USING annotations "
        "WHERE annotations.article_id = labelling_queue.article_id AND annotations.task_id = labelling_queue.task_id",
    )
    new = [{**row, "id": f"new{row['id']}", "text": f"{row['text']}0", "category": ""} for row in rows[:40]]
    ingest_file(price, tmp_path / "new.csv", new)
    make_encoder(tmp_path / "encoder")
    return topic, price


def train(workspace, tmp_path):
    return candidate.train(workspace, RECIPE, encoder_name=str(tmp_path / "encoder")).model


def promote(workspace):
    """Promote the newest model, whatever the gate says."""
    with workspace.database.begin() as connection:
        model_rows.lock_champion(connection)
        model = registry.find(connection, None)
        registry.decide(connection, model, "promoted", "a test", decided_by="ann", statistics={})


def labels_of(workspace, task):
    return query(
        workspace.database,
        "SELECT external_id, label, origin, model FROM article_labels WHERE task = :task ORDER BY 1, 2",
        task=task,
    )


def test_each_task_is_trained_promoted_labelled_and_rolled_back_on_its_own(both, tmp_path):
    topic, price = both
    first = {each.task.name: train(each, tmp_path) for each in both}
    report = evaluation.evaluate(topic)
    assert isinstance(report.metrics, LabelSetMetrics)
    assert report.metrics.micro_f1 > 0.8
    assert evaluation.evaluate(price).metrics.accuracy > 0.8
    for each in both:
        promote(each)
        assert queue.label_queue(each).labelled == 40
    assert {task for (task,) in query(topic.database, "SELECT DISTINCT task FROM article_labels")} == {"topic", "price"}
    before = labels_of(topic, "topic")
    assert {label for _, label, origin, _ in before if origin == "prediction"} >= {*WORDS, None}
    second = train(price, tmp_path)
    evaluation.evaluate(price)
    promote(price)
    queue.label_queue(price)
    assert {model for *_, origin, model in labels_of(price, "price") if origin == "prediction"} == {second}
    assert labels_of(topic, "topic") == before
    decisions.roll_back(price)
    assert {model for *_, origin, model in labels_of(price, "price") if origin == "prediction"} == {first["price"]}
    assert labels_of(topic, "topic") == before


def test_what_reads_a_model_knows_label_sets(both, tmp_path):
    topic, _ = both
    model = train(topic, tmp_path)
    evaluation.evaluate(topic)
    result = gate_result.apply_gate(topic, model)
    assert {each.rule for each in result.gate.rule_results} >= {"baseline"}
    promote(topic)
    queue.label_queue(topic)
    second = train(topic, tmp_path)
    evaluation.evaluate(topic, second, target_precision=0.9)
    thresholds = value(topic.database, "SELECT thresholds FROM models WHERE name = :name", name=second)
    assert len(thresholds) == len(WORDS)
    rules = {each.rule for each in gate_result.apply_gate(topic, second).gate.rule_results}
    assert rules >= {"macro-F1", "exact matches", "calibration"}
    assert mistakes.list_mistakes(topic, second).model == second
    churn = label_churn.measure_churn(topic, model)
    assert (churn.sample, churn.changed) == (40, 0), "the champion's labels are its own, empty ones too"
    assert label_churn.measure_churn(topic, second).sample == 40
    with pytest.raises(SettingsError, match=f"--target-precision: {model} has labelled articles with its present"):
        evaluation.evaluate(topic, model, target_precision=0.9)
    assert "micro-F1" in Path(html_report.write_report(topic, second).page).read_text(encoding="utf-8")
    settings = topic.settings.model_copy(update={"drift_min_articles": 20})
    drift = drift_check.check_drift(Workspace(topic.database, settings, topic.choice))
    assert drift.model == model
    mix = next(check for check in drift.checks if check.name == "category mix")
    assert mix.outcome == "fine", "the new articles are like the test articles, those without a label too"
    assert status.read_status(topic).champion is not None


def test_an_export_has_a_row_for_each_label_and_all_tasks_unless_one_is_named(both, tmp_path):
    topic, price = both
    everything = topic.with_task(None)
    exported = label_export.export_labels(
        everything, LabelSelection(), label_export.ExportTarget(str(tmp_path / "all.csv"))
    )
    of_price = label_export.export_labels(
        price, LabelSelection(), label_export.ExportTarget(str(tmp_path / "price.csv"))
    )
    assert of_price.labels == 280
    assert exported.labels > 2 * 280


def test_with_several_tasks_one_must_be_named(both):
    everything = both[0].with_task(None)
    for call in (status.read_status, queue.label_queue):
        with pytest.raises(TaskError, match="there are several tasks: topic, price; name one with --task"):
            call(everything)
    with pytest.raises(TaskError, match="weather: no such task; there are: topic, price"):
        _ = both[0].with_task("weather").task


def test_a_model_of_another_task_is_named_with_its_task(both, tmp_path):
    topic, price = both
    model = train(price, tmp_path)
    with pytest.raises(ModelNotFoundError, match=f"{model}: is a model of the task price; add: --task price"):
        evaluation.evaluate(topic, model)


def test_a_new_article_waits_for_every_task_and_an_archived_one_gets_none(both, tmp_path):
    topic, price = both
    waiting = "SELECT tasks.name, count(*) FROM labelling_queue JOIN tasks ON tasks.id = task_id GROUP BY 1 ORDER BY 1"
    assert query(topic.database, waiting) == [("price", 40), ("topic", 40)]
    tasks.archive(topic, "topic")
    assert query(topic.database, waiting) == [("price", 40)]
    ingest_file(price, tmp_path / "more.csv", [{"id": "m1", "text": "one more", "category": ""}])
    assert query(topic.database, waiting) == [("price", 41)]
    assert query(price.database, "SELECT DISTINCT task FROM article_labels") == [("price",)]
    with pytest.raises(TaskError, match="topic: is archived; run: classifier tasks restore topic"):
        queue.label_queue(price.with_task("topic"))
    before = dump(price.database)
    with pytest.raises(TaskError, match="price: is the only task"):
        tasks.archive(price, "price")
    assert dump(price.database) == before


def test_a_restored_task_labels_what_came_meanwhile(both, tmp_path):
    topic, price = both
    train(price, tmp_path)
    promote(price)
    queue.label_queue(price)
    tasks.archive(topic, "price")
    ingest_file(topic, tmp_path / "more.csv", [{"id": "m1", "text": "one more", "category": ""}])
    tasks.restore(topic, "price")
    assert queue.label_queue(price).labelled == 1
    assert value(price.database, "SELECT count(*) FROM article_labels WHERE task = 'price' AND label IS NULL") == 0


def test_a_rename_changes_what_readers_see_and_nothing_that_runs(both):
    topic, price = both
    assert price.task.name == "price"
    tasks.rename(topic, "price", "Price")
    tasks.rename(topic, "Price", "cost")
    assert price.task.id == topic.with_task("cost").task.id
    assert value(topic.database, "SELECT count(*) FROM article_labels WHERE task = 'cost' AND label IS NOT NULL") == 280
