"""The views of labels with two tasks: what they show, and that looking up a label stays a look-up."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from classifier.store import reviews
from tests.support.multi_label import add_champion, add_task
from tests.support.predictions import INSERT_ARTICLES, INSERT_PREDICTIONS, label
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, query, run

SMALL = {"models", "tasks"}
"""Tables of a few rows, which may be read from end to end."""


@pytest.fixture
def topics(workspace):
    run(workspace.database, "UPDATE tasks SET name = 'author'")
    return add_task(workspace)


class TestRows:
    @pytest.fixture
    def ids(self, topics):
        """Articles with two labels, with none, annotated with none, and waiting, of the task topics."""
        with topics.database.begin() as connection:
            ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(4)])
        add_champion(topics, ids[:3], [(0.75, 0.5, 0.125), (0.25, 0.25, 0.125), (0.625, 0.125, 0.125)])
        columns = {"ids": [ids[2]], "revisions": [1], "categories": [[]], "annotators": ["ann"], "comments": [None]}
        with topics.database.begin() as connection:
            assert reviews.add_annotations(connection, columns) == (1, [])
        return ids

    def test_a_judged_article_without_a_label_is_told_from_a_waiting_one(self, topics, ids):
        two, none, annotated, waiting = ids
        rows = "SELECT article_id, label, origin, confidence FROM article_labels WHERE task = 'topics' ORDER BY 1, 2"
        assert query(topics.database, rows) == [
            (two, "gold", "prediction", 0.75),
            (two, "grain", "prediction", 0.5),
            (none, None, "prediction", None),
            (annotated, None, "annotation", None),
            (waiting, None, None, None),
        ]
        sets = "SELECT article_id, labels, confidences, origin FROM article_label_sets WHERE task = 'topics' ORDER BY 1"
        assert query(topics.database, sets) == [
            (two, ["gold", "grain"], [0.75, 0.5], "prediction"),
            (none, [], [], "prediction"),
            (annotated, [], None, "annotation"),
            (waiting, None, None, None),
        ]

    def test_each_article_has_a_row_for_each_task(self, topics, ids):
        add_champion(topics.with_task("author"), ids, [(0.75, 0.25)] * 4, name="a1", categories=("Ada", "Bob"))
        rows = query(topics.database, "SELECT task, label FROM article_labels WHERE article_id = :id", id=ids[0])
        assert sorted(rows) == [("author", "Ada"), ("topics", "gold"), ("topics", "grain")]
        run(topics.database, "UPDATE tasks SET archived_at = now() WHERE name = 'topics'")
        rows = query(topics.database, "SELECT task, label FROM article_labels WHERE article_id = :id", id=ids[0])
        assert rows == [("author", "Ada")], "an archived task shows nothing"


class TestPlans:
    @pytest.fixture
    def many(self, topics):
        """Twenty thousand articles that both tasks have labelled; a third is annotated."""
        run(topics.database, INSERT_ARTICLES)
        author = topics.with_task("author")
        with author.database.begin() as connection:
            connection.execute(text(INSERT_PREDICTIONS), {"model": label(connection, []).id})
        model = add_champion(topics, [])
        run(
            topics.database,
            "INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities) "
            "SELECT id, :model, 1, CAST((ARRAY['{}', '{1}', '{1,3}'])[1 + id % 3] AS smallint[]), 0.9, '{0.9,0,0.9}' "
            "FROM articles",
            model=model.id,
        )
        run(
            topics.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT articles.id, tasks.id, 1, ARRAY['a'], 'ann' FROM articles, tasks WHERE articles.id % 3 = 0",
        )
        with topics.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        return topics.database

    @pytest.mark.parametrize("view", ["article_labels", "article_label_sets"])
    @pytest.mark.parametrize(
        "condition",
        [
            "source = 's' AND external_id = '77'",
            "source = 's' AND external_id = '77' AND task = 'topics'",
            "article_id = 77",
            "article_id = 77 AND task = 'topics'",
            "article_id BETWEEN 77 AND 99",
        ],
    )
    def test_a_label_is_looked_up(self, many, view, condition):
        assert scanned(many, f"SELECT * FROM {view} WHERE {condition}") <= SMALL

    @pytest.mark.parametrize("view", ["article_labels", "article_label_sets"])
    def test_labels_are_joined_by_look_ups(self, many, view):
        requested = "(VALUES ('7'), ('77'), ('777')) AS requested (name)"
        statement = f"SELECT * FROM {requested} JOIN {view} ON source = 's' AND external_id = requested.name"
        assert scanned(many, statement) <= SMALL

    @pytest.mark.parametrize("view", ["article_labels", "article_label_sets"])
    def test_a_full_scan_looks_up_annotations_and_reads_predictions_once(self, many, view):
        with many.connect() as connection:
            lines = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS OFF) SELECT * FROM {view}")).scalars().all()
        plan = "\n".join(lines)
        assert "ix_annotations_article_id_task_id_id" in plan
        assert plan.count(" on predictions") == 1
        assert "Seq Scan on annotations" not in plan
