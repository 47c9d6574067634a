"""Each row of an external table is labelled once, whatever process dies, breaks or changes it meanwhile."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from classifier import registry
from classifier.exceptions import SourceUnavailableError, TableError
from classifier.external_table import statements
from classifier.external_table.definition import ExternalTable
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.pipeline.categories import changes
from classifier.pipeline.database import tasks
from classifier.store import model_rows
from tests.support import killing, multi_label
from tests.support.external_databases import ExternalDatabase, label_external, replace_labeller
from tests.support.synthetic import make_champion, run
from tests.support.tiny_models import CATEGORIES, make_artefact
from tests.support.waiting import HANG_S, wait_for


@pytest.fixture
def champion(workspace):
    return make_champion(workspace, "m1", 0)


def open_postgres(server):
    url = server.create()
    external = ExternalDatabase(url.render_as_string(hide_password=False))
    yield external
    external.engine.dispose()
    server.drop(url)


@pytest.fixture
def postgres(server):
    yield from open_postgres(server)


@pytest.fixture
def other_postgres(server):
    yield from open_postgres(server)


@pytest.fixture
def sqlite(tmp_path):
    external = ExternalDatabase(f"sqlite:///{tmp_path}/external.db")
    yield external
    external.engine.dispose()


@pytest.fixture(params=["postgres", "sqlite"])
def external(request):
    return request.getfixturevalue(request.param)


class TestMultiLabelModel:
    @pytest.fixture
    def topics(self, workspace):
        """A multi-label task whose champion gives some rows several labels, one or none."""
        topics = multi_label.add_task(workspace)
        files = make_artefact(workspace.models / "t1", seed=0)
        with topics.database.begin() as connection:
            values = {"artefact": str(files.directory), "manifest_sha256": files.manifest_sha256, "training": {}}
            model = model_rows.register(
                connection, name="t1", categories=files.categories, thresholds=[0.34, 0.34, 0.34], **values
            )
            model_rows.make_champion(connection, model)
        return topics

    def test_each_row_has_a_list_of_categories(self, topics, external):
        external.news(40)
        external.run("INSERT INTO news VALUES (-5, NULL)")
        report = label_external(topics, external, engine="openvino")
        assert (report.model, report.labelled, report.dead_letters) == ("t1", 40, 1)
        rows = external.query("SELECT categories, probabilities, confidence, error FROM news_labels WHERE id > 0")
        for categories, by_name, confidence, error in rows:
            names, values = (json.loads(v) if isinstance(v, str) else v for v in (categories, by_name))
            assert names == [name for name in CATEGORIES if np.float32(values[name]) >= np.float32(0.34)]
            assert confidence == pytest.approx(
                math.prod(p if p >= np.float32(0.34) else 1 - p for p in values.values()), abs=1e-6
            )
            assert error is None
        ((categories, error),) = external.query("SELECT categories, error FROM news_labels WHERE id = -5")
        assert (categories, error) == (None, "the text is NULL")

    def test_a_table_with_the_labels_of_the_other_kind_is_refused(self, workspace, topics, external):
        external.news(5)
        label_external(topics, external)
        tasks.add(workspace, "author")
        tasks.add(workspace, "price")
        author, price = workspace.with_task("author"), workspace.with_task("price")
        make_champion(author, "a1", 0)
        make_champion(price, "p1", 0)
        with pytest.raises(TableError) as error:
            label_external(author, external)
        assert str(error.value) == "table 'news_labels': has the labels of a multi-label task; name another with --out"
        external.run("DROP TABLE news_labels")
        label_external(author, external)
        with pytest.raises(TableError) as error:
            label_external(price, external)
        assert str(error.value) == "table 'news_labels': has the labels of the task author; name another with --out"
        with pytest.raises(TableError) as error:
            label_external(topics, external)
        assert str(error.value) == "table 'news_labels': has the labels of a single-label task; name another with --out"


def test_a_model_that_backs_off_answers_a_parent(workspace, sqlite):
    make_champion(workspace, "m1", 0)
    changes.change_categories(workspace, "move", CATEGORIES, ["news"], changed_by="ann")
    run(workspace.database, "UPDATE models SET threshold = 0.9, backs_off = true")
    sqlite.news(5)
    label_external(workspace, sqlite, engine="openvino")
    rows = sqlite.query("SELECT category, confidence FROM news_labels")
    assert rows == [("news", pytest.approx(1))] * 5


@pytest.mark.usefixtures("champion")
class TestConnections:
    """A program that labels many tables must not use up the server's connections."""

    OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    @pytest.fixture(autouse=True)
    def _garbage_stays(self):
        gc.disable()
        yield
        gc.enable()

    @pytest.mark.parametrize("problem", [None, "another table has these labels"])
    def test_none_is_open_after_a_run(self, workspace, postgres, problem):
        postgres.news(5)
        if problem:
            postgres.run("CREATE TABLE news_labels (id int)")
            with pytest.raises(TableError):
                label_external(workspace, postgres)
        else:
            label_external(workspace, postgres)
        postgres.engine.dispose()
        wait_for(lambda: postgres.value(self.OPEN) == 0)

    def test_none_is_open_after_a_run_with_labels_elsewhere(self, workspace, postgres, other_postgres):
        postgres.news(5)
        label_external(workspace, postgres, out_address=other_postgres.url)
        for external in (postgres, other_postgres):
            external.engine.dispose()
            wait_for(lambda external=external: external.value(self.OPEN) == 0)


