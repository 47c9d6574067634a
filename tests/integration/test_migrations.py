"""Migrations create the tables of the metadata, also if several processes run them at once."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from subprocess import PIPE

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from classifier.exceptions import DatabaseNotMigratedError
from classifier.pipeline.database import upgrade
from classifier.pipeline.monitoring import status
from classifier.settings import Settings
from classifier.store import connections, schema, tables, views
from classifier.workspace import Workspace
from tests.support.synthetic import dump, query, value
from tests.support.waiting import HANG_S


@pytest.fixture
def empty(empty_url, tmp_path):
    engine = connections.connect(empty_url.render_as_string(hide_password=False))
    yield Workspace(engine, Settings(home=tmp_path, _env_file=None))
    engine.dispose()


def test_upgrade_creates_the_tables_of_the_metadata(empty):
    upgrade.upgrade_schema(empty)
    with empty.database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def test_the_view_has_the_columns_of_the_metadata(empty):
    upgrade.upgrade_schema(empty)
    columns = inspect(empty.database).get_columns("article_labels")
    described = views.article_labels.columns
    assert [column["name"] for column in columns] == list(described.keys())
    assert [str(column["type"]) for column in columns] == [
        str(column.type.compile(empty.database.dialect)).replace(" WITH TIME ZONE", "") for column in described
    ]
    with empty.database.connect() as connection:
        assert connection.execute(views.article_labels.select()).all() == []


def test_no_table_can_be_written_through_a_view(empty):
    """A role that may write to an updatable view could change the table behind it without a right on the table."""
    upgrade.upgrade_schema(empty)
    views = "SELECT table_name FROM information_schema.views WHERE table_schema = 'public' AND is_updatable = 'YES'"
    assert query(empty.database, views) == []


def test_every_constraint_and_index_is_named_by_the_convention(empty):
    upgrade.upgrade_schema(empty)
    names = query(
        empty.database,
        "SELECT conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid "
        "WHERE relnamespace = 'public'::regnamespace AND contype <> 'n' AND relname <> 'alembic_version' "
        "UNION SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    )
    expected = {
        str(item.name) for table in tables.metadata.tables.values() for item in (*table.constraints, *table.indexes)
    }
    assert {name for (name,) in names} == expected
    assert all(re.match(r"(pk|fk|uq|ck|ix)_[a-z_]+$", name) for name in expected)


def test_a_second_upgrade_changes_nothing(empty):
    first = upgrade.upgrade_schema(empty)
    described = (
        "SELECT table_name, column_name, data_type, ordinal_position FROM information_schema.columns ORDER BY 1, 4"
    )
    before = query(empty.database, described)
    assert upgrade.upgrade_schema(empty) == first == schema.head()
    assert query(empty.database, described) == before


def test_downgrade_drops_everything_and_upgrade_recreates_it(empty):
    upgrade.upgrade_schema(empty)
    with empty.database.connect() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(inspect(empty.database).get_table_names()) == {"alembic_version"}
    assert inspect(empty.database).get_view_names() == []
    upgrade.upgrade_schema(empty)
    assert dump(empty.database)["articles"] == []


UPGRADE = """
import sys
from classifier.pipeline.database import upgrade
from classifier.settings import Settings
from classifier.store.connections import connect
from classifier.workspace import Workspace
workspace = Workspace(connect(sys.argv[1]), Settings(_env_file=None))
workspace.database.connect().close()
print("ready", flush=True)
sys.stdin.readline()
print(upgrade.upgrade_schema(workspace))
"""


def test_several_processes_may_upgrade_at_once(empty):
    command_line = [sys.executable, "-c", UPGRADE, empty.database.url.render_as_string(hide_password=False)]
    processes = [subprocess.Popen(command_line, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=HANG_S) for process in processes]
    assert outcomes == [(f"{schema.head()}\n", "")] * 3
    assert value(empty.database, "SELECT count(*) FROM alembic_version") == 1


def test_an_upgrade_leaves_no_lock_and_no_setting_behind(empty):
    upgrade.upgrade_schema(empty)
    assert value(empty.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    with empty.database.connect() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "0"
        assert connection.scalar(text("SHOW statement_timeout")) == "5min"


def test_an_upgrade_that_does_not_get_its_lock_fails_and_can_be_run_again(empty):
    """Another transaction holds the table that the first migration creates."""
    other = create_engine(empty.database.url)
    with other.connect() as connection:
        connection.execute(text("CREATE TABLE articles (id int)"))
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(upgrade.upgrade_schema, empty)
            with pytest.raises(DatabaseNotMigratedError, match="lock"):
                running.result(timeout=HANG_S)
        connection.rollback()
    other.dispose()
    assert value(empty.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert upgrade.upgrade_schema(empty) == schema.head()


def test_a_database_without_tables_is_refused(empty):
    with pytest.raises(DatabaseNotMigratedError, match=r"no tables of the classifier.*classifier db upgrade"):
        status.read_status(empty)


def test_a_database_of_a_newer_version_is_refused(empty):
    upgrade.upgrade_schema(empty)
    with empty.database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for action in (status.read_status, upgrade.upgrade_schema):
        with pytest.raises(DatabaseNotMigratedError, match="9999"):
            action(empty)


ROWS_OF_0003 = """
INSERT INTO articles (source, external_id, text, title, url, text_hash, fingerprint, split, revision, content_revision)
SELECT 'news', 'a' || n, 'text ' || n, 'title ' || n, 'https://news.test/' || n, sha256('h'), sha256('f'),
    (ARRAY['train', 'validation', 'test'])[1 + n % 3], CASE n WHEN 5 THEN 2 ELSE 1 END, CASE n WHEN 5 THEN 2 ELSE 1 END
