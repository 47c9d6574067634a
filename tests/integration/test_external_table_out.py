"""The labels of an external table in another schema or database: each row is labelled once, and the table only read."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from classifier.exceptions import SourceUnavailableError, TableError
from classifier.external_table.definition import ExternalTable
from tests.support import killing
from tests.support.external_databases import ExternalDatabase, label_external, replace_labeller
from tests.support.synthetic import make_champion
from tests.support.waiting import HANG_S


@pytest.fixture(autouse=True)
def champion(workspace):
    return make_champion(workspace, "m1", 0)


@pytest.fixture
def source(server):
    """Return a database with a table, of a role that can only read."""
    url = server.create()
    owner = ExternalDatabase(url.render_as_string(hide_password=False))
    owner.news(60)
    owner.run("CREATE ROLE reader LOGIN")
    owner.run("ALTER ROLE reader SET default_transaction_read_only = on")
    owner.run("GRANT SELECT ON news TO reader")
    owner.run(f"REVOKE TEMPORARY ON DATABASE {url.database} FROM PUBLIC")
    reader = ExternalDatabase(url.set(username="reader").render_as_string(hide_password=False))
    reader.owner = owner
    yield reader
    reader.engine.dispose()
    owner.run("DROP OWNED BY reader")
    owner.run("DROP ROLE reader")
    owner.engine.dispose()
    server.drop(url)


@pytest.fixture(params=["postgres", "sqlite"])
def out(request, server, tmp_path):
    if request.param == "sqlite":
        external = ExternalDatabase(f"sqlite:///{tmp_path}/labels.db")
        yield external
        external.engine.dispose()
        return
    url = server.create()
    external = ExternalDatabase(url.render_as_string(hide_password=False))
    yield external
    external.engine.dispose()
    server.drop(url)


def models(out):
    """Return the labels' number, and their models."""
    models = out.query("SELECT model, count(*) FROM news_labels GROUP BY model")
    return {model: count for model, count in models}  # noqa: C416 - rows are not pairs for dict


