"""Drift checks compare the newest articles with the evaluation, at little cost, and their results are stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from classifier.exceptions import NoChampionError, NotEvaluatedError
from classifier.pipeline.monitoring import drift_check, drift_history, status
from classifier.store import annotated_articles, model_rows, queries, reviews
from classifier.training import data_snapshot
from classifier.workspace import Workspace
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, add_model, annotate, query, run, value

LABEL = text(
    "INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities, "
    "predicted_at) "
    "VALUES (:id, :model, 1, ARRAY[CAST(:position AS smallint)], :confidence,  "
    ":probabilities, now() - interval '1 hour')"
)


@pytest.fixture
def evaluated(workspace):
    """An evaluated champion, with 0.95 accuracy and confidence on 300 test articles, and its workspace."""
    add_test_articles(workspace, 300)
    model = add_evaluated(workspace, "m1", wrong=range(0, 300, 20), confidence=0.95)
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, model.id)
    settings = workspace.settings.model_copy(update={"drift_min_articles": 100, "drift_articles": 1000})
    return Workspace(workspace.database, settings), model


def add_labelled(evaluated, model, count, *, a=0.5, confidence=0.95, prefix="n", words="new article"):
    """Add articles that were labelled an hour ago; return their ids."""
    generator = np.random.default_rng(0)
    with evaluated.database.begin() as connection:
        ids = add_articles(connection, [(f"{prefix}{n}", f"{words} {prefix} {n}", "train") for n in range(count)])
        for id_, is_a in zip(ids, generator.random(count) < a, strict=True):
            connection.execute(
                LABEL,
                {"id": id_, "model": model.id, "position": 1 if is_a else 2, "confidence": confidence,
                 "probabilities": [confidence, 1 - confidence]},
            )  # fmt: skip
    return ids


def alarms(report):
    return {check.name for check in report.checks if check.outcome == "alarm"}


def test_unchanged_articles_raise_no_alarm_and_the_run_is_stored(evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 200, words="test article")
    report = drift_check.check_drift(workspace)
    assert (report.model, report.articles, report.alarms) == ("m1", 200, ())
    kept = query(
        workspace.database,
        "SELECT articles, audited, mean_confidence, abstained, estimated_accuracy, audited_accuracy, alarms "
        "FROM drift_runs",
    )
    assert kept == [(200, 0, pytest.approx(0.95), 0.0, pytest.approx(0.95), None, [])]
    assert value(workspace.database, "SELECT jsonb_array_length(checks) FROM drift_runs") == 5


def test_an_alarm_names_check_distance_start_and_advice(evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 200, a=0.95, words="test article")
    first = drift_check.check_drift(workspace)
    run(workspace.database, "UPDATE drift_runs SET ran_at = '2026-01-02 03:04+00'")
    second = drift_check.check_drift(workspace)
    assert alarms(first) == alarms(second) == {"category mix"}
    assert status.read_status(workspace).drift.alarms == ["category mix"]
    (line,) = second.alarms
    assert line.startswith("category mix: Jensen-Shannon distance 0.")
    assert "% then and " in line
    assert "the limit is 0.2; since 2026-01-02 03:04 UTC. What to do: read the newest articles" in line
    assert "\n" not in line


def test_an_alarm_that_ended_has_a_new_start(evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 200, a=0.95, words="test article")
    drift_check.check_drift(workspace)
    run(workspace.database, "UPDATE drift_runs SET ran_at = '2026-01-02 03:04+00'")
    drift_check.check_drift(
        Workspace(workspace.database, workspace.settings.model_copy(update={"drift_max_distance": 1.0}))
    )
    assert "since 2026-01-02" not in drift_check.check_drift(workspace).alarms[0]


def test_abstentions_are_counted_by_the_models_threshold(evaluated):
    workspace, model = evaluated
    run(workspace.database, "UPDATE models SET threshold = 0.9")
    add_labelled(workspace, model, 150, words="test article")
    add_labelled(workspace, model, 50, confidence=0.6, prefix="u", words="test article")
    report = drift_check.check_drift(workspace)
    assert report.abstained == 0.25
    assert alarms(report) == {"confidence", "estimated accuracy"}


def test_test_articles_that_the_model_was_trained_on_are_excluded_from_the_reference(evaluated):
    """The model is more confident on them, so that new articles would look worse than they are."""
    workspace, model = evaluated
    with workspace.database.connect() as connection:
        trained_on = annotated_articles.load_split(connection, "test")[:150]
    run(
        workspace.database,
        "UPDATE evaluation_predictions SET probabilities = "
        "ARRAY(SELECT CASE WHEN p > 0.5 THEN 0.7 ELSE 0.3 END FROM unnest(probabilities) AS p) "
        "WHERE NOT article_id = ANY(:ids)",
        ids=[article.id for article in trained_on],
    )
    add_labelled(workspace, model, 200, confidence=0.7, words="test article")
    assert alarms(drift_check.check_drift(workspace)) == {"confidence", "estimated accuracy"}
    (Path(model.artefact) / data_snapshot.FILE).write_bytes(data_snapshot.encode_snapshot({"train": trained_on}))
    assert drift_check.check_drift(workspace).alarms == ()


def test_only_labels_drawn_at_random_are_audited(evaluated):
    workspace, model = evaluated
    ids = add_labelled(workspace, model, 120, a=1.0)
    drawn = ids[:60]
    with workspace.database.begin() as connection:
        columns = {"ids": drawn, "revisions": [1] * 60, "reasons": ["audit"] * 60, "positions": [[1]] * 60}
        reviews.enqueue(connection, model.id, {**columns, "confidences": [0.95] * 60})
        for id_ in ids[:40]:
            annotate(connection, id_, "a")
        for id_ in ids[40:80]:  # half of them because a person saw that the label was wrong
            annotate(connection, id_, "b")
        long_ago = text("UPDATE review_queue SET queued_at = now() - interval '40 days' WHERE article_id = ANY(:ids)")
        connection.execute(long_ago, {"ids": ids[50:60]})
        connection.execute(text("UPDATE articles SET revision = 2 WHERE id = :id"), {"id": ids[49]})
    report = drift_check.check_drift(workspace)
    assert report.audited == 49
    assert value(workspace.database, "SELECT audited_accuracy FROM drift_runs") == pytest.approx(40 / 49)
    assert "audit" in alarms(report), "confidence promises 0.95"


def test_a_backfill_of_old_articles_does_not_count_as_new_articles(evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 200, a=0.99, prefix="old")
    run(
        workspace.database, "UPDATE articles SET ingested_at = now() - interval '30 days' WHERE external_id LIKE 'old%'"
    )
    assert drift_check.check_drift(workspace).articles == 0


def test_a_check_requires_an_evaluated_champion(workspace):
    with pytest.raises(NoChampionError):
        drift_check.check_drift(workspace)
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, add_model(connection, "m1"))
    with pytest.raises(NotEvaluatedError, match="classifier evaluate m1"):
        drift_check.check_drift(workspace)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("newest_labelled", {"model_id": 1, "since": "2026-01-01", "size": 50, "examined": 200}),
    ],
)
@pytest.mark.usefixtures("history")
def test_no_statement_reads_a_whole_table(database, name, values):
    run(
        database,
        "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
        "SELECT id, (SELECT id FROM tasks), revision, ARRAY['a'], 'ann' FROM articles",
    )
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    assert scanned(database, queries.sql(name).replace("%", "%%"), **values) <= {"models", "tasks"}


def test_the_command_prints_alarms_and_exits_with_1(classifier, database_url, evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 300, a=0.95, words="test article")
    done = classifier("drift", "--json", CLASSIFIER_DATABASE_URL=database_url.render_as_string(hide_password=False))
    assert done.returncode == 1
    assert "category mix: Jensen-Shannon distance" in json.loads(done.stdout)["alarms"][0]


def test_the_history_includes_former_champions_but_checks_are_the_champions(evaluated):
    workspace, model = evaluated
    add_labelled(workspace, model, 150, a=1.0)
    for _ in range(2):
        assert "category mix" in alarms(drift_check.check_drift(workspace))
    earlier = "UPDATE drift_runs SET ran_at = ran_at - interval '2 days' WHERE id = (SELECT min(id) FROM drift_runs)"
    run(workspace.database, earlier)
    report = drift_history.read_history(workspace)
    first, last = report.runs
    assert (last.model, last.articles, report.last) == ("m1", 150, last)
    (mix,) = (last for last in report.checks if last.check.name == "category mix")
    assert mix.check.advice
    assert mix.since == first.ran_at
    assert {last.since for last in report.checks if last.check.outcome != "alarm"} == {None}
    assert len(drift_history.read_history(workspace, days=1).runs) == 1
    other = add_evaluated(workspace, "m2", confidence=0.95)
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, other.id)
    after = drift_history.read_history(workspace)
    assert (len(after.runs), after.last, after.checks) == (2, None, ())
