"""Migrations create the tables of the metadata, also if several processes run them at once."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
