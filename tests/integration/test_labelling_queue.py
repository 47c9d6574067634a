"""What ingest, labellers and a new champion's backlog do to the queue at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from classifier.articles import Prediction
from classifier.pipeline import label
from classifier.store import reads, writes
from tests.integration.made_up import (
    add_articles,
    add_model,
    annotate,
    enqueue,
    query,
    run,
    take_in,
    unlabelled,
    value,
    write_csv,
)


def test_a_page_holds_new_articles_before_the_backlog_in_the_order_of_their_ids(connection):
    ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(6)])
    enqueue(connection, ids[:3], priority=1)
    enqueue(connection, ids[3:], priority=0)
    assert [article.id for article in writes.claim_page(connection, 4)] == [ids[0], *ids[3:]]
    assert [article.id for article in writes.claim_page(connection, 4)] == ids[1:3]
    assert writes.claim_page(connection, 4) == []


def test_a_claim_that_is_rolled_back_leaves_the_queue_as_it_was(database):
    with database.begin() as connection:
        enqueue(connection, add_articles(connection, [("1", "text", "train")]))
    with database.connect() as connection:
        assert len(writes.claim_page(connection, 5)) == 1
    assert value(database, "SELECT count(*) FROM labelling_queue") == 1


def test_no_two_workers_hold_the_same_article(database):
    with database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(10)])
        enqueue(connection, ids)
    with database.connect() as first, database.connect() as second:
        ours, theirs = writes.claim_page(first, 6), writes.claim_page(second, 6)
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
    deadline = time.monotonic() + 20
    while not value(database, statement, locktype=locktype):
        assert time.monotonic() < deadline, "nothing waits"
        time.sleep(0.01)


def test_a_text_that_changes_while_its_page_is_claimed_is_labelled_as_it_is_now(workspace, tmp_path):
    """The change commits between the claim's snapshot and its lock on the queue."""
    database = workspace.database
    take_in(workspace, tmp_path / "x.csv", [{"id": "1", "text": "old", "category": ""}])

    def claim():
        with database.begin() as connection:
            return writes.claim_page(connection, 5)

    with ThreadPoolExecutor(1) as pool:
        with pause_before_deleting(database):
            claimed = pool.submit(claim)
            wait_until_blocked(database, locktype="advisory")
            with database.begin() as connection:
                connection.execute(text("UPDATE articles SET text = 'new', revision = 2, text_hash = 'h'"))
                connection.execute(text("UPDATE labelling_queue SET enqueued_at = now()"))
        assert [(article.revision, article.text) for article in claimed.result(timeout=20)] == [(2, "new")]


def test_an_article_that_changes_while_it_is_labelled_waits_again(workspace, tmp_path):
    database = workspace.database
    take_in(workspace, tmp_path / "x.csv", unlabelled(3))
    with database.begin() as connection:
        model = add_model(connection, "m", macro_f1=0.5)
        writes.make_champion(connection, model)
    changed = write_csv(tmp_path / "x.csv", [{**row, "text": "changed"} for row in unlabelled(3)])
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as worker:
            page = writes.claim_page(worker, 2)
            ingesting = pool.submit(take_in, workspace, changed)
            wait_until_blocked(database)
            found = [Prediction(one.id, one.revision, "a", 1.0, (1.0, 0.0)) for one in page]
            writes.write_predictions(worker, model, found)
        assert ingesting.result(timeout=20).enqueued == 3
    assert query(database, "SELECT label FROM article_labels") == [(None,)] * 3
    assert value(database, "SELECT count(*) FROM labelling_queue") == 3