@pytest.mark.usefixtures("champion")
class TestRows:
    def test_a_second_run_has_nothing_to_label(self, workspace, external):
        external.news(300)
        started, pages = [], []
        report = label_external(workspace, external, page_size=64, on_start=started.append, on_page=pages.append)
        assert (report.out, report.model, report.labelled, report.dead_letters) == ("news_labels", "m1", 300, 0)
        assert (started, pages) == ([300], [64, 64, 64, 64, 44])
        assert external.counts() == (300, 300, {"m1"})
        before = external.query("SELECT * FROM news_labels ORDER BY id")
        again = label_external(workspace, external)
        assert (again.labelled, again.dead_letters) == (0, 0)
        assert external.query("SELECT * FROM news_labels ORDER BY id") == before

    def test_labels_are_the_predictions_of_the_model(self, workspace, external, champion):
        external.news(40)
        label_external(workspace, external, page_size=7, engine="openvino")
        files = registry.open_artefact(champion)
        labeller = FineTunedClassifier(files.load()).labeller("openvino")
        rows = external.query(
            "SELECT body, category, confidence, probabilities, text_hash, error FROM news "
            "JOIN news_labels ON news.id = news_labels.id ORDER BY news.id"
        )
        expected = labeller.probabilities([row[0] for row in rows])
        probabilities = [json.loads(row[3]) if isinstance(row[3], str) else row[3] for row in rows]
        stored = np.array([[by_name[name] for name in CATEGORIES] for by_name in probabilities], dtype=np.float32)
        np.testing.assert_array_equal(stored, expected)
        assert [row[1] for row in rows] == [CATEGORIES[best] for best in expected.argmax(axis=1)]
        np.testing.assert_array_equal(np.array([row[2] for row in rows], np.float32), expected.max(axis=1))
        assert [row[4] for row in rows] == [hashlib.sha256(row[0].encode()).hexdigest() for row in rows]
        assert {row[5] for row in rows} == {None}

    def test_only_new_rows_are_labelled(self, workspace, external):
        external.news(50)
        label_external(workspace, external)
        before = external.labels()
        external.news(20, first=1001)
        external.run("INSERT INTO news VALUES (-5, 'the bank')")
        started = []
        assert label_external(workspace, external, page_size=8, on_start=started.append).labelled == 21
        assert started == [21]
        assert [row for row in external.labels() if 0 < row[0] < 1000] == before
        assert external.counts() == (71, 71, {"m1"})

    def test_a_limit_is_kept(self, workspace, external):
        external.news(50)
        assert label_external(workspace, external, limit=20, page_size=8).labelled == 20
        assert label_external(workspace, external).labelled == 30

    def test_changed_texts_are_labelled_again_only_with_refresh(self, workspace, external):
        external.news(50)
        label_external(workspace, external)
        external.run("UPDATE news SET body = 'goal goal goal' WHERE id IN (7, 31)")
        external.run("UPDATE news SET body = NULL WHERE id = 8")
        assert label_external(workspace, external).labelled == 0
        report = label_external(workspace, external, refresh=True, page_size=9)
        assert (report.labelled, report.dead_letters) == (2, 1)
        goal = hashlib.sha256(b"goal goal goal").hexdigest()
        assert external.query("SELECT id FROM news_labels WHERE text_hash = :hash ORDER BY id", hash=goal) == [
            (7,),
            (31,),
        ]
        assert external.query("SELECT id, category, error FROM news_labels WHERE error IS NOT NULL") == [
            (8, None, "the text is NULL")
        ]
        report = label_external(workspace, external, refresh=True)
        assert (report.labelled, report.dead_letters) == (0, 0)

    def test_a_missing_or_empty_text_is_recorded_as_the_reason(self, workspace, external):
        external.news(5)
        external.run("INSERT INTO news VALUES (11, NULL), (12, ''), (13, '  ')")
        report = label_external(workspace, external)
        assert (report.labelled, report.dead_letters) == (5, 3)
        assert external.query(
            "SELECT id, category, probabilities, error FROM news_labels WHERE id > 10 ORDER BY id"
        ) == [
            (11, None, None, "the text is NULL"),
            (12, None, None, "the text is empty"),
            (13, None, None, "the text is empty"),
        ]
        assert label_external(workspace, external).dead_letters == 0

    def test_a_row_that_breaks_the_model_is_a_dead_letter_and_the_others_are_labelled(
        self, workspace, external, monkeypatch
    ):
        external.news(20)
        external.run("UPDATE news SET body = 'poison' WHERE id IN (3, 11, 12)")
        replace_labeller(monkeypatch, lambda text: RuntimeError("cannot\nread") if text == "poison" else None)
        report = label_external(workspace, external, page_size=16)
        assert (report.labelled, report.dead_letters) == (17, 3)
        dead = external.query("SELECT id, model, error FROM news_labels WHERE category IS NULL ORDER BY id")
        assert dead == [(number, "m1", "RuntimeError: cannot") for number in (3, 11, 12)]
        assert label_external(workspace, external).dead_letters == 0
        monkeypatch.undo()
        external.run("DELETE FROM news_labels WHERE error IS NOT NULL")
        assert label_external(workspace, external).labelled == 3

    @pytest.mark.parametrize("fault", [MemoryError("no memory"), OSError("disk"), RuntimeError("whole model")])
    def test_a_fault_of_the_machine_or_of_the_model_is_blamed_on_no_row(self, workspace, external, monkeypatch, fault):
        external.news(20)
        replace_labeller(monkeypatch, lambda _: fault)
        with pytest.raises(type(fault)):
            label_external(workspace, external)
        assert external.labels() == []
        monkeypatch.undo()
        assert label_external(workspace, external).labelled == 20

    def test_a_database_that_goes_away_is_not_blamed_on_a_row(self, workspace, postgres, monkeypatch):
        postgres.news(40)

        def cut(text):
            if text.endswith("n1-25"):
                postgres.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                )

        replace_labeller(monkeypatch, cut)
        with pytest.raises(SourceUnavailableError, match="the database does not answer"):
            label_external(workspace, postgres, page_size=10)
        assert len(postgres.labels()) == 20
        monkeypatch.undo()
        assert label_external(workspace, postgres).labelled == 20
        assert postgres.value("SELECT count(*) FROM news_labels WHERE error IS NOT NULL") == 0

    def test_labels_that_cannot_be_written_are_reported_in_one_line(self, workspace, external):
        external.news(5)
        label_external(workspace, external, limit=1)
        external.run("CREATE UNIQUE INDEX one_of_each ON news_labels (model)")
        with pytest.raises(TableError, match=r"news_labels: labels cannot be written \(.*(?i:unique)[^\n]*\)$"):
            label_external(workspace, external)
        assert len(external.labels()) == 1