class TestAnotherDatabase:
    def test_the_table_is_only_read(self, workspace, source, out):
        started = []
        report = label_external(workspace, source, out_address=out.url, page_size=7, on_start=started.append)
        assert (report.out, report.labelled, report.dead_letters, started) == ("news_labels", 60, 0, [60])
        assert models(out) == {"m1": 60}
        assert source.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND oid >= 16384") == [("news",)]

    @pytest.mark.parametrize(("read_only", "reason"), [("off", "permission denied"), ("on", "read-only transaction")])
    def test_labels_that_cannot_be_created_are_refused_with_advice(self, workspace, source, read_only, reason):
        source.owner.run(f"ALTER ROLE reader SET default_transaction_read_only = {read_only}")
        if read_only == "on":
            source.owner.run("GRANT CREATE ON SCHEMA public TO reader")
        line = rf"^table 'news_labels': cannot be created \(.*{reason}.*\); name a schema or database .*--out-url$"
        with pytest.raises(TableError, match=line):
            label_external(workspace, source)

    def test_a_role_without_the_right_to_create_tables_fills_an_existing_one(self, workspace, source):
        label_external(workspace, source.owner, limit=10)
        source.owner.run("GRANT SELECT, INSERT, DELETE ON news_labels TO reader")
        source.owner.run("ALTER ROLE reader SET default_transaction_read_only = off")
        source.owner.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        assert label_external(workspace, source).labelled == 50

    def test_a_second_run_labels_new_rows_only(self, workspace, source, out):
        label_external(workspace, source, out_address=out.url, limit=25, page_size=10)
        assert models(out) == {"m1": 25}
        source.owner.run("INSERT INTO news VALUES (-1, 'the bank'), (1000, 'the goal'), (1001, NULL)")
        started = []
        report = label_external(workspace, source, out_address=out.url, page_size=10, on_start=started.append)
        assert (report.labelled, report.dead_letters, started) == (37, 1, [38])
        assert out.query("SELECT id, error FROM news_labels WHERE category IS NULL") == [(1001, "the text is NULL")]
        assert label_external(workspace, source, out_address=out.url).labelled == 0

    def test_a_new_champion_labels_all_rows_again(self, workspace, source, out):
        label_external(workspace, source, out_address=out.url)
        make_champion(workspace, "m2", 7)
        pages = []

        def on_page(count):
            pages.append(count)
            if len(pages) == 2:
                make_champion(workspace, "m3", 8)

        report = label_external(workspace, source, out_address=out.url, page_size=16, on_page=on_page)
        assert (report.model, report.labelled) == ("m3", 32 + 60)
        assert models(out) == {"m3": 60}

    def test_many_workers_label_each_row_once(self, workspace, source, out):
        source.owner.news(200, first=101)
        with ThreadPoolExecutor(3) as pool:
            options = {"out_address": out.url, "page_size": 10}
            runs = [pool.submit(label_external, workspace, source, **options) for _ in range(3)]
            assert sum(future.result(timeout=HANG_S).labelled for future in runs) == 260
        assert models(out) == {"m1": 260}

    def test_labels_of_deleted_rows_do_not_end_the_run(self, workspace, source, out):
        label_external(workspace, source, out_address=out.url)
        source.owner.run("DELETE FROM news WHERE id <= 50")
        source.owner.news(5, first=101)
        assert label_external(workspace, source, out_address=out.url).labelled == 5
        assert models(out) == {"m1": 65}

    def test_a_table_of_the_same_name_is_not_overwritten(self, workspace, source, out):
        out.run("CREATE TABLE news_labels (id int PRIMARY KEY, category text)")
        with pytest.raises(
            TableError, match=r"^table 'news_labels': not a table of labels, column 'model', .* not found"
        ):
            label_external(workspace, source, out_address=out.url)
        assert out.query("SELECT * FROM news_labels") == []

    def test_the_error_of_a_database_that_goes_away_shows_no_password(self, workspace, source, monkeypatch):
        replace_labeller(monkeypatch)
        gone = "postgresql://me:geheim@127.0.0.1:1/dwh?password=geheim"
        with pytest.raises(
            SourceUnavailableError, match=r"me:\*\*\*@127\.0\.0\.1:1/dwh: the database does not answer"
        ) as caught:
            label_external(workspace, source, out_address=gone)
        assert "geheim" not in str(caught.value)

    def test_the_command_takes_both_urls_from_variables(self, workspace, source, out, classifier):
        ours = workspace.database.url.render_as_string(hide_password=False)
        environment = {"CLASSIFIER_DATABASE_URL": ours, "CMS_URL": source.url, "DWH_URL": out.url}
        options = ("--table", "news", "--key", "id", "--text", "body", "--out-url", "DWH_URL", "--out", "labels")
        done = classifier("label-table", "--url", "CMS_URL", *options, "--json", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert (report["out"], report["labelled"]) == ("labels", 60)
        assert out.value("SELECT count(*) FROM labels") == 60

    @pytest.mark.slow
    def test_a_killed_worker_loses_no_row_and_labels_none_twice(self, workspace, source, out):
        """Two workers get `kill -9` at random moments; then one run completes."""
        source.owner.news(1000, first=101)
        label_external(workspace, source, out_address=out.url, limit=1)
        out.run("CREATE TABLE written (id int)")
        if "postgres" in out.url:
            out.run("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
                    "'BEGIN INSERT INTO written VALUES (NEW.id); RETURN NEW; END'")  # fmt: skip
            out.run("CREATE TRIGGER note AFTER INSERT OR UPDATE ON news_labels FOR EACH ROW EXECUTE FUNCTION note()")
        else:
            out.run("CREATE TRIGGER note AFTER INSERT ON news_labels BEGIN INSERT INTO written VALUES (NEW.id); END")
        environment = {
            "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
            "CLASSIFIER_HOME": str(workspace.settings.home), "CMS_URL": source.url, "DWH_URL": out.url,
        }  # fmt: skip
        options = ["--url", "CMS_URL", "--table", "news", "--key", "id", "--text", "body", "--page-size", "5"]
        generator = random.Random(os.getpid())
        for _ in range(2):
            # 200 pages of five articles are more than 1,600 steps
            moments = [generator.randint(100, 300) for _ in "ab"]
            command = ["label-table", *options, "--out-url", "DWH_URL"]
            workers = [killing.start(command, moment, environment) for moment in moments]
            assert [killing.ended(worker) for worker in workers] == [True, True]
            assert 0 < out.value("SELECT count(*) FROM news_labels") < 1060
        label_external(workspace, source, out_address=out.url)
        assert models(out) == {"m1": 1060}
        assert out.query("SELECT times, count(*) FROM (SELECT count(*) AS times FROM written GROUP BY id) AS x "
                         "GROUP BY times") == [(1, 1059)]  # fmt: skip


class TestAnotherSchema:
    @pytest.fixture
    def postgres(self, server):
        url = server.create()
        external = ExternalDatabase(url.render_as_string(hide_password=False))
        external.news(20)
        external.run("CREATE SCHEMA ml")
        yield external
        external.engine.dispose()
        server.drop(url)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"out_schema": "ml"}, "ml.news_labels"),
            ({"out_schema": "ml", "out": "found"}, "ml.found"),
            ({"out": "ml.found"}, "ml.found"),
            ({"out": "ml.found", "out_schema": "ml"}, "ml.found"),
            ({"out_schema": "ml", "out": "news"}, "ml.news"),
        ],
    )
    def test_labels_go_to_the_schema_that_is_named(self, workspace, postgres, options, expected):
        report = label_external(workspace, postgres, ExternalTable("id", "body", table="news", **options))
        assert (report.out, report.labelled) == (expected, 20)
        assert postgres.value(f"SELECT count(*) FROM {expected}") == 20
        assert label_external(workspace, postgres, ExternalTable("id", "body", table="news", **options)).labelled == 0

    def test_a_schema_that_there_is_not_is_refused(self, workspace, postgres):
        with pytest.raises(TableError, match=r"^--out nowhere\.news_labels: schema 'nowhere' not found; create it, or"):
            label_external(workspace, postgres, ExternalTable("id", "body", table="news", out_schema="nowhere"))

    def test_the_table_itself_is_refused(self, workspace, postgres):
        with pytest.raises(TableError, match=r"^--out public\.news: is the table to label; name another table$"):
            label_external(
                workspace, postgres, ExternalTable("id", "body", table="news", out="news", out_schema="public")
            )
