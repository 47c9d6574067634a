"""The champion is watched at work, cheaply, and what is found is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from classifier.exceptions import NoChampionError, NotEvaluatedError
from classifier.pipeline.monitoring import drift_check, drift_history, status
from classifier.store import queries, reads, reviews, writes
from classifier.training import data_snapshot
from classifier.workspace import Workspace
from tests.support.evaluated_models import add_evaluated, test_articles
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, add_model, annotate, query, run, value

LABEL = text(
    "INSERT INTO predictions (article_id, model_id, revision, category, confidence, probabilities, predicted_at) "
    "VALUES (:id, :model, 1, :category, :confidence, :probabilities, now() - interval '1 hour')"
)


@pytest.fixture
def place(workspace):
    """A champion that was right about three hundred test articles of a and b by halves, and fairly sure."""
    test_articles(workspace, 300)
    model = add_evaluated(workspace, "m1", wrong=range(0, 300, 20), confidence=0.95)
    with workspace.database.begin() as connection:
        writes.make_champion(connection, model.id)
    settings = workspace.settings.model_copy(update={"drift_min_articles": 100, "drift_articles": 1000})
    return Workspace(workspace.database, settings), model


def come(place, model, count, *, a=0.5, confidence=0.95, prefix="n", words="new article"):
    """Let articles come and be labelled an hour ago; return their ids."""
    generator = np.random.default_rng(0)
    with place.database.begin() as connection:
        ids = add_articles(connection, [(f"{prefix}{n}", f"{words} {prefix} {n}", "train") for n in range(count)])
        for one, is_a in zip(ids, generator.random(count) < a, strict=True):
            category = "a" if is_a else "b"
            connection.execute(
                LABEL,
                {"id": one, "model": model.id, "category": category, "confidence": confidence,
                 "probabilities": [confidence, 1 - confidence]},
            )  # fmt: skip
    return ids


def alarms(found):
    return {one.name for one in found.checks if one.outcome == "alarm"}


def test_what_comes_as_before_gives_no_alarm_and_is_kept(place):
    workspace, model = place
    come(workspace, model, 200, words="test article")
    found = drift_check.check_drift(workspace)
    assert (found.model, found.articles, found.alarms) == ("m1", 200, ())
    kept = query(
        workspace.database,
        "SELECT articles, audited, confidence, abstained, estimated_accuracy, audited_accuracy, alarms FROM drift_runs",
    )
    assert kept == [(200, 0, pytest.approx(0.95), 0.0, pytest.approx(0.95), None, [])]
    assert value(workspace.database, "SELECT jsonb_array_length(findings) FROM drift_runs") == 5


def test_an_alarm_says_what_how_far_since_when_and_what_to_do(place):
    workspace, model = place
    come(workspace, model, 200, a=0.95, words="test article")
    first = drift_check.check_drift(workspace)
    run(workspace.database, "UPDATE drift_runs SET ran_at = '2026-01-02 03:04+00'")
    second = drift_check.check_drift(workspace)
    assert alarms(first) == alarms(second) == {"category mix"}
    assert status.read_status(workspace).watched.alarms == ["category mix"]
    (line,) = second.alarms
    assert line.startswith("category mix: Jensen-Shannon distance 0.")
    assert "% then and " in line
    assert "0.2 is borne; since 2026-01-02 03:04. What to do: look at the newest articles" in line
    assert "\n" not in line


def test_an_alarm_that_had_ended_begins_anew(place):
    workspace, model = place
    come(workspace, model, 200, a=0.95, words="test article")
    drift_check.check_drift(workspace)
    run(workspace.database, "UPDATE drift_runs SET ran_at = '2026-01-02 03:04+00'")
    drift_check.check_drift(
        Workspace(workspace.database, workspace.settings.model_copy(update={"drift_max_distance": 1.0}))
    )
    assert "since 2026-01-02" not in drift_check.check_drift(workspace).alarms[0]


def test_unsure_labels_are_counted_by_the_models_threshold(place):
    workspace, model = place
    run(workspace.database, "UPDATE models SET threshold = 0.9")
    come(workspace, model, 150, words="test article")
    come(workspace, model, 50, confidence=0.6, prefix="u", words="test article")
    found = drift_check.check_drift(workspace)
    assert found.abstained == 0.25
    assert alarms(found) == {"confidence", "estimated accuracy"}


def test_test_articles_that_the_model_was_trained_on_are_left_out_of_what_it_is_compared_with(place):
    """It is surer of them than of any others: beside them, what comes would look worse than it is."""
    workspace, model = place
    with workspace.database.connect() as connection:
        trained_on = reads.annotated_articles(connection, "test")[:150]
    run(
        workspace.database,
        "UPDATE evaluation_predictions SET probabilities = "
        "ARRAY(SELECT CASE WHEN one > 0.5 THEN 0.7 ELSE 0.3 END FROM unnest(probabilities) AS one) "
        "WHERE NOT article_id = ANY(:ids)",
        ids=[article.id for article in trained_on],
    )
    come(workspace, model, 200, confidence=0.7, words="test article")
    assert alarms(drift_check.check_drift(workspace)) == {"confidence", "estimated accuracy"}
    (Path(model.artefact) / data_snapshot.FILE).write_bytes(data_snapshot.encode_snapshot({"train": trained_on}))
    assert drift_check.check_drift(workspace).alarms == ()


def test_only_what_was_drawn_at_random_is_an_audit(place):
    workspace, model = place
    ids = come(workspace, model, 120, a=1.0)
    drawn = ids[:60]
    with workspace.database.begin() as connection:
        columns = {"ids": drawn, "revisions": [1] * 60, "reasons": ["audit"] * 60, "categories": ["a"] * 60}
        reviews.enqueue(connection, model.id, {**columns, "confidences": [0.95] * 60})
        for one in ids[:40]:
            annotate(connection, one, "a")
        for one in ids[40:80]:  # half of them because somebody saw that they are wrong
            annotate(connection, one, "b")
        long_ago = text("UPDATE review_queue SET queued_at = now() - interval '40 days' WHERE article_id = ANY(:ids)")
        connection.execute(long_ago, {"ids": ids[50:60]})
        connection.execute(text("UPDATE articles SET revision = 2 WHERE id = :id"), {"id": ids[49]})
    found = drift_check.check_drift(workspace)
    assert found.audited == 49
    assert value(workspace.database, "SELECT audited_accuracy FROM drift_runs") == pytest.approx(40 / 49)
    assert "audit" in alarms(found), "confidence promises 0.95"


def test_a_backfill_of_old_articles_is_no_traffic(place):
    workspace, model = place
    come(workspace, model, 200, a=0.99, prefix="old")
    run(
        workspace.database, "UPDATE articles SET ingested_at = now() - interval '30 days' WHERE external_id LIKE 'old%'"
    )
    assert drift_check.check_drift(workspace).articles == 0


def test_without_a_champion_or_its_evaluation_there_is_nothing_to_watch(workspace):
    with pytest.raises(NoChampionError):
        drift_check.check_drift(workspace)
    with workspace.database.begin() as connection:
        writes.make_champion(connection, add_model(connection, "m1"))
    with pytest.raises(NotEvaluatedError, match="classifier evaluate --model m1"):
        drift_check.check_drift(workspace)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("newest_labelled", {"model_id": 1, "since": "2026-01-01", "size": 50, "looked_at": 200}),
    ],
)
@pytest.mark.usefixtures("history")
def test_no_statement_reads_a_whole_table(database, name, values):
    run(
        database,
        "INSERT INTO annotations (article_id, revision, category, annotator) "
        "SELECT id, revision, 'a', 'ann' FROM articles",
    )
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    assert scanned(database, queries.sql(name).replace("%", "%%"), **values) <= {"models"}


def test_the_command_prints_alarms_and_says_so_by_its_exit_code(classifier, database_url, place):
    workspace, model = place
    come(workspace, model, 300, a=0.95, words="test article")
    done = classifier("drift", "--json", CLASSIFIER_DATABASE_URL=database_url.render_as_string(hide_password=False))
    assert done.returncode == 1
    assert "category mix: Jensen-Shannon distance" in json.loads(done.stdout)["alarms"][0]


def test_what_was_found_over_time_outlives_champions_but_alarms_are_the_champions(place):
    workspace, model = place
    come(workspace, model, 150, a=1.0)
    for _ in range(2):
        assert "category mix" in alarms(drift_check.check_drift(workspace))
    earlier = "UPDATE drift_runs SET ran_at = ran_at - interval '2 days' WHERE id = (SELECT min(id) FROM drift_runs)"
    run(workspace.database, earlier)
    found = drift_history.read_history(workspace)
    first, last = found.looks
    assert (last.model, last.articles, found.last) == ("m1", 150, last)
    (mix,) = (one for one in found.findings if one.check.name == "category mix")
    assert mix.check.advice
    assert mix.since == first.ran_at
    assert {one.since for one in found.findings if one.check.outcome != "alarm"} == {None}
    assert len(drift_history.read_history(workspace, days=1).looks) == 1
    other = add_evaluated(workspace, "m2", confidence=0.95)
    with workspace.database.begin() as connection:
        writes.make_champion(connection, other.id)
    after = drift_history.read_history(workspace)
    assert (len(after.looks), after.last, after.findings) == (2, None, ())
