"""A statement that reaches its time limit is one line: the statement, the limit, and what to do."""

from __future__ import annotations

import re
import threading

import pytest
from sqlalchemy import func, select, text

from classifier.exceptions import SourceError, SourceUnavailableError, StatementTimeoutError, TableError
from classifier.pipeline.ingest import inbox, rejected_rows, splits_report, units
from classifier.settings import Settings
from classifier.store import external_databases
from classifier.store.connections import connect, translate_errors
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, articles, ingest_file, run, value, write_csv


@pytest.fixture
def impatient(database_url):
    """An engine whose statements may take a quarter of a second."""
    engine = connect(database_url.render_as_string(hide_password=False), statement_timeout_s=0.25)
    yield engine
    engine.dispose()


def test_the_error_has_the_name_of_a_named_statement(database, impatient, tmp_path):
    workspace = Workspace(impatient, Settings(home=tmp_path, _env_file=None))
    with database.begin() as holder:
        holder.execute(text("LOCK TABLE annotations IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StatementTimeoutError) as caught:
            splits_report.report_splits(workspace)
    line = str(caught.value)
    assert (
        "the statement annotated_article_counts took longer than its limit of 0.25 s; run the same command again"
        in line
    )
    assert "CLASSIFIER_STATEMENT_TIMEOUT_S" in line
    assert "\n" not in line


def test_the_error_has_the_first_words_of_another_statement(impatient):
    with impatient.connect() as connection, pytest.raises(StatementTimeoutError) as caught, translate_errors(impatient):
        connection.execute(select(func.pg_sleep(60)))
    assert "the statement SELECT pg_sleep(" in str(caught.value)


def test_a_statement_cancelled_by_an_administrator_is_not_reported_as_too_slow(database):
    def cancel():
        waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'"
        while not value(database, f"SELECT EXISTS ({waiting} AND wait_event = 'PgSleep')"):
            pass
        run(database, waiting)

    administrator = threading.Thread(target=cancel)
    administrator.start()
    with database.connect() as connection, pytest.raises(StatementTimeoutError) as caught, translate_errors(database):
        connection.execute(select(func.pg_sleep(60)))
    administrator.join()
    assert "an administrator cancelled the statement SELECT pg_sleep(" in str(caught.value)


def test_on_an_external_table_it_is_a_user_error_with_advice(database_url):
    from classifier.external_table.external_connections import ExternalConnection

    url = database_url.render_as_string(hide_password=False)
    theirs = ExternalConnection(external_databases.open_engine(url, statement_timeout_s=0.25), "table 'news'")
    with pytest.raises(TableError) as caught, theirs.transaction() as connection:
        connection.execute(select(func.pg_sleep(60)))
    assert re.fullmatch(r"table 'news': .*timeout; run the same command again.*_TIMEOUT_S", str(caught.value))
    theirs.database.dispose()


def test_the_settings_of_an_external_database_end_with_the_transaction(database_url):
    """Behind a pooler, the next transaction of the session may be another client's."""
    url = database_url.render_as_string(hide_password=False)
    session = {"DateStyle": "ISO", "TimeZone": "Asia/Kathmandu"}
    engine = external_databases.open_engine(url, statement_timeout_s=7, session=session)
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "TimeZone")

    def settings(connection):
        return [connection.execute(select(func.current_setting(name))).scalar_one() for name in names]

    with engine.connect() as connection:
        for _ in range(2):
            assert settings(connection) == ["7s", "0", "Asia/Kathmandu"]
            connection.commit()
        cursor = connection.connection.cursor()
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('TimeZone')")
        timeout, zone = cursor.fetchone()
        assert timeout != "7s"
        assert zone != "Asia/Kathmandu"
    engine.dispose()


def test_an_ingest_records_the_error_in_its_run_and_tries_the_other_files(database, impatient, tmp_path):
    workspace = Workspace(impatient, Settings(home=tmp_path / "home", _env_file=None))
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_csv(tmp_path / "in" / f"{name}.csv", articles(3, prefix=name))
    options = units.IngestOptions(COLUMNS)
    with database.begin() as holder:
        holder.execute(text("LOCK TABLE articles IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StatementTimeoutError) as caught:
            inbox.ingest_inbox(workspace, f"{tmp_path}/in/*", options)
    line = str(caught.value)
    assert line.startswith("2 files were not ingested: ")
    assert line.count("took longer than its limit of 0.25 s") == 2
    assert value(database, "SELECT error FROM ingest_runs") == line


def test_a_retry_of_rejected_rows_tries_the_other_sources(workspace, database, impatient):
    for name in ("a", "b"):
        rows = [*articles(30, prefix=name), {"id": "", "text": "bad", "category": ""}]
        ingest_file(workspace, workspace.settings.home.parent / f"{name}.csv", rows)
    with database.begin() as holder:
        holder.execute(text("LOCK TABLE articles IN ACCESS EXCLUSIVE MODE"))
        report = rejected_rows.retry_rejected(Workspace(impatient, workspace.settings), {}, lambda source: source.url)
    assert report.resolved == 0
    assert ["took longer than its limit" in line for line in report.problems] == [True, True]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((SourceError, SourceError), SourceError),
        ((SourceError, SourceUnavailableError), SourceUnavailableError),
        ((StatementTimeoutError, SourceUnavailableError), StatementTimeoutError),
    ],
)
def test_an_ingest_is_retried_if_one_of_several_problems_is_transient(kinds, expected):
    with pytest.raises(expected, match="2 files were not ingested: first; second") as caught:
        units.ingest_units([], [kind(message) for kind, message in zip(kinds, ("first", "second"), strict=True)])
    assert type(caught.value) is expected