@pytest.mark.usefixtures("champion")
class TestNewChampion:
    def test_relabels_everything(self, workspace, external):
        external.news(60)
        label_external(workspace, external)
        before = external.labels()
        make_champion(workspace, "m2", 7)
        assert label_external(workspace, external, page_size=16).labelled == 60
        assert external.counts() == (60, 60, {"m2"})
        assert [row[2] for row in external.labels()] != [row[2] for row in before]

    def test_during_a_run_labels_all_rows_again(self, workspace, external):
        external.news(60)
        pages = []

        def on_page(count):
            pages.append(count)
            if len(pages) == 2:
                make_champion(workspace, "m2", 7)

        report = label_external(workspace, external, page_size=16, on_page=on_page)
        assert (report.model, report.labelled) == ("m2", 32 + 60)
        assert external.counts() == (60, 60, {"m2"})

    def test_is_never_replaced_by_a_worker_of_the_former_one(self, workspace, external, monkeypatch):
        """A page is read, then labelled by a worker of the new champion, then written."""
        external.news(20)
        label_external(workspace, external)
        external.run("UPDATE news_labels SET model = 'm0'")
        promoted = []

        def meanwhile(_):
            if not promoted:
                promoted.append(make_champion(workspace, "m2", 7))
                external.run("DELETE FROM news_labels")
                external.run(
                    "INSERT INTO news_labels (id, model, category, labelled_at) "
                    "SELECT id, 'm2', 'tech', CURRENT_TIMESTAMP FROM news"
                )

        replace_labeller(monkeypatch, meanwhile)
        assert label_external(workspace, external).labelled == 0
        assert {row[1:] for row in external.labels()} == {("m2", "tech")}


