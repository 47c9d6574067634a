"""Declared sources: their state is saved with the rows, and every run counts exactly."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from classifier.exceptions import SourceError, TooManyRejectedError
from classifier.ingest import source_declarations
from classifier.pipeline.ingest import declared_sources, rejected_rows
from classifier.pipeline.ingest.units import IngestReport
from classifier.pipeline.monitoring import status
from tests.support import killing
from tests.support.loopback import cached, page, serving
from tests.support.synthetic import articles, dump, ingest_file, query, run, value, write_csv

FILES = "[sources.news]\nkind = 'files'\nfiles = 'in/*'\ncolumns = {id = 'id', category = 'category'}\n"
OLD = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture
def declare(tmp_path):
    (tmp_path / "in").mkdir(exist_ok=True)

    def written(content=FILES):
        (tmp_path / "sources.toml").write_text(content, encoding="utf-8")
        return source_declarations.load_sources(tmp_path / "sources.toml")

    return written


@pytest.fixture
def ingest(workspace, declare):
    def ingest_declared(content=FILES, **options):
        (source,) = declare(content).values()
        return declared_sources.ingest_source(workspace, source, lambda declaration: declaration.url, **options)

    return ingest_declared


def drop(path, rows, *, at=OLD):
    """Write a file with an old time of its last change."""
    write_csv(path, rows)
    os.utime(path, (at, at))
    return path


def runs(workspace, *columns):
    names = ", ".join(columns or ("status", "files", "read", "new", "changed", "unchanged", "rejected", "duplicates"))
    return query(workspace.database, f"SELECT {names} FROM ingest_runs ORDER BY id")


class TestFiles:
    def test_are_not_opened_again_if_unchanged(self, workspace, ingest, tmp_path, monkeypatch):
        drop(tmp_path / "in" / "a.csv", articles(5))
        assert ingest() == IngestReport(files=1, read=5, new=5, annotations=5)
        before = dump(workspace.database)
        monkeypatch.setattr("classifier.ingest.object_store.hash_file", None)
        assert ingest() == IngestReport()
        assert dump(workspace.database) == before

    def test_with_a_new_time_but_the_same_bytes_are_not_ingested_again(self, ingest, tmp_path):
        path = drop(tmp_path / "in" / "a.csv", articles(5))
        ingest()
        os.utime(path, (OLD + 99, OLD + 99))
        assert ingest() == IngestReport()

    def test_that_changed_within_a_tick_of_the_clock_are_read_again(self, ingest, tmp_path):
        now = time.time()
        drop(tmp_path / "in" / "a.csv", articles(5), at=now)
        ingest()
        changed = [{**row, "text": row["text"][::-1]} for row in articles(5)]
        drop(tmp_path / "in" / "a.csv", changed, at=now)
        assert ingest().changed == 5

    def test_are_read_only_if_new_or_changed(self, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(5))
        drop(tmp_path / "in" / "b.csv", articles(5, prefix="b"))
        ingest()
        drop(tmp_path / "in" / "b.csv", articles(6, prefix="b"))
        drop(tmp_path / "in" / "c.csv", articles(2, prefix="c"))
        assert ingest() == IngestReport(files=2, read=8, new=3, unchanged=5, annotations=3)

    def test_are_read_again_when_their_mapping_changes(self, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(5))
        ingest()
        assert ingest(FILES.replace(", category = 'category'", "")).unchanged == 5

    def test_that_are_cut_off_do_not_stop_the_others(self, workspace, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(5))
        packed = gzip.compress(b"id,text,category\n" + b"1,words,x\n" * 999)
        (tmp_path / "in" / "b.csv.gz").write_bytes(packed[:-20])
        drop(tmp_path / "in" / "c.csv", articles(5, prefix="c"))
        for _ in range(2):
            with pytest.raises(SourceError, match=r"b\.csv\.gz: damaged or cut off gzip data"):
                ingest()
        assert runs(workspace, "status", "files", "new", "error IS NOT NULL") == [
            ("failed", 2, 10, True),
            ("failed", 0, 0, True),
        ]
        (tmp_path / "in" / "b.csv.gz").write_bytes(packed)
        assert ingest().new == 1

    def test_that_change_while_they_are_read_are_left_for_the_next_run(self, workspace, ingest, tmp_path):
        path = drop(tmp_path / "in" / "a.csv", articles(5))
        with pytest.raises(SourceError, match="changed while it was read"):
            ingest(on_rows=lambda _: path.write_text("id,text,category\n"))
        assert value(workspace.database, "SELECT count(*) FROM articles") == 0
        drop(path, articles(5))
        assert ingest().new == 5

    def test_may_match_nothing_yet_but_their_folder_must_exist(self, ingest):
        assert ingest() == IngestReport()
        with pytest.raises(SourceError, match="no such file"):
            ingest(FILES.replace("in/*", "inn/*"))

    def test_may_have_another_encoding_and_a_time_zone(self, workspace, ingest, tmp_path):
        (tmp_path / "in" / "a.csv").write_bytes("id,text,at\n1,déjà vu à l'été,2024-07-01 12:00\n".encode("cp1252"))
        ingest(FILES.replace("category = 'category'", "published_at = 'at'") + "timezone = 'Europe/Athens'\n")
        assert query(workspace.database, "SELECT text, published_at FROM articles") == [
            ("déjà vu à l'été", datetime(2024, 7, 1, 9, tzinfo=UTC))
        ]

    @pytest.mark.parametrize("strict", [False, True])
    def test_with_an_article_from_the_future_leave_its_time_out_or_reject_it(
        self, workspace, ingest, tmp_path, strict, caplog
    ):
        rows = [{"id": str(n), "text": f"t{n}", "category": "", "at": "2024-01-01"} for n in range(30)]
        rows[3]["at"] = "2999-01-01"
        drop(tmp_path / "in" / "a.csv", rows)
        declared = FILES.replace("category = 'category'", "published_at = 'at'")
        report = ingest(declared + f"strict_dates = {str(strict).lower()}\n")
        if not strict:
            assert (report.new, report.rejected, report.undated) == (30, 0, 1)
            assert "a publication time such as '2999-01-01' cannot be read or is in the future" in caplog.text
            return
        assert (report.new, report.rejected, report.undated) == (29, 1, 0)
        (row,) = rejected_rows.list_rejected(workspace)
        assert (row.position, row.reason) == ("line 5", "published_at '2999-01-01' is in the future")


class TestRuns:
    def test_count_all_rows(self, workspace, ingest, tmp_path):
        ingest_rows = articles(40)
        drop(tmp_path / "in" / "a.csv", ingest_rows)
        ingest()
        changed = [{**ingest_rows[0], "text": "another"}, *ingest_rows[1:], ingest_rows[5], articles(1, prefix="n")[0]]
        drop(tmp_path / "in" / "a.csv", [*changed, {"id": "bad", "text": "", "category": ""}], at=OLD + 9)
        ingest()
        assert runs(workspace) == [
            ("succeeded", 1, 40, 40, 0, 0, 0, 0),
            ("succeeded", 1, 43, 1, 1, 39, 1, 1),
        ]
        assert [run.new for run in status.read_status(workspace).runs] == [1, 40]

    def test_are_recorded_for_files_of_the_command_line_too(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", articles(3))
        assert runs(workspace, "source", "kind", "status", "new") == [(f"{tmp_path}/x.csv", "files", "succeeded", 3)]

    def test_with_too_many_invalid_rows_count_them_and_ingest_nothing(self, workspace, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(8), *[{"id": "", "text": "x", "category": ""}] * 2])
        with pytest.raises(TooManyRejectedError, match="2 of 10 rows are invalid"):
            ingest()
        assert runs(workspace) == [("failed", 1, 10, 0, 0, 0, 2, 0)]
        assert value(workspace.database, "SELECT count(*) FROM articles") == 0
        assert value(workspace.database, "SELECT count(*) FROM source_state") == 0
        assert len(rejected_rows.list_rejected(workspace)) == 2

    def test_that_fail_store_no_article_text(self, workspace, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(3))

        def fail(_):
            raise RuntimeError("an article's text")

        with pytest.raises(RuntimeError):
            ingest(on_rows=fail)
        assert runs(workspace, "status", "error") == [("failed", "RuntimeError; see the log")]

    def test_of_one_source_wait_for_each_other(self, workspace, declare, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(2000))
        (source,) = (
            declare().values()
        )  # once, because a thread that reads the file while another writes it finds it empty
        with ThreadPoolExecutor(3) as pool:
            reports = list(
                pool.map(
                    lambda _: declared_sources.ingest_source(workspace, source, lambda declaration: declaration.url),
                    range(3),
                )
            )
        assert sorted(report.new for report in reports) == [0, 0, 2000]
        assert value(workspace.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


class TestFeeds:
    ITEMS = "".join(f"<item><guid>{n}</guid><title>Title {n}</title></item>" for n in range(10))
    FEED = f"<?xml version='1.0'?><rss version='2.0'><channel><title>t</title>{ITEMS}</channel></rss>".encode()

    @staticmethod
    def declared(site):
        return f"[sources.bbc]\nkind = 'feed'\nurl = '{site.url}'\nallow_private = true\n"

    def test_are_not_fetched_again_if_unchanged(self, workspace, ingest):
        with serving(cached(self.FEED, ETag='"1"')) as site:
            assert ingest(self.declared(site)) == IngestReport(files=1, read=10, new=10, enqueued=10)
            before = dump(workspace.database)
            assert ingest(self.declared(site)) == IngestReport()
            assert site.asked[1]["If-None-Match"] == '"1"'
        assert dump(workspace.database) == before

    def test_of_a_server_without_etags_change_nothing_the_second_time(self, workspace, ingest):
        with serving(page(self.FEED)) as site:
            ingest(self.declared(site))
            assert ingest(self.declared(site)) == IngestReport()
        assert runs(workspace, "status", "new") == [("succeeded", 10), ("succeeded", 0)]

    def test_with_an_invalid_entry_have_the_others_ingested(self, ingest):
        body = self.FEED.replace(b"<item><guid>3</guid>", b"<item>")
        with serving(page(body)) as site:
            assert ingest(self.declared(site)).new == 9

    def test_with_only_invalid_entries_fail(self, ingest):
        with serving(page(self.FEED.replace(b"guid>", b"x>"))) as site, pytest.raises(TooManyRejectedError):
            ingest(self.declared(site))

    def test_that_fail_keep_their_state(self, ingest):
        with serving(cached(self.FEED, ETag='"1"')) as site:
            ingest(self.declared(site))
            site.answer = page(b"", code=500)
            with pytest.raises(SourceError):
                ingest(self.declared(site))
            site.answer = cached(self.FEED, ETag='"1"')
            assert ingest(self.declared(site)) == IngestReport()


class TestQueries:
    @pytest.fixture
    def stories(self, tmp_path):
        connection = sqlite3.connect(tmp_path / "cms.db")
        connection.execute("CREATE TABLE stories (id, body, updated_at)")

        def add(*rows):
            connection.executemany("INSERT INTO stories VALUES (?, ?, ?)", rows)
            connection.commit()

        yield add
        connection.close()

    @pytest.fixture
    def declared(self, tmp_path):
        return (
            f"[sources.cms]\nkind = 'sql'\nurl = 'sqlite:///{tmp_path}/cms.db'\nwatermark = 'updated_at'\n"
            "query = 'SELECT * FROM stories'\ncolumns = {text = 'body', id = 'id'}\n"
        )

    def test_return_only_rows_that_are_new_since_the_last_run(self, ingest, stories, declared):
        stories(*[(n, f"story {n}", n) for n in range(50)])
        assert ingest(declared).new == 50
        stories((50, "story 50", 50))
        assert ingest(declared) == IngestReport(files=1, read=2, new=1, unchanged=1, enqueued=1)

    def test_read_a_late_row_whose_time_is_text(self, ingest, stories, declared, workspace):
        stories((1, "one", "2024-01-10 10:00:00"))
        ingest(declared)
        stories((2, "two", "2024-01-10 09:59:30"), (3, "three", "2024-01-10T09:59:30Z"))
        assert ingest(declared).new == 2
        assert value(workspace.database, "SELECT watermark ->> 'value' FROM source_state") == "2024-01-10 10:00:00"

    def test_whose_watermark_is_text_without_an_order_fail_with_one_line(self, ingest, stories, declared, workspace):
        stories((1, "one", "2024-01-10 10:00:00"))
        ingest(declared)
        stories((2, "two", "abc"))
        with pytest.raises(SourceError, match=r"'cms', id 2: its watermark 'updated_at' is text, but not a time such"):
            ingest(declared)
        assert value(workspace.database, "SELECT count(*) FROM articles") == 1

    def test_that_fail_do_not_raise_the_watermark(self, ingest, stories, declared, workspace):
        stories((1, "one", 1))
        ingest(declared)
        stories(*[(n, "", n) for n in range(2, 20)])
        with pytest.raises(TooManyRejectedError):
            ingest(declared)
        assert value(workspace.database, "SELECT watermark ->> 'value' FROM source_state") == "1"

    def test_whose_column_is_missing_fail_with_one_line(self, ingest, stories, declared, workspace, tmp_path):
        stories((1, "one", 1))
        ingest(declared)
        sqlite3.connect(tmp_path / "cms.db").execute("ALTER TABLE stories RENAME COLUMN body TO gone")
        with pytest.raises(SourceError, match=r"source 'cms': no column 'body'; its columns are 'id', 'gone'"):
            ingest(declared)
        assert runs(workspace, "status") == [("succeeded",), ("failed",)]


class TestChecking:
    def test_reports_what_would_be_ingested_and_writes_nothing(self, workspace, declare, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(8), {"id": "", "text": "x", "category": ""}])
        (source,) = declare().values()
        before = dump(workspace.database, "articles", "ingest_runs", "source_state", "rejected_rows")
        check = declared_sources.check_source(workspace, source, lambda _: "")
        assert (check.units, check.rows, check.rejected, check.encoding) == (1, 8, 1, "utf-8")
        assert (check.reasons, check.more) == ({"id is empty": 1}, False)
        assert check.problem == f"{tmp_path}/in/a.csv: would be refused: 1 of 9 rows are invalid, more than 5%"
        assert dump(workspace.database, "articles", "ingest_runs", "source_state", "rejected_rows") == before

    def test_leaves_out_unchanged_files(self, workspace, declare, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(8))
        ingest()
        (source,) = declare().values()
        assert declared_sources.check_source(workspace, source, lambda _: "").units == 0

    def test_reports_a_problem_and_continues(self, workspace, declare, tmp_path):
        (tmp_path / "in" / "a.csv").write_bytes(b"")
        drop(tmp_path / "in" / "b.csv", articles(8))
        (source,) = declare().values()
        check = declared_sources.check_source(workspace, source, lambda _: "")
        assert "the file is empty" in check.problem
        assert check.rows == 8

    def test_stops_after_the_maximum_of_rows(self, workspace, declare, tmp_path):
        drop(tmp_path / "in" / "a.csv", articles(8))
        (source,) = declare().values()
        assert declared_sources.check_source(workspace, source, lambda _: "", rows=5).more


class TestDue:
    DECLARED = "".join(
        f"[sources.{name}]\nkind = 'files'\nfiles = 'in/*'\ngroup = '{name}'\n"
        for name in ("hourly", "daily", "weekly", "by-hand")
    )

    def names(self, workspace, declare, now):
        return [source.name for source in declared_sources.due_sources(workspace, declare(self.DECLARED).values(), now)]

    def test_are_sources_that_have_not_succeeded_in_their_period(self, workspace, declare):
        monday = datetime(2026, 3, 2, 9, tzinfo=UTC)
        assert self.names(workspace, declare, monday) == ["hourly", "daily", "weekly"]
        for name in ("hourly", "daily", "weekly"):
            run(
                workspace.database,
                "INSERT INTO ingest_runs (source, kind, options, status, started_at) "
                "VALUES (:name, 'files', '{}', 'succeeded', :at)",
                name=name,
                at=monday,
            )
        assert self.names(workspace, declare, monday + timedelta(hours=1)) == ["hourly"]
        assert self.names(workspace, declare, monday + timedelta(hours=15)) == ["hourly", "daily"]
        assert self.names(workspace, declare, monday + timedelta(days=7)) == ["hourly", "daily", "weekly"]

    def test_are_sources_that_failed(self, workspace, declare):
        run(
            workspace.database,
            "INSERT INTO ingest_runs (source, kind, options, status) VALUES ('daily', 'files', '{}', 'failed')",
        )
        assert "daily" in self.names(workspace, declare, datetime.now(UTC))

    def test_unknown_sources_and_groups_are_named(self, declare):
        declared = declare(self.DECLARED)
        assert [source.name for source in declared_sources.choose_sources(declared, group="daily")] == ["daily"]
        with pytest.raises(SourceError, match="source 'x': unknown; choose from hourly, daily"):
            declared_sources.choose_sources(declared, ["x"])
        with pytest.raises(SourceError, match="group 'x': unknown; choose from by-hand, daily"):
            declared_sources.choose_sources(declared, group="x")


class TestRetrying:
    BAD = ({"id": "", "text": "without id", "category": "x"},)

    def test_ingests_a_fixed_file(self, workspace, declare, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(40), *self.BAD])
        ingest()
        drop(tmp_path / "in" / "a.csv", [*articles(40), {**self.BAD[0], "id": "fixed"}])
        report = rejected_rows.retry_rejected(workspace, declare(), lambda _: "")
        assert (report.retried, report.resolved, report.still_rejected) == (1, 1, 0)
        assert rejected_rows.list_rejected(workspace) == []
        assert value(workspace.database, "SELECT text FROM articles WHERE external_id = 'fixed'") == "without id"

    def test_needs_only_a_fixed_declaration(self, workspace, declare, ingest, tmp_path):
        rows = [{"id": str(n), "nr": f"n{n}", "text": f"t{n}", "category": ""} for n in range(40)]
        rows[7]["id"] = ""
        drop(tmp_path / "in" / "a.csv", rows)
        ingest()
        report = rejected_rows.retry_rejected(workspace, declare(FILES.replace("id = 'id'", "id = 'nr'")), lambda _: "")
        assert report.resolved == 1

    def test_keeps_rows_that_are_still_invalid(self, workspace, declare, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(40), *self.BAD])
        ingest()
        before = rejected_rows.list_rejected(workspace)
        report = rejected_rows.retry_rejected(workspace, declare(), lambda _: "")
        assert (report.retried, report.resolved, report.still_rejected) == (1, 0, 1)
        assert rejected_rows.list_rejected(workspace) == before

    def test_is_not_needed_if_the_fixed_file_is_ingested(self, workspace, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(40), *self.BAD])
        ingest()
        drop(tmp_path / "in" / "a.csv", articles(40), at=OLD + 9)
        ingest()
        assert rejected_rows.list_rejected(workspace) == []

    def test_reads_files_of_the_command_line_with_their_first_options(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", [*articles(40), *self.BAD], source="mine")
        write_csv(tmp_path / "x.csv", [*articles(40), {**self.BAD[0], "id": "fixed"}])
        report = rejected_rows.retry_rejected(workspace, {}, lambda _: "")
        assert report.resolved == 1
        assert value(workspace.database, "SELECT source FROM articles WHERE external_id = 'fixed'") == "mine"

    def test_uses_the_stored_row_if_the_feed_no_longer_shows_the_entry(self, workspace, declare, ingest):
        entry = f"<item><guid>old</guid><title>Title</title><category>{'x' * 201}</category></item>"
        body = TestFeeds.FEED.replace(b"</channel>", entry.encode() + b"</channel>")
        with serving(page(body)) as site:
            declared = TestFeeds.declared(site) + "columns = {category = 'category'}\n"
            ingest(declared)
            assert len(rejected_rows.list_rejected(workspace)) == 1
            site.answer = page(TestFeeds.FEED)
            before = rejected_rows.retry_rejected(workspace, declare(declared), lambda _: "")
            assert before.still_rejected == 1
            report = rejected_rows.retry_rejected(workspace, declare(TestFeeds.declared(site)), lambda _: "")
        assert report.resolved == 1
        assert value(workspace.database, "SELECT count(*) FROM articles") == 11

    def test_names_a_source_that_is_no_longer_declared(self, workspace, ingest, tmp_path):
        drop(tmp_path / "in" / "a.csv", [*articles(40), *self.BAD])
        ingest()
        report = rejected_rows.retry_rejected(workspace, {}, lambda _: "")
        assert report.problems == ("source 'news': no longer declared, so its 1 row cannot be read again",)
        assert report.still_rejected == 1


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("declared", [True, False])
def test_ten_kills_at_random_moments_give_the_same_database_as_one_clean_run(workspace, tmp_path, declared):
    """Several files with several steps each, so that kills fall within and between their transactions."""
    choose = random.Random(4)
    (tmp_path / "in").mkdir()
    for number in range(8):
        rows = articles(600, seed=number, prefix=f"f{number}-")
        drop(tmp_path / "in" / f"{number}.csv", [*rows, {"id": "", "text": f"bad {number}", "category": ""}])
    (tmp_path / "sources.toml").write_text(FILES)
    url = workspace.database.url.render_as_string(hide_password=False)
    environment = {"CLASSIFIER_DATABASE_URL": url, "CLASSIFIER_HOME": str(tmp_path / "home")}
    ad_hoc = ["ingest", str(tmp_path / "in" / "*.csv"), "--id", "id", "--category", "category", "--source-name", "news"]
    arguments = ["sources", "ingest", "--file", str(tmp_path / "sources.toml")] if declared else ad_hoc

    def attempt(kill_at):
        return killing.ended(killing.start([*arguments, "--json"], kill_at, environment, merge_step=100))

    # at least twenty steps, because the first statements only check the tables and record the run
    kills = sum(attempt(choose.randint(20, 250)) for _ in range(10))
    assert kills > 4
    assert not attempt(killing.NEVER)
    killed = "SELECT count(*) FROM ingest_runs WHERE error = 'the run was killed before it ended'"
    assert value(workspace.database, killed) >= 1
    assert value(workspace.database, "SELECT count(*) FROM ingest_runs WHERE status = 'running'") == 0
    counts = "SELECT count(*), count(DISTINCT external_id), max(revision) FROM articles"
    assert query(workspace.database, counts) == [(4800, 4800, 1)]
    assert value(workspace.database, "SELECT count(*) FROM annotations") == 4800
    assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0
    assert value(workspace.database, "SELECT count(*) FROM rejected_rows") == 8
    assert value(workspace.database, "SELECT sum(new) FROM ingest_runs") == 4800
