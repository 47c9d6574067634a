"""The rows that labelling reads grow with the rows that it labels, not with the size of the tables."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from classifier.pipeline.monitoring import status
from classifier.store import dead_letter_rows, labelling_queue, model_rows, queries
from tests.support.predictions import INSERT_PREDICTIONS, write_predictions
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, add_model, annotate, enqueue, run, value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("claim_page", {"task_id": 1, "first": 0, "last": 1, "size": 2048}),
        ("claim_selected_page", {"task_id": 1, "first": 0, "last": 1, "size": 64, "after_priority": 0, "after_id": 9000,
                                 "source": "s", "since": None}),
        ("claimed_articles", {"ids": list(range(1000, 3000))}),
        ("delete_previous_predictions", {"model_id": 1, "ids": list(range(1000, 3000))}),
        ("enqueue_backfill_chunk", {"after": 5000, "size": 10_000, "model_id": 1, "task_id": 1}),
        ("labelling_rate", {"task_id": 1, "minutes": 15, "max_predictions": 1000}),
        ("remaining_backfill", {"task_id": 1}),
        ("label_counts_by_origin", {"task_id": 1, "percent": 1}),
    ],
)  # fmt: skip
def test_no_statement_of_a_page_or_of_the_status_reads_a_whole_table(database, history, name, values):
    small = {"models", "annotations", "dead_letters", "tasks"}  # they have few rows here
    assert scanned(database, queries.sql(name).replace("%", "%%"), **values) <= small


@pytest.mark.parametrize("where", ["article_id = 77", "source = 's' AND external_id = '77'"])
def test_an_articles_label_is_looked_up(database, history, where):
    assert scanned(database, f"SELECT * FROM article_labels WHERE {where}") <= {"models", "annotations", "tasks"}


def test_the_queue_is_vacuumed_after_a_fixed_number_of_deleted_rows(database):
    """A claim reads every dead row before the first live one, whatever the size of the queue."""
    options = value(database, "SELECT reloptions FROM pg_class WHERE relname = 'labelling_queue'")
    assert {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=10000"} <= set(options)


class TestStatus:
    @pytest.mark.usefixtures("history")
    def test_counts_a_share_of_many_articles(self, workspace, monkeypatch):
        monkeypatch.setattr(status, "MAX_COUNTED", 10_000)
        report = status.read_status(workspace)
        assert report.counted == 0.5
        assert report.labels["prediction"] == pytest.approx(20_000, rel=0.3)
        assert report.splits["train"] == (report.labels["prediction"], 0)
        assert status.read_status(workspace, exact=True).labels == {"prediction": 20_000}

    def test_counts_few_articles_one_by_one(self, workspace):
        with workspace.database.begin() as connection:
            model = add_model(connection, "m")
            model_rows.make_champion(connection, model)
            ids = add_articles(connection, [(f"{n}", f"text {n}", ("train", "test")[n % 2]) for n in range(8)])
            annotate(connection, ids[0], "sport")
            connection.execute(text(INSERT_PREDICTIONS + " WHERE id % 4 = 2"), {"model": model})
            enqueue(connection, ids[4:7])
            enqueue(connection, ids[7:], priority=1)
        report = status.read_status(workspace)
        assert report.splits == {"train": (4, 1), "test": (4, 0)}
        assert report.labels == {"annotation": 1, "prediction": 2, "none": 5}
        assert (report.backlog.new, report.backlog.backfill, report.waiting) == (3, 1, 4)
        assert report.backlog.unseen == max(ids), "the backlog of a new champion is not enqueued yet"

    @pytest.mark.usefixtures("history")
    def test_estimates_the_rate_and_the_remaining_time_from_the_last_predictions(self, workspace):
        run(workspace.database, "UPDATE predictions SET predicted_at = now() - interval '1 hour'")
        assert status.read_status(workspace).backlog.rate is None
        run(
            workspace.database,
            "UPDATE predictions SET predicted_at = now() - make_interval(secs => "
            "CASE WHEN article_id <= 100 THEN 30 WHEN article_id <= 300 THEN 20 ELSE 10 END) WHERE article_id <= 400",
        )
        backlog = status.read_status(workspace).backlog
        assert backlog.rate == pytest.approx(15), "300 after the first page, in 20 seconds"
        assert backlog.new_seconds == pytest.approx(20_000 / 15)
        assert backlog.seconds == pytest.approx((20_000 + backlog.unseen) / 15)

    @pytest.mark.usefixtures("history")
    def test_shows_the_backlog_on_the_command_line(self, workspace, classifier):
        address = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
        report = json.loads(classifier("status", "--json", **address).stdout)
        assert (report["waiting"], report["backlog"]["new"]) == (20_000, 20_000)
        assert "new articles" in classifier("status", "--exact", **address).stdout


def test_a_categorys_name_is_read_as_it_was_written(connection):
    """Predictions are copied in binary form, with names of any length and alphabet."""
    import numpy as np

    from classifier.articles import Model, QueuedArticle

    names = ("a", 'quote " comma, and\nline', "Öffentlichkeit", "")
    ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(4)])
    model = Model(add_model(connection, "m"), "m", "", "", "", names)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 4).astype(np.float32)
    probabilities[np.arange(4), np.arange(4)] += 1
    write_predictions(connection, model, [QueuedArticle(article_id, 3, "") for article_id in ids], probabilities)
    rows = connection.execute(text("SELECT * FROM predictions ORDER BY article_id")).all()
    assert [(row.article_id, row.model_id, row.revision, row.category_indices) for row in rows] == [
        (article_id, model.id, 3, [position]) for position, article_id in enumerate(ids, start=1)
    ]
    np.testing.assert_array_equal(np.array([row.probabilities for row in rows], np.float32), probabilities)
    np.testing.assert_array_equal(np.array([row.confidence for row in rows], np.float32), probabilities.max(axis=1))


def test_a_page_that_is_labelled_again_replaces_its_predictions(connection):
    import numpy as np

    from classifier.articles import Model, QueuedArticle

    ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(3)])
    model = Model(add_model(connection, "m"), "m", "", "", "", ("a", "b"))
    for revision, best in ((1, [1, 0]), (2, [0, 1])):
        page = [QueuedArticle(article_id, revision, "") for article_id in ids[revision - 1 :]]
        write_predictions(connection, model, page, np.tile(np.float32(best), (len(page), 1)))
    rows = connection.execute(text("SELECT revision, category_indices[1] FROM predictions ORDER BY article_id")).all()
    assert rows == [(1, 1), (2, 2), (2, 2)]
    assert labelling_queue.count_waiting(connection) == {0: 0, 1: 0}
    assert dead_letter_rows.count(connection) == 0
