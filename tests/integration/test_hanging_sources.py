"""A source that hangs does not block other ingests, and fails with one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import source_declarations
from classifier.pipeline.ingest import declared_sources, units
from classifier.pipeline.ingest.units import IngestOptions
from classifier.store import near_duplicate_clusters, staging
from tests.support.loopback import frozen
from tests.support.synthetic import COLUMNS, articles, ingest_file, query, run, unlabelled, value, write_csv
from tests.support.waiting import wait_for

SPLIT_LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
ROWS = 12_000
COLUMNS_WITH_SOURCE = replace(COLUMNS, source="from")


@pytest.fixture
def stories(empty_url):
    """An external database on the server's socket."""
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        statement = "CREATE TABLE stories AS SELECT n AS id, 'story ' || n || repeat(' word', 40) AS body"
        connection.execute(text(f"{statement} FROM generate_series(1, {ROWS}) AS n"))
    engine.dispose()
    return empty_url


def declared(tmp_path, url, *, timeout_s):
    (tmp_path / "sources.toml").write_text(
        f"[sources.cms]\nkind = 'sql'\nurl = '{url}'\nquery = 'SELECT id, body FROM stories'\n"
        f"timeout_s = {timeout_s}\ncolumns = {{text = 'body', id = 'id'}}\n"
    )
    return source_declarations.load_sources(tmp_path / "sources.toml")["cms"]


def through(url, server):
    return f"postgresql://{url.username}@127.0.0.1:{server.port}/{url.database}"


def ingest(workspace, source):
    return declared_sources.ingest_source(workspace, source, lambda declaration: declaration.url)


def test_a_database_that_never_answers_fails_with_one_line(workspace, tmp_path):
    with frozen() as server:
        source = declared(tmp_path, f"postgresql://u@127.0.0.1:{server.port}/cms", timeout_s=0.5)
        with pytest.raises(
            SourceUnavailableError, match=r"^source 'cms': its database does not answer within 0\.5 s; "
        ):
            ingest(workspace, source)
        wait_for(server.asked.is_set, within_s=300)
    assert query(workspace.database, "SELECT status, new FROM ingest_runs") == [("failed", 0)]


def test_another_ingest_completes_while_a_source_hangs_among_its_rows(workspace, tmp_path, stories):
    upstream = f"{stories.query['host']}/.s.PGSQL.5432"
    with ThreadPoolExecutor(2) as pool:
        with frozen(upstream, after_bytes=1_500_000) as server:
            hanging = pool.submit(ingest, workspace, declared(tmp_path, through(stories, server), timeout_s=3000))
            wait_for(server.asked.is_set, within_s=300)
            other = pool.submit(
                ingest_file, workspace, tmp_path / "x.csv", [*articles(30), *unlabelled(10, prefix="u")]
            )
            assert other.result(timeout=300).new == 40
            assert not hanging.done()
            assert value(workspace.database, SPLIT_LOCKS) == 0
        with pytest.raises(SourceError, match=r"source 'cms': its database does not answer|the query fails"):
            hanging.result(timeout=300)
    assert query(workspace.database, "SELECT DISTINCT source FROM articles") == [("x",)]


def test_a_database_that_stops_among_its_rows_fails_and_leaves_nothing(workspace, tmp_path, stories):
    upstream = f"{stories.query['host']}/.s.PGSQL.5432"
    within = "does not answer within 10 s"
    with frozen(upstream, after_bytes=1_500_000) as server, pytest.raises(SourceUnavailableError, match=within):
        ingest(workspace, declared(tmp_path, through(stories, server), timeout_s=10))
    assert value(workspace.database, "SELECT count(*) FROM articles") == 0
    assert value(workspace.database, "SELECT count(*) FROM source_state") == 0
    with frozen(upstream, after_bytes=10**9) as server:
        assert ingest(workspace, declared(tmp_path, through(stories, server), timeout_s=3000)).new == ROWS


def test_the_server_does_not_end_an_ingest_that_waits_for_a_slow_source(workspace, tmp_path, monkeypatch):
    """A limit on idle transactions of the server or the role must not end a slow ingest: the source has a timeout."""
    limits = []
    copy = staging.copy_articles

    def copied(connection, rows):
        limits.append(connection.scalar(text("SHOW idle_in_transaction_session_timeout")))
        copy(connection, rows)

    monkeypatch.setattr(staging, "copy_articles", copied)
    name = workspace.database.url.database
    run(workspace.database, f'ALTER DATABASE "{name}" SET idle_in_transaction_session_timeout = 60000')
    workspace.database.dispose()
    ingest_file(workspace, tmp_path / "x.csv", articles(5))
    assert limits == ["0"]
    assert value(workspace.database, "SHOW idle_in_transaction_session_timeout") == "1min"


def test_no_lock_on_splits_is_held_while_a_file_is_read(workspace, tmp_path):
    held = []
    rows = [*articles(50), {"id": "", "text": "bad", "category": ""}]
    path = write_csv(tmp_path / "x.csv", rows)

    def count_locks(_):
        held.append(value(workspace.database, SPLIT_LOCKS))

    units.ingest_files(workspace, str(path), IngestOptions(COLUMNS), on_rows=count_locks)
    assert held == [0]


def test_ingests_that_reject_the_same_row_do_not_wait_for_each_other_while_they_read(workspace, tmp_path):
    rows = [*articles(50), {"id": "", "text": "bad", "category": ""}]
    nested = []

    def ingest_the_same(_):
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(ingest_file, workspace, tmp_path / "x.csv", source="other", columns=COLUMNS_WITH_SOURCE)
            nested.append(other.result(timeout=300))

    path = write_csv(tmp_path / "x.csv", [{**row, "from": "shared"} for row in rows])
    units.ingest_files(workspace, str(path), IngestOptions(COLUMNS_WITH_SOURCE), on_rows=ingest_the_same)
    assert [report.rejected for report in nested] == [1]
    assert value(workspace.database, "SELECT count(*) FROM rejected_rows") == 1


class TestWaitingForAnotherIngest:
    def test_has_a_limit_and_names_the_merging_ingest(self, workspace):
        with workspace.database.connect() as first, workspace.database.connect() as second:
            near_duplicate_clusters.wait_for_other_ingests(first, "bbc")
            pid = first.execute(text("SELECT pg_backend_pid()")).scalar_one()
            line = (
                rf"^news: ingest of bbc \(process {pid} of the database server\) has been merging for more than 0.05 s"
            )
            with pytest.raises(SourceUnavailableError, match=line):
                near_duplicate_clusters.wait_for_other_ingests(second, "news", max_wait_s=0.05)

    def test_does_not_change_the_statement_limits(self, workspace):
        limits = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        with workspace.database.connect() as connection:
            before = connection.execute(limits).one()
            near_duplicate_clusters.wait_for_other_ingests(connection, "bbc")
            assert connection.execute(limits).one() == before