@pytest.mark.usefixtures("champion")
class TestSources:
    @pytest.mark.parametrize(
        ("kind", "keys"),
        [
            ("uuid PRIMARY KEY", [str(uuid.UUID(int=number * 7919 % 2**128)) for number in range(1, 61)]),
            ("text PRIMARY KEY", [f"{'Éé Ää%:_-'[number % 9]}{number}" for number in range(60)]),
            ('text COLLATE "C" PRIMARY KEY', [f"{'aB_-Z'[number % 5]}{number}" for number in range(60)]),
            ("varchar(20) UNIQUE", [f"{'aB_-Z'[number % 5]}{number}" for number in range(60)]),
            ("bigint PRIMARY KEY", [2**53 + number for number in range(60)]),
            ("numeric(20, 5) PRIMARY KEY", [number / 7 for number in range(60)]),
            ("timestamptz PRIMARY KEY", [f"2026-01-01 00:00:{number:02}.123456+03" for number in range(60)]),
        ],
    )
    def test_keys_may_have_any_type_with_an_order(self, workspace, postgres, kind, keys):
        postgres.news(60, kind=kind, keys=keys)
        assert label_external(workspace, postgres, page_size=7).labelled == 60
        assert postgres.counts() == (60, 60, {"m1"})
        assert label_external(workspace, postgres, refresh=True, page_size=7).labelled == 0
        types = postgres.query(
            "SELECT DISTINCT data_type, character_maximum_length, collation_name, numeric_scale "
            "FROM information_schema.columns WHERE column_name = 'id'"
        )
        assert len(types) == 1, "the labels' key has the same type"

    @pytest.mark.parametrize(
        ("kind", "keys"),
        [
            ("text PRIMARY KEY", [f"k{number}" for number in range(60)]),
            ("text COLLATE NOCASE PRIMARY KEY", [f"{'aBcD'[number % 4]}{number}" for number in range(60)]),
            ("PRIMARY KEY", [*range(30), *map(str, range(30))]),
            ("datetime PRIMARY KEY", [f"day {number}" for number in range(60)]),
        ],
    )
    def test_keys_of_sqlite_may_have_any_type(self, workspace, sqlite, kind, keys):
        sqlite.news(60, kind=kind, keys=keys)
        assert label_external(workspace, sqlite, page_size=7).labelled == 60
        assert sqlite.counts() == (60, 60, {"m1"})

    def test_a_query_is_labelled_into_the_table_that_is_named(self, workspace, external):
        external.news(60)
        source = ExternalTable("nr", "words", out="found", query="SELECT id AS nr, body || ' :x 5%' AS words FROM news "
                        "WHERE id % 2 = 0 AND body NOT LIKE '%nothing%' -- even ones")  # fmt: skip
        report = label_external(workspace, external, source, page_size=7)
        assert (report.out, report.labelled) == ("found", 30)
        assert external.value("SELECT count(*) FROM news JOIN found ON id = nr") == 30
        assert label_external(workspace, external, source).labelled == 0

    def test_schemas_and_names_with_capitals_and_spaces(self, workspace, postgres):
        postgres.run('CREATE SCHEMA "My Press"')
        postgres.run('CREATE TABLE "My Press"."The News" ("Key" int PRIMARY KEY, "from" text)')
        postgres.run("""INSERT INTO "My Press"."The News" VALUES (1, 'the bank'), (2, 'the goal')""")
        report = label_external(workspace, postgres, ExternalTable("Key", "from", table="My Press.The News"))
        assert (report.out, report.labelled) == ("My Press.The News_labels", 2)
        assert (
            postgres.value('SELECT count(*) FROM "My Press"."The News_labels" JOIN "My Press"."The News" USING ("Key")')
            == 2
        )

    def test_views_are_read_like_tables(self, workspace, external):
        external.news(20)
        external.run("CREATE VIEW fresh AS SELECT id, body FROM news WHERE id > 5")
        assert label_external(workspace, external, ExternalTable("id", "body", table="fresh")).labelled == 15

    def test_the_table_is_only_read(self, workspace, postgres):
        """The owner grants only SELECT, and locks the rows meanwhile."""
        postgres.news(20)
        postgres.run("CREATE ROLE guest LOGIN")
        postgres.run("GRANT SELECT ON news TO guest")
        postgres.run("GRANT CREATE ON SCHEMA public TO guest")
        guest = ExternalDatabase(postgres.engine.url.set(username="guest").render_as_string(hide_password=False))
        with postgres.engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM news FOR UPDATE")
            assert label_external(workspace, guest).labelled == 20
        guest.engine.dispose()
        postgres.run("DROP OWNED BY guest")
        postgres.run("DROP ROLE guest")


