"""A file of any size is ingested atomically, and each statement handles a bounded number of rows."""

from __future__ import annotations

import json
import random

import pytest
from sqlalchemy import event, text

from classifier.ingest import readers
from classifier.pipeline.ingest.units import IngestReport
from classifier.store import staging
from classifier.store.queries import sql
from tests.support.synthetic import ingest_file, query, run, value

STEP = 7


@pytest.fixture
def small_steps(monkeypatch):
    """Read and merge seven rows at a time."""
    original = readers.read_file
    monkeypatch.setattr(readers, "read_file", lambda *args, **options: original(*args, **options, chunk_rows=STEP))
    monkeypatch.setattr(staging, "STEP", STEP)


def random_rows(choose, count):
    """Return rows with few ids, so that ids repeat within and across steps; some rows are invalid."""
    return [
        {
            "id": f"i{choose.randrange(60)}" if choose.random() > 0.1 else "",
            "text": f"text {choose.randrange(4)}",
            "category": choose.choice(["", "", "sport", "tech"]),
        }
        for _ in range(count)
    ]


def effective_annotations(database):
    rows = query(
        database,
        "SELECT external_id, categories[1] FROM effective_annotations JOIN articles ON articles.id = article_id",
    )
    return dict(rows)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("seed", range(5))
def test_the_last_row_of_a_file_wins_across_steps_and_every_count_is_exact(workspace, tmp_path, seed):
    choose = random.Random(seed)
    texts, categories = {}, {}
    for _ in range(3):
        rows = random_rows(choose, 150)
        good = [row for row in rows if row["id"]]
        last = {row["id"]: row["text"] for row in good}
        report = ingest_file(workspace, tmp_path / "x.csv", rows, max_rejected=1)
        same = {identity for identity in last if texts.get(identity) == last[identity]}
        new = last.keys() - texts.keys()
        assert report.read == 150
        assert (report.rejected, report.duplicates) == (150 - len(good), len(good) - len(last))
        assert (report.new, report.unchanged) == (len(new), len(same))
        assert report.changed == len(last) - len(new) - len(same)
        # another text has no annotation yet, and only a row with the stored text annotates it
        categories = {
            identity: name
            for identity, name in categories.items()
            if last.get(identity, texts[identity]) == texts[identity]
        }
        texts |= last
        categories |= {row["id"]: row["category"] for row in good if row["category"] and row["text"] == last[row["id"]]}
        assert dict(query(workspace.database, "SELECT external_id, text FROM articles")) == texts
        assert effective_annotations(workspace.database) == categories
        waiting = query(workspace.database, "SELECT external_id FROM labelling_queue JOIN articles ON id = article_id")
        assert {identity for (identity,) in waiting} == texts.keys() - categories.keys()


@pytest.mark.usefixtures("small_steps")
def test_an_article_that_a_file_changes_and_restores_is_unchanged(workspace, tmp_path):
    filler = [{"id": f"f{number}", "text": f"filler {number}", "category": ""} for number in range(20)]
    first = {"id": "a", "text": "first", "category": "sport"}
    ingest_file(workspace, tmp_path / "x.csv", [first])
    rows = [{**first, "text": "second", "category": "tech"}, *filler, first]
    report = ingest_file(workspace, tmp_path / "x.csv", rows)
    assert report == IngestReport(files=1, read=22, duplicates=1, new=20, unchanged=1, enqueued=20)
    assert query(workspace.database, "SELECT text, revision FROM articles WHERE external_id = 'a'") == [("first", 1)]


@pytest.mark.usefixtures("small_steps")
def test_no_statement_handles_more_rows_than_a_step(workspace, tmp_path):
    rows = random_rows(random.Random(1), 300)
    ingest_file(workspace, tmp_path / "x.csv", random_rows(random.Random(2), 300), max_rejected=1)
    handled = []

    @event.listens_for(workspace.database, "after_cursor_execute")
    def note(_connection, cursor, statement, *_):
        handled.append((cursor.rowcount, statement))

    ingest_file(workspace, tmp_path / "x.csv", rows, max_rejected=1)
    assert sum(1 for _, statement in handled if "INSERT INTO annotations" in statement) > 300 / STEP / 2
    assert [(rows, statement) for rows, statement in handled if rows > STEP] == []


