"""Ingest, labelling and a new champion's backlog change the queue at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import text

from classifier.articles import Model, QueuedArticle
from classifier.store import article_rows, labelling_queue, model_rows
from classifier.store.labelling_queue import Selection
from tests.support.predictions import write_predictions
from tests.support.synthetic import (
    add_articles,
    add_model,
    annotate,
    enqueue,
    ingest_file,
    query,
    run,
    unlabelled,
    value,
    write_csv,
)
from tests.support.waiting import HANG_S

CHUNK_SIZE, ALL = 4, Selection()


def claim_page(connection, size, *, model=1, selection=ALL, after=labelling_queue.START):
    return labelling_queue.claim(connection, model, size, selection, after)[0]


def predict(connection, model, ids, revision=1):
    """Write a prediction of category "a" for each article."""
    articles = [QueuedArticle(article_id, revision, "") for article_id in ids]
    write_predictions(
        connection, Model(model, "", "", "", "", ("a", "b")), articles, np.tile(np.float32([1, 0]), (len(ids), 1))
    )


def enqueue_backlog(database, model, size=CHUNK_SIZE):
    """Enqueue all of a champion's backlog; retry while another process enqueues it."""
    deadline = time.monotonic() + HANG_S
    while True:
        with database.begin() as connection:
            if model_rows.backfilled_to(connection, model) is None:
                return
            if labelling_queue.enqueue_backfill_chunk(connection, model, size) is None:
                time.sleep(0.01)
        assert time.monotonic() < deadline, "the backlog cannot be enqueued"


def test_a_page_holds_new_articles_before_the_backlog_in_the_order_of_their_ids(connection):
    ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(6)])
    enqueue(connection, ids[:3], priority=1)
    enqueue(connection, ids[3:], priority=0)
    assert [article.id for article in claim_page(connection, 4)] == [ids[0], *ids[3:]]
    assert [article.id for article in claim_page(connection, 4)] == ids[1:3]
    assert claim_page(connection, 4) == []


def test_a_claim_that_is_rolled_back_leaves_the_queue_unchanged(database):
    with database.begin() as connection:
        enqueue(connection, add_articles(connection, [("1", "text", "train")]))
    with database.connect() as connection:
        assert len(claim_page(connection, 5)) == 1
    assert value(database, "SELECT count(*) FROM labelling_queue") == 1


def test_no_two_workers_hold_the_same_article(database):
    with database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(10)])
        enqueue(connection, ids)
    with database.connect() as first, database.connect() as second:
        ours, theirs = claim_page(first, 6), claim_page(second, 6)
    assert sorted(article.id for article in (*ours, *theirs)) == ids
    assert (len(ours), len(theirs)) == (6, 4)


@contextmanager
def pause_before_deleting(database, each="STATEMENT"):
    """Make deletes from the queue wait until this ends: after their snapshot, or with ROW also after their locks."""
    run(
        database,
        "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN OLD; END'",
    )
    run(database, f"CREATE TRIGGER pause BEFORE DELETE ON labelling_queue FOR EACH {each} EXECUTE FUNCTION pause()")
    with database.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
        yield
    run(database, "DROP FUNCTION pause CASCADE")


def wait_until_blocked(database, *, locktype="%"):
    statement = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype LIKE :locktype"
    deadline = time.monotonic() + HANG_S
    while not value(database, statement, locktype=locktype):
        assert time.monotonic() < deadline, "nothing waits"
        time.sleep(0.01)


def test_a_text_that_changes_while_its_page_is_claimed_is_labelled_in_its_new_form(workspace, tmp_path):
    """The change commits between the claim's snapshot and its lock on the queue."""
    database = workspace.database
    ingest_file(workspace, tmp_path / "x.csv", [{"id": "1", "text": "old", "category": ""}])

    def claim():
        with database.begin() as connection:
            return claim_page(connection, 5)

    with ThreadPoolExecutor(1) as pool:
        with pause_before_deleting(database):
            claimed = pool.submit(claim)
            wait_until_blocked(database, locktype="advisory")
            with database.begin() as connection:
                connection.execute(text("UPDATE articles SET text = 'new', revision = 2, text_hash = 'h'"))
                connection.execute(text("UPDATE labelling_queue SET enqueued_at = now()"))
        assert [(article.revision, article.text) for article in claimed.result(timeout=HANG_S)] == [(2, "new")]


def test_an_article_that_changes_while_it_is_labelled_waits_again(workspace, tmp_path):
    database = workspace.database
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
    with database.begin() as connection:
        model = add_model(connection, "m", macro_f1=0.5)
        model_rows.make_champion(connection, model)
    changed = write_csv(tmp_path / "x.csv", [{**row, "text": "changed"} for row in unlabelled(3)])
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as worker:
            page = claim_page(worker, 2)
            ingesting = pool.submit(ingest_file, workspace, changed)
            wait_until_blocked(database)
            predict(worker, model, [article.id for article in page])
        assert ingesting.result(timeout=HANG_S).enqueued == 3
    assert query(database, "SELECT label FROM article_labels") == [(None,)] * 3
    assert value(database, "SELECT count(*) FROM labelling_queue") == 3