class TestBacklog:
    @pytest.fixture
    def champion(self, database):
        """A new champion, and 25 articles: some labelled by it, annotated, dead, waiting, or changed since."""
        with database.begin() as connection:
            model, before = add_model(connection, "new", macro_f1=0.5), add_model(connection, "old")
            ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(25)])
            done = [Prediction(one, 1, "a", 1.0, (1.0, 0.0)) for one in ids[:4]]
            writes.write_predictions(connection, model, done)
            writes.write_predictions(connection, before, [Prediction(ids[5], 1, "a", 1.0, (1.0, 0.0))])
            annotate(connection, ids[4], "sport")
            connection.execute(text("UPDATE articles SET revision = 2 WHERE id = :id"), {"id": ids[0]})
            connection.execute(
                text("INSERT INTO dead_letters (article_id, model_id, revision, reason) VALUES (:id, :model, 1, 'r')"),
                [{"id": ids[6], "model": model}, {"id": ids[7], "model": before}],
            )
            enqueue(connection, ids[10:12])
            writes.make_champion(connection, model)
        return model, [one for n, one in enumerate(ids) if n not in {1, 2, 3, 4, 6}]

    def test_is_what_the_champion_has_not_labelled(self, workspace, database, champion, monkeypatch):
        monkeypatch.setattr(label, "STRETCH", 4)
        with database.connect() as connection:
            model = reads.champion(connection)
        label.enqueue_backlog(workspace, model)
        assert [one for (one,) in query(database, "SELECT article_id FROM labelling_queue ORDER BY 1")] == champion[1]
        assert query(database, "SELECT priority, count(*) FROM labelling_queue GROUP BY 1 ORDER BY 1") == [
            (0, 2), (1, len(champion[1]) - 2),
        ]  # fmt: skip
        assert value(database, "SELECT backfilled_to FROM models WHERE name = 'new'") is None

    def test_goes_on_where_a_crash_left_it(self, workspace, database, champion, monkeypatch):
        monkeypatch.setattr(label, "STRETCH", 4)
        with database.connect() as connection:
            model = reads.champion(connection)
        whole, stretches = writes.set_backfilled_to, []

        def crash(connection, model_id, article_id):
            whole(connection, model_id, article_id)
            stretches.append(article_id)
            if len(stretches) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(writes, "set_backfilled_to", crash)
        with pytest.raises(KeyboardInterrupt):
            label.enqueue_backlog(workspace, model)
        assert value(database, "SELECT backfilled_to FROM models WHERE name = 'new'") == stretches[1]
        label.enqueue_backlog(workspace, model)
        assert stretches[2] == stretches[3], "the stretch that was lost is done again, and no other"
        assert [one for (one,) in query(database, "SELECT article_id FROM labelling_queue ORDER BY 1")] == champion[1]

    def test_is_enqueued_once_by_workers_that_start_together(self, workspace, database, champion, monkeypatch):
        monkeypatch.setattr(label, "STRETCH", 2)
        with database.connect() as connection:
            model = reads.champion(connection)
        whole, stretches = writes.set_backfilled_to, []

        def remember(connection, model_id, article_id):
            stretches.append(article_id)
            whole(connection, model_id, article_id)

        monkeypatch.setattr(writes, "set_backfilled_to", remember)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: label.enqueue_backlog(workspace, model), range(4)))
        assert len(stretches) == len(set(stretches)) == 14
        assert [one for (one,) in query(database, "SELECT article_id FROM labelling_queue ORDER BY 1")] == champion[1]

    @pytest.mark.usefixtures("champion")
    def test_waits_for_a_labeller_of_the_former_champion_and_takes_its_articles(self, workspace, database):
        with database.connect() as connection:
            model = reads.champion(connection)
        with ThreadPoolExecutor(1) as pool:
            with database.begin() as worker:
                page = writes.claim_page(worker, 5)
                enqueuing = pool.submit(label.enqueue_backlog, workspace, model)
                wait_until_blocked(database)
                assert not enqueuing.done()
            enqueuing.result(timeout=20)
        waiting = {one for (one,) in query(database, "SELECT article_id FROM labelling_queue")}
        assert waiting >= {article.id for article in page}

    def test_waits_for_a_labeller_that_has_only_just_locked_its_page(self, workspace, database, champion):
        with database.connect() as connection:
            model = reads.champion(connection)
        run(database, "DELETE FROM labelling_queue; INSERT INTO labelling_queue SELECT min(id) + 10, 0 FROM articles")

        def claim():
            with database.begin() as connection:
                return writes.claim_page(connection, 1)

        with ThreadPoolExecutor(2) as pool:
            with pause_before_deleting(database, each="ROW"):
                claiming = pool.submit(claim)
                wait_until_blocked(database, locktype="advisory")
                enqueuing = pool.submit(label.enqueue_backlog, workspace, model)
                time.sleep(0.5)
            page = claiming.result(timeout=20)
            enqueuing.result(timeout=20)
        waiting = {one for (one,) in query(database, "SELECT article_id FROM labelling_queue")}
        assert waiting == set(champion[1])
        assert page[0].id in waiting

    def test_does_not_deadlock_with_an_ingest(self, workspace, database, champion, tmp_path):
        """The ingest holds a row of the queue that the backlog wants, and then wants one that the backlog holds."""
        with database.connect() as connection:
            model = reads.champion(connection)
        take_in(workspace, tmp_path / "x.csv", unlabelled(2))
        annotated = [{"id": "a1", "text": "the same", "category": "sport"}]
        changed = [{"id": "a0", "text": "changed", "category": ""}]
        merge = writes.query

        with ThreadPoolExecutor(1) as pool:
            started = []

            def slow(name):
                if name == "enqueue_staged_articles" and not started:
                    started.append(pool.submit(label.enqueue_backlog, workspace, model))
                    wait_until_blocked(database)
                return merge(name)

            writes.query = slow
            try:
                take_in(workspace, tmp_path / "x.csv", annotated + changed)
            finally:
                writes.query = merge
            started[0].result(timeout=20)
        assert value(database, "SELECT count(*) FROM labelling_queue") == len(champion[1]) + 1