FROM generate_series(1, 9) AS n;
INSERT INTO splits (fingerprint, split, cluster_id) VALUES (sha256('f'), 'train', 7);
INSERT INTO clusters (id, split) VALUES (7, 'train'), (8, 'train');
INSERT INTO cluster_bands (band, cluster_id) VALUES (70, 7);
INSERT INTO cluster_bridges (fingerprint, cluster_id) VALUES (sha256('f'), 8);
INSERT INTO ingest_runs (source, kind, options, status) VALUES ('news', 'files', '{"id": "id"}', 'succeeded');
INSERT INTO source_state (source, unit, config_sha256) VALUES ('news', 'x.csv', sha256('c'));
INSERT INTO rejected_rows (source, position, reason, row, row_hash, run_id)
VALUES ('news', '3', 'no text', '{}', '', 1);
INSERT INTO annotations (article_id, revision, category, annotator, comment, is_resolution, retracted_at, retracted_by)
VALUES
    (1, 1, 'sport', 'source:news', NULL, false, NULL, NULL),
    (1, 1, 'tech', 'ann', 'about a chip', false, NULL, NULL),
    (2, 1, 'sport', 'ann', NULL, false, NULL, NULL),
    (2, 1, 'tech', 'ben', NULL, false, NULL, NULL),
    (3, 1, 'tech', 'ann', NULL, false, NULL, NULL),
    (3, 1, 'sport', 'ben', NULL, false, NULL, NULL),
    (3, 1, 'sport', 'ann', NULL, true, NULL, NULL),
    (4, 1, 'withdrawn', 'source:news', NULL, false, now(), 'ann'),
    (5, 1, 'tech', 'source:news', NULL, false, NULL, NULL);
INSERT INTO models (name, status, artefact, manifest_sha256, categories, training, threshold, backfilled_to)
VALUES
    ('first', 'retired', 'first', '0', '{sport,tech}', '{}', NULL, NULL),
    ('second', 'champion', 'second', '0', '{business,sport,tech}', '{"engine": "keras"}', 0.6, 4),
    ('third', 'candidate', 'third', '0', '{sport,tech}', '{}', NULL, NULL);
INSERT INTO promotions (model_id, previous_id, verdict, reason, decided_by)
VALUES (1, NULL, 'promoted', 'first', 'ann'), (2, 1, 'promoted', 'better', 'ann');
INSERT INTO evaluations (model_id, split, data_sha256, articles, accuracy, macro_f1, metrics)
VALUES (2, 'test', 'd', 1, 1, 1, '{}');
INSERT INTO evaluation_predictions
    (evaluation_id, article_id, text_hash, words, annotated_category, baseline_category, probabilities)
VALUES (1, 2, sha256('h'), 2, 'sport', 'tech', '{0.1,0.8,0.1}');
INSERT INTO evaluation_progress (model_id, engine, text_hash, gflops, seconds, probabilities)
VALUES (3, 'keras', sha256('h'), 1, 1, '{0.5,0.5}');
INSERT INTO predictions (article_id, model_id, revision, category, confidence, probabilities)
VALUES
    (1, 1, 1, 'tech', 0.9, '{0.1,0.9}'),
    (1, 2, 1, 'business', 0.9, '{0.9,0.05,0.05}'),
    (4, 2, 1, 'tech', 0.7, '{0.1,0.2,0.7}'),
    (5, 2, 1, 'sport', 0.8, '{0.1,0.8,0.1}'),
    (6, 2, 1, 'sport', 0.5, '{0.25,0.5,0.25}'),
    (7, 1, 1, 'sport', 0.75, '{0.75,0.25}');