@pytest.mark.usefixtures("champion")
class TestManyWorkers:
    def test_label_each_row_once(self, workspace, external):
        external.news(400)
        with ThreadPoolExecutor(3) as pool:
            runs = [pool.submit(label_external, workspace, external, page_size=10) for _ in range(3)]
            reports = [future.result(timeout=HANG_S) for future in runs]
        assert sum(report.labelled for report in reports) == 400
        assert external.counts() == (400, 400, {"m1"})

    def test_label_different_pages_at_the_same_time(self, workspace, postgres, monkeypatch):
        postgres.news(400)
        meeting = Barrier(2, timeout=HANG_S)
        firsts = []

        class Meeting:
            engine_name = "fake f32"

            def __init__(self):
                self.calls = 0

            def prepare(self, texts):
                return texts

            def run(self, texts):
                self.calls += 1
                if self.calls == 1:
                    firsts.append(set(texts))
                    meeting.wait()
                return np.tile(np.array([0.25, 0.5, 0.25], dtype=np.float32), (len(texts), 1))

        monkeypatch.setattr(Labeller, "of", lambda *_, **__: Meeting())
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(label_external, workspace, postgres, page_size=10) for _ in range(2)]
            assert sum(future.result(timeout=HANG_S).labelled for future in runs) == 400
        assert not firsts[0] & firsts[1]

    @pytest.mark.parametrize("sizes", [(10, 7), (1, 30)])
    def test_label_each_row_once_with_pages_of_different_sizes(self, workspace, external, sizes):
        external.news(200)
        label_external(workspace, external, limit=50)
        make_champion(workspace, "m2", 3)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(label_external, workspace, external, page_size=size) for size in sizes]
            assert sum(future.result(timeout=HANG_S).labelled for future in runs) == 200
        assert external.counts() == (200, 200, {"m2"})

    def test_label_the_page_of_a_worker_that_died(self, workspace, postgres, monkeypatch):
        """The surviving worker skips the page first, and returns to it at the end."""
        postgres.news(40)
        holder = postgres.engine.connect()
        claimed = []
        real = statements.claim_rows

        def claim_rows(connection, pair, first, *, wait):
            if first == (1,) and not claimed:
                claimed.append(real(holder, pair, first, wait=True))
            elif wait and first == (1,):
                holder.close()  # the other worker dies, which releases its lock
            return real(connection, pair, first, wait=wait)

        monkeypatch.setattr(statements, "claim_rows", claim_rows)
        assert label_external(workspace, postgres, page_size=10).labelled == 40
        assert claimed == [True]