class TestBacklog:
    @pytest.fixture
    def champion(self, database):
        """A new champion, and 25 articles: some labelled by it, annotated, dead, waiting, or changed since."""
        with database.begin() as connection:
            model, before = add_model(connection, "new", macro_f1=0.5), add_model(connection, "old")
            ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(25)])
            predict(connection, model, ids[:4])
            predict(connection, before, [ids[5]])
            annotate(connection, ids[4], "sport")
            connection.execute(text("UPDATE articles SET revision = 2 WHERE id = :id"), {"id": ids[0]})
            connection.execute(
                text("INSERT INTO dead_letters (article_id, model_id, revision, reason) VALUES (:id, :model, 1, 'r')"),
                [{"id": ids[6], "model": model}, {"id": ids[7], "model": before}],
            )
            enqueue(connection, ids[10:12])
            model_rows.make_champion(connection, model)
        return model, [article_id for n, article_id in enumerate(ids) if n not in {1, 2, 3, 4, 6}]

    def test_is_what_the_champion_has_not_labelled(self, database, champion):
        enqueue_backlog(database, champion[0])
        assert waiting(database) == champion[1]
        assert query(database, "SELECT priority, count(*) FROM labelling_queue GROUP BY 1 ORDER BY 1") == [
            (0, 2), (1, len(champion[1]) - 2),
        ]  # fmt: skip
        assert value(database, "SELECT backfilled_to FROM models WHERE name = 'new'") is None

    def test_resumes_at_the_chunk_that_a_crash_interrupted(self, database, champion):
        model, expected = champion
        reached = []
        for commits in (True, True, False, True):
            with database.connect() as connection:
                labelling_queue.enqueue_backfill_chunk(connection, model, CHUNK_SIZE)
                reached.append(model_rows.backfilled_to(connection, model))
                if commits:
                    connection.commit()
        assert reached[2] == reached[3], "only the chunk that was rolled back is enqueued again"
        enqueue_backlog(database, model)
        assert waiting(database) == expected

    def test_is_enqueued_once_by_workers_that_start_together(self, database, champion):
        model, expected = champion
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: enqueue_backlog(database, model, 2), range(4)))
        assert waiting(database) == expected

    def test_is_left_for_later_while_a_page_of_a_former_champion_is_open(self, database, champion):
        """Its articles are claimed, and must be labelled again."""
        model, expected = champion
        with database.begin() as connection:
            former = model_rows.by_name(connection, "old")
            page = claim_page(connection, 1, model=former.id)
            with database.begin() as other:
                assert labelling_queue.enqueue_backfill_chunk(other, model, 100) is None
            predict(connection, former.id, [article.id for article in page])
        enqueue_backlog(database, model)
        assert waiting(database) == expected
        assert page[0].id in expected

    def test_leaves_out_the_articles_of_an_open_page_of_the_champion(self, database, champion):
        """They would be labelled twice."""
        model, expected = champion
        with database.begin() as connection:
            page = claim_page(connection, 1, model=model)
            with database.begin() as other:
                assert labelling_queue.enqueue_backfill_chunk(other, model, 100) is not None
            predict(connection, model, [article.id for article in page])
        assert waiting(database) == [article_id for article_id in expected if article_id != page[0].id]

    def test_leaves_the_queue_to_an_ingest_that_adds_to_it(self, database, champion):
        with database.begin() as connection:
            labelling_queue.lock(connection)
            with database.begin() as other:
                assert labelling_queue.enqueue_backfill_chunk(other, champion[0], 100) is None

    def test_of_a_model_that_is_no_longer_champion_is_not_enqueued(self, database, champion):
        with database.begin() as connection:
            model_rows.make_champion(connection, model_rows.by_name(connection, "old").id)
            assert labelling_queue.enqueue_backfill_chunk(connection, champion[0], 100) is None
        assert len(waiting(database)) == 2

    def test_does_not_deadlock_with_an_ingest(self, workspace, database, champion, tmp_path):
        """The ingest holds a row of the queue that the backlog needs, and then needs one that the backlog holds."""
        model, expected = champion
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(2))
        annotated = [{"id": "a1", "text": "the same", "category": "sport"}]
        changed = [{"id": "a0", "text": "changed", "category": ""}]
        merge = article_rows.query

        with ThreadPoolExecutor(1) as pool:
            started = []

            def slow(name):
                if name == "enqueue_staged_articles" and not started:
                    started.append(pool.submit(enqueue_backlog, database, model))
                    time.sleep(0.2)
                return merge(name)

            article_rows.query = slow
            try:
                ingest_file(workspace, tmp_path / "x.csv", annotated + changed)
            finally:
                article_rows.query = merge
            started[0].result(timeout=HANG_S)
        assert len(waiting(database)) == len(expected) + 1


def waiting(database):
    return [article_id for (article_id,) in query(database, "SELECT article_id FROM labelling_queue ORDER BY 1")]


def test_a_page_of_large_texts_is_refused_before_they_are_read_with_the_number_that_fits(database, monkeypatch):
    monkeypatch.setattr(labelling_queue, "PAGE_BYTES", 1_000)
    with database.begin() as connection:
        rows = [(f"{n}", f"é{n} " * (100 if n else 1_000), "train") for n in range(5)]
        enqueue(connection, add_articles(connection, rows))
    for size, fitting in ((5, 1), (1, None), (4, 2), (2, None), (2, None)):
        with database.connect() as connection:
            if fitting is None:  # a text that is too large is a page of its own
                assert len(claim_page(connection, size)) == size
                connection.commit()
            else:
                with pytest.raises(labelling_queue.PageTooLargeError) as refused:
                    claim_page(connection, size)
                assert refused.value.fitting == fitting
    assert value(database, "SELECT count(*) FROM labelling_queue") == 0