INSERT INTO labelling_queue (article_id, priority) VALUES (5, 0), (7, 1), (8, 0);
INSERT INTO dead_letters (article_id, model_id, revision, reason) VALUES (9, 2, 1, 'too odd');
INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_category, confidence)
VALUES (6, 2, 1, 'uncertain', 'sport', 0.5), (6, 2, 1, 'audit', 'sport', 0.5);
INSERT INTO training_runs (training_key, steps, epochs, model_id, status) VALUES ('k', 9, 3, 2, 'succeeded');
INSERT INTO training_metrics (run_id, step, epoch, loss, seconds) VALUES (1, 9, 3, 0.1, 60);
INSERT INTO drift_runs (model_id, articles, audited, checks, alarms) VALUES (2, 4, 0, '[]', '{}');
INSERT INTO erasure_key (key, key_check) VALUES ('key', 'check');
INSERT INTO erasures (selection, requested_by, rows, models) VALUES ('id', 'ann', '{}', '{}');
INSERT INTO erased_articles (digest, erasure_id) VALUES ('digest', 1)
"""

LABELS = """
SELECT article_id, label, origin, confidence, labelled_at, model, split, abstained, title, url FROM article_labels
ORDER BY 1
"""


def migrate(workspace, version):
    """Upgrade or downgrade to a version; return every row of every table, as dictionaries in a fixed order."""
    with workspace.database.connect() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        present = MigrationContext.configure(connection).get_current_revision() or ""
        connection.rollback()
        (command.upgrade if present < version else command.downgrade)(config, version)
    return rows_by_table(workspace)


def rows_by_table(workspace):
    names = sorted({*inspect(workspace.database).get_table_names()} - {"alembic_version"})
    return {name: [row for (row,) in query(workspace.database, f"SELECT to_jsonb(t) FROM {name} AS t ORDER BY t::text")]
            for name in names}  # fmt: skip


def with_tasks(before):
    """Return the rows of version 0003 as version 0004 has them: all belong to the first task."""
    categories = {row["id"]: row["categories"] for row in before["models"]}

    def renamed(row, **names):
        kept = {name: value for name, value in row.items() if name not in names}
        return kept | {new: [row[old]] for old, new in names.items()}

    changed = {
        "annotations": lambda row: renamed(row, category="categories") | {"task_id": 1},
        "models": lambda row: row | {"task_id": 1, "thresholds": None},
        "training_runs": lambda row: row | {"task_id": 1},
        "labelling_queue": lambda row: row | {"task_id": 1},
        "review_queue": lambda row: renamed(row, predicted_category="predicted_categories"),
        "evaluation_predictions": lambda row: renamed(
            row, annotated_category="annotated_categories", baseline_category="baseline_categories"
        ),
        "predictions": lambda row: (
            {name: value for name, value in row.items() if name != "category"}
            | {"category_indices": [categories[row["model_id"]].index(row["category"]) + 1]}
        ),
    }
    return {table: [changed.get(table, dict)(row) for row in rows] for table, rows in before.items()}


def test_an_upgrade_to_tasks_keeps_every_row_and_a_downgrade_restores_it(empty):
    migrate(empty, "0003")
    with empty.database.begin() as connection:
        connection.execute(text(ROWS_OF_0003))
    before, labels = rows_by_table(empty), query(empty.database, LABELS)
    assert [table for table, rows in before.items() if not rows] == [], "each table has a row"
    after = migrate(empty, "0004")
    task, categories = after.pop("tasks"), after.pop("categories")
    assert [(row["id"], row["name"], row["kind"], row["min_labels"]) for row in task] == [(1, "default", "single", 1)]
    assert sorted(map(itemgetter("task_id", "name"), categories)) == [(1, "sport"), (1, "tech")]
    expected = with_tasks(before)
    assert after.keys() == expected.keys()
    for table, rows in after.items():
        assert in_order(rows) == in_order(expected[table]), table
    assert query(empty.database, LABELS) == labels
    assert migrate(empty, "0003") == before
    assert query(empty.database, LABELS) == labels
    assert upgrade.upgrade_schema(empty) == schema.head()
    assert query(empty.database, LABELS) == labels


def test_an_upgrade_to_back_off_keeps_the_tree_that_categories_have(empty):
    migrate(empty, "0006")
    with empty.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO categories (task_id, name, present_name, path) VALUES (1, 'crops', NULL, '{crops}'), "
                "(1, 'grain', NULL, '{crops,grain}'), (1, 'wheat', NULL, '{crops,grain,wheat}'), "
                "(1, 'ship', NULL, NULL), (1, 'durum', 'wheat', '{crops,grain,wheat}')"
            )
        )
    before = migrate(empty, "0006")
    migrate(empty, "0007")
    names = "SELECT child_names, parent_names FROM tasks"
    assert query(empty.database, names) == [(["grain", "wheat"], ["crops", "grain"])]
    assert migrate(empty, "0006") == before


def in_order(rows):
    return sorted(repr(sorted(row.items())) for row in rows)