@pytest.mark.usefixtures("champion")
def test_the_command_reports_its_result(workspace, external, classifier):
    external.news(20)
    ours = workspace.database.url.render_as_string(hide_password=False)
    environment = {"CLASSIFIER_DATABASE_URL": ours, "CMS_URL": external.url}
    options = ("--url", "CMS_URL", "--table", "news", "--key", "id", "--text", "body", "--limit", 12)
    result = classifier("label-table", *options, "--json", **environment)
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["out"], report["model"], report["labelled"], report["dead_letters"]) == ("news_labels", "m1", 12, 0)
    result = classifier("label-table", *options, **environment)
    assert result.returncode == 0
    assert next(line.split() for line in result.stdout.splitlines() if "labelled" in line)[-2:] == ["8", "│"]


@pytest.mark.slow
def test_a_killed_worker_loses_no_row_and_labels_none_twice(workspace, external, champion, tmp_path):
    """Two workers get `kill -9` at random moments; then one run completes."""
    external.news(1500)
    record_writes(external)
    environment = {
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
        "THEIRS": external.url,
    }
    options = ["--url", "THEIRS", "--table", "news", "--key", "id", "--text", "body", "--page-size", "5"]
    generator = random.Random(os.getpid())
    label_external(workspace, external, limit=1)
    for _ in range(3):
        # 300 pages of five articles are more than 1,200 steps
        moments = [generator.randint(60, 150) for _ in "ab"]
        workers = [killing.start(["label-table", *options], moment, environment) for moment in moments]
        assert [killing.ended(worker) for worker in workers] == [True, True]
        assert 0 < external.value("SELECT count(*) FROM news_labels") < 1500
    label_external(workspace, external)
    assert external.counts() == (1500, 1500, {"m1"})
    assert external.query("SELECT times, count(*) FROM (SELECT count(*) AS times FROM written GROUP BY id) AS x "
                        "GROUP BY times") == [(1, 1500)]  # fmt: skip


def record_writes(external):
    """Record each label that is ever written in a table."""
    external.run("CREATE TABLE news_labels (id int PRIMARY KEY, model text, category text, confidence real, "
               f"probabilities {'jsonb' if 'postgres' in external.url else 'json'}, text_hash text, "
               f"labelled_at {'timestamptz' if 'postgres' in external.url else 'datetime'}, error text)")  # fmt: skip
    external.run("CREATE TABLE written (id int)")
    if "postgres" in external.url:
        external.run("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
                   "'BEGIN INSERT INTO written VALUES (NEW.id); RETURN NEW; END'")  # fmt: skip
        external.run("CREATE TRIGGER note AFTER INSERT OR UPDATE ON news_labels FOR EACH ROW EXECUTE FUNCTION note()")
    else:
        external.run("CREATE TRIGGER note AFTER INSERT ON news_labels BEGIN INSERT INTO written VALUES (NEW.id); END")
