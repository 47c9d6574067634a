"""Two tasks are labelled at once while workers are killed and champions change: no label is lost, doubled or mixed."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import text

from benchmarks.support import lost_labels
from classifier import registry
from classifier.ingest.columns import Columns, TaskColumn
from classifier.ingest.splits import Proportions
from classifier.pipeline.database import tasks
from classifier.pipeline.ingest import units
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, history
from classifier.store import connections, model_rows
from classifier.workspace import Workspace
from tests.support import killing
from tests.support.synthetic import LENIENT, articles, query, run, value
from tests.support.tiny_models import make_artefact
from tests.support.waiting import HANG_S, wait_for

SEED = 21578
ARTICLES, PAGE_SIZE = 600, 5
KILLS, FIRST_STEP, LAST_STEP = 3, 60, 200
"""A page takes about 12 steps, so before a kill a worker labels at most 85 articles.

The killed workers of a task label at most 2 x 3 x 85 articles: fewer than there are, so each of them is killed.
"""
PROMOTION = 40
"""Articles of the task topics that are labelled before its promotion: fewer than its killed workers label."""

CATEGORIES = {"author": ("Ann", "Ben"), "topics": ("gold", "grain", "ship")}
COLUMNS = Columns(id="id", categories=(TaskColumn("author", "author"), TaskColumn("topics", "topics")))


@pytest.fixture
def newsroom(workspace, tmp_path):
    """Return the workspaces of a single-label and a multi-label task by name, each with a champion and a backlog.

    Some articles have an annotation of one task, and each champion has a dead letter. The next model of topics, t2, is
    a candidate.
    """
    tasks.add(workspace, "author")
    tasks.add(workspace, "topics", kind="multi", min_labels=0)
    rows = [
        {
            **row,
            "author": None if number % 10 else CATEGORIES["author"][number % 20 // 10],
            "topics": None if number % 15 else [*CATEGORIES["topics"][: number % 4]],
        }
        for number, row in enumerate(articles(ARTICLES))
    ]
    path = tmp_path / "articles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    units.ingest_files(workspace, str(path), units.IngestOptions(COLUMNS, proportions=Proportions(0.5, 0.2, 0.3)))
    both = {name: workspace.with_task(name) for name in CATEGORIES}
    for number, (task, name) in enumerate((("author", "a1"), ("topics", "t1"), ("author", "a2"), ("topics", "t2"))):
        files = make_artefact(
            workspace.models / name, CATEGORIES[task], kind=both[task].task.kind, seed=number, positions=32
        )
        with both[task].database.begin() as connection:
            registry.register(connection, name, files, {})
    for task, name in (("author", "a1"), ("topics", "t1")):
        promote(both[task], name)
        run(workspace.database, ADD_DEAD_LETTER, model=name)
        run(workspace.database, DEQUEUE_DEAD_LETTERS)
    return both


ADD_DEAD_LETTER = """
INSERT INTO dead_letters (article_id, model_id, revision, reason)
SELECT min(labelling_queue.article_id), models.id, 1, 'cannot be labelled'
FROM labelling_queue JOIN models USING (task_id) WHERE models.name = :model GROUP BY models.id
"""
DEQUEUE_DEAD_LETTERS = """
DELETE FROM labelling_queue AS waiting USING dead_letters AS dead, models
WHERE models.id = model_id AND waiting.task_id = models.task_id AND waiting.article_id = dead.article_id
"""


def promote(workspace, name, connection=None):
    """Promote a model, whatever the gate says, in the transaction of a connection or in one of its own."""
    if connection is None:
        with workspace.database.begin() as opened:
            promote(workspace, name, opened)
        return
    model_rows.lock_champion(connection)
    model = registry.find(connection, name)
    decision = registry.decide(connection, model, "promoted", "a test", decided_by="ann", statistics={})
    assert decision.promoted


def predictions(workspace, model):
    """Return the predictions of a model by article, with all bits of their probabilities."""
    rows = query(
        workspace.database,
        "SELECT article_id, predictions.revision, category_indices, confidence, probabilities FROM predictions "
        "JOIN models ON models.id = model_id WHERE name = :model ORDER BY 1",
        model=model,
    )
    return {article_id: values for article_id, *values in rows}


def label_sets(workspace):
    """Return what readers see of the workspace's task."""
    return query(
        workspace.database,
        "SELECT article_id, labels, confidences, origin, model, abstained FROM article_label_sets "
        "WHERE task = :task ORDER BY 1",
        task=workspace.task.name,
    )