STATEMENTS = {
    "mark_superseded": {},
    "merge_staged_articles": {"run_id": None},
    "annotate_staged_articles": {"run_id": None},
    "dequeue_annotated": {},
    "texts_with_other_ids": {},
    "count_other_splits": {},
    "sources_of_changed_articles": {"run_id": None},
    "enqueue_staged_articles": {},
    "count_new": {},
    "staged_texts": {},
    "keep_rejected": {"run_id": None, "unit": "u"},
    "delete_resolved": {"run_id": 1, "unit": "u", "complete": True, "after": 0, "size": 5000},
    "delete_resolved of a part": {"run_id": 1, "unit": "u", "complete": False, "after": 0, "size": 5000},
}


STORED = """
INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split)
SELECT 's', n::text, 'text ' || n, sha256(n::text::bytea), sha256(n::text::bytea), 'train'
FROM generate_series(1, 30000) AS n;
INSERT INTO splits (fingerprint, split) SELECT fingerprint, split FROM articles;
INSERT INTO labelling_queue (article_id, task_id, priority) SELECT id, (SELECT id FROM tasks), 0 FROM articles;
INSERT INTO annotations (article_id, task_id, revision, categories, annotator)
SELECT id, (SELECT id FROM tasks), 1, ARRAY['c'], 'source:s' FROM articles;
INSERT INTO rejected_rows (source, position, reason, row, row_hash, unit)
SELECT 's', 'line ' || n, 'r', 'x', sha256(n::text::bytea), 'u' FROM generate_series(1, 30000) AS n;
ANALYZE articles, splits, labelling_queue, annotations, rejected_rows
"""
STAGED = """
INSERT INTO staged_articles (source, external_id, text, text_hash, fingerprint, annotations)
SELECT source, external_id, text, text_hash, fingerprint,
    (SELECT jsonb_build_object(tasks.id, jsonb_build_array('c')) FROM tasks)
FROM articles ORDER BY id;
INSERT INTO staged_changes (article_id, revision) SELECT id, 1 FROM articles ORDER BY id;
INSERT INTO staged_small_changes (article_id, revision, fingerprint, sketch)
SELECT id, 1, fingerprint, fingerprint FROM articles ORDER BY id;
INSERT INTO staged_texts (fingerprint, source, external_id) SELECT fingerprint, source, external_id FROM articles;
INSERT INTO staged_rejected (source, source_position, reason, row, row_hash)
SELECT source, position, reason, row, row_hash FROM rejected_rows
"""


@pytest.fixture
def staged(workspace):
    """A transaction with 30,000 staged articles, 30,000 stored articles and 30,000 rejected rows."""
    run(workspace.database, STORED)
    with workspace.database.begin() as connection:
        staging.create_tables(connection)
        connection.execute(text(STAGED))
        yield connection


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("analyzed", [False, True])
def test_every_step_finds_its_rows_by_an_index(staged, analyzed):
    """Without statistics, as in an ingest, and with statistics, which autovacuum never makes for temporary tables."""
    if analyzed:
        staged.execute(text("ANALYZE"))
    for name, more in STATEMENTS.items():
        values = more if "after" in more else {"first": 10_001, "last": 15_000, **more}
        explained = staged.execute(text(f"EXPLAIN (FORMAT JSON) {sql(name.partition(' of ')[0])}"), values).scalar_one()
        plan = (explained if isinstance(explained, list) else json.loads(explained))[0]["Plan"]
        scans = [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
        assert set(scans) <= {"ingest_runs", "tasks"}, f"{name}: {json.dumps(plan, indent=1)}"


def test_more_rows_need_more_statements_but_not_larger_ones(workspace, tmp_path, monkeypatch):
    counts = []
    for step in (100, 10):
        monkeypatch.setattr(staging, "STEP", step)
        seen = []
        event.listen(
            workspace.database, "before_cursor_execute", lambda *arguments, seen=seen: seen.append(arguments[2])
        )
        rows = [{"id": f"{step}-{n}", "text": f"t {step} {n}", "category": "c"} for n in range(200)]
        assert ingest_file(workspace, tmp_path / "x.csv", rows).new == 200
        counts.append(sum(statement.startswith("WITH merged AS") for statement in seen))
    assert counts == [2, 20]
    assert value(workspace.database, "SELECT count(*) FROM articles") == 400