@pytest.fixture
def undisturbed(newsroom, server):
    """Return workspaces like those of the newsroom, on a copy of its database; nothing is labelled yet."""
    database = newsroom["author"].database
    database.dispose()  # a database with connections cannot be copied
    url = server.create(template=database.url.database)
    copy = connections.connect(url.render_as_string(hide_password=False))
    yield {name: Workspace(copy, each.settings).with_task(name) for name, each in newsroom.items()}
    copy.dispose()
    server.drop(url)


UNACCOUNTED = """
SELECT task, articles.id, count(champion.id)
FROM articles
CROSS JOIN (SELECT id AS task_id, name AS task FROM tasks) AS every_task
JOIN models AS champion USING (task_id)
LEFT JOIN predictions ON predictions.article_id = articles.id AND model_id = champion.id
    AND predictions.revision = articles.revision
LEFT JOIN effective_annotations AS annotated
    ON annotated.article_id = articles.id AND annotated.task_id = champion.task_id
LEFT JOIN dead_letters AS dead ON dead.article_id = articles.id AND dead.model_id = champion.id
WHERE champion.status = 'champion'
GROUP BY 1, 2
HAVING count(*) <> 1 OR count(predictions.model_id) + count(annotated.task_id) + count(dead.model_id) <> 1
"""
"""Articles that do not have exactly one of: a prediction of their task's champion, an annotation, a dead letter."""

OF_ANOTHER_TASK = """
SELECT count(*)
FROM article_label_sets
JOIN tasks ON tasks.name = task
JOIN models ON models.name = model
WHERE models.task_id <> tasks.id OR models.status <> 'champion' OR NOT labels <@ models.categories
"""


def verify(newsroom, *, dead):
    """Check by SQL that nothing waits, is doubled or mixed, and that nothing is missing but `dead` articles."""
    database = newsroom["author"].database
    assert lost_labels.count(database) == {"missing": dead, "doubled": 0, "mixed": 0}
    assert value(database, "SELECT count(*) FROM labelling_queue") == 0
    assert query(database, UNACCOUNTED) == []
    assert value(database, OF_ANOTHER_TASK) == 0
    shown = query(database, "SELECT task, count(*), count(DISTINCT article_id) FROM article_label_sets GROUP BY 1")
    assert {*shown} == {(task, ARTICLES, ARTICLES) for task in CATEGORIES}


@pytest.mark.slow
def test_killed_workers_of_two_tasks_lose_and_mix_nothing_while_one_of_the_tasks_gets_a_champion(newsroom, undisturbed):
    """Two workers a task get `kill -9` between any two statements, again and again, and topics gets the champion t2."""
    database = newsroom["author"].database
    lost_labels.note_every_prediction(database)
    environment = {
        "CLASSIFIER_DATABASE_URL": database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(newsroom["author"].settings.home),
    }
    generator = random.Random(SEED)
    promoted = Event()

    def work(task, moments):
        for moment in moments:
            assert killing.ended(start(task, moment)), f"{task}: the worker ended before step {moment}"
        assert promoted.wait(HANG_S)
        assert not killing.ended(start(task, killing.NEVER))

    def start(task, moment):
        return killing.start(["label", "--task", task, "--page-size", str(PAGE_SIZE)], moment, environment)

    workers = [
        (task, [generator.randint(FIRST_STEP, LAST_STEP) for _ in range(KILLS)]) for task in CATEGORIES for _ in "ab"
    ]
    with ThreadPoolExecutor(len(workers)) as pool:
        running = [pool.submit(work, task, moments) for task, moments in workers]
        promote_between_pages(newsroom["topics"], "t2", running)
        promoted.set()
        for worker in running:
            worker.result()
    verify(newsroom, dead=1)  # t2 has labelled the article that t1 cannot label
    compare(newsroom, undisturbed)


def promote_between_pages(workspace, name, running):
    """Promote a model when `PROMOTION` articles have a label of the task, while no page can be written."""
    labelled = "SELECT count(*) FROM predictions JOIN models ON models.id = model_id WHERE task_id = :task"
    with workspace.database.connect() as connection:

        def is_time():
            assert not any(worker.done() for worker in running), [worker.exception() for worker in running]
            connection.rollback()
            connection.execute(text("LOCK TABLE predictions IN SHARE MODE"))
            return connection.execute(text(labelled), {"task": workspace.task.id}).scalar_one() >= PROMOTION

        wait_for(is_time)
        promote(workspace, name, connection)
        connection.commit()


def compare(newsroom, undisturbed):
    """Compare with labelling without kills: of author without the promotion, of topics before it and after it."""
    for each in undisturbed.values():
        queue.label_queue(each)
    first = predictions(newsroom["topics"], "t1")
    assert label_sets(newsroom["author"]) == label_sets(undisturbed["author"])
    assert predictions(newsroom["author"], "a1") == predictions(undisturbed["author"], "a1")
    assert PROMOTION <= len(first) < len(predictions(undisturbed["topics"], "t1"))
    assert first.items() <= predictions(undisturbed["topics"], "t1").items()
    promote(undisturbed["topics"], "t2")
    queue.label_queue(undisturbed["topics"])
    assert label_sets(newsroom["topics"]) == label_sets(undisturbed["topics"])
    assert predictions(newsroom["topics"], "t2") == predictions(undisturbed["topics"], "t2")


def at_once(newsroom, change):
    """Change the champions of both tasks while another transaction holds the champions' lock; return the decisions."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    database = newsroom["author"].database
    with ThreadPoolExecutor(2) as pool:
        with database.begin() as connection:
            model_rows.lock_champion(connection)
            running = {task: pool.submit(change, each) for task, each in newsroom.items()}
            wait_for(lambda: value(database, waits) == 2 or any(change.done() for change in running.values()))
        decided = {task: change.result(timeout=HANG_S) for task, change in running.items()}
    return {task: (decision.promoted, decision.previous, decision.model) for task, decision in decided.items()}


@pytest.mark.slow
def test_two_tasks_whose_champions_change_at_once_do_not_touch_each_other(newsroom):
    lost_labels.note_every_prediction(newsroom["author"].database)
    for each in newsroom.values():
        queue.label_queue(each)
        for number in (1, 2):
            evaluation.evaluate(each, name_of(each, number))
    before = {task: label_sets(each) for task, each in newsroom.items()}
    promoted = at_once(newsroom, lambda each: decisions.promote_if_better(each, margins=LENIENT))
    assert promoted == {"author": (True, "a1", "a2"), "topics": (True, "t1", "t2")}
    for each in newsroom.values():
        assert queue.label_queue(each, limit=200, page_size=PAGE_SIZE).waiting > 0
    rolled_back = at_once(newsroom, decisions.roll_back)
    assert rolled_back == {"author": (True, "a2", "a1"), "topics": (True, "t2", "t1")}
    assert {task: label_sets(each) for task, each in newsroom.items()} == before
    verify(newsroom, dead=2)
    assert at_once(newsroom, lambda each: decisions.roll_back(each, name_of(each, 2))) == promoted
    for each in newsroom.values():
        assert queue.label_queue(each).labelled > 0, "what the rollback had removed from the queue waits again"
        decided = [(decision.model, decision.previous) for decision in history.read_history(each)]
        first, second = name_of(each, 1), name_of(each, 2)
        assert decided == [(second, first), (first, second), (second, first), (first, None)]
    verify(newsroom, dead=0)
    assert all(label_sets(each) != before[task] for task, each in newsroom.items())


def name_of(workspace, number):
    """Return the name of the first or second model of a workspace's task."""
    return f"{workspace.task.name[0]}{number}"
