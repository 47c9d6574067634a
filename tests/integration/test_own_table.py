"""A table of the user's own is labelled once a row, whatever dies, breaks or changes meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from sqlalchemy import column, create_engine, insert, table

from classifier import registry
from classifier.exceptions import SourceUnavailableError, TableError
from classifier.external_table import statements
from classifier.external_table.definition import ExternalTable
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.pipeline.labelling import external_table
from tests.support import killing
from tests.support.synthetic import articles, crown, query, run, value
from tests.support.tiny_models import CATEGORIES
from tests.support.waiting import HANG_S

NEWS = ExternalTable("id", "body", table="news")


@pytest.fixture
def champion(workspace):
    return crown(workspace, "m1", 0)


class Theirs:
    """Somebody's database, which is not ours."""

    def __init__(self, url):
        self.url = url
        self.engine = create_engine(url)

    def run(self, statement, **values):
        run(self.engine, statement, **values)

    def query(self, statement, **values):
        return query(self.engine, statement, **values)

    def value(self, statement, **values):
        return value(self.engine, statement, **values)

    def news(self, count, first=1, kind="int PRIMARY KEY", keys=None):
        """Add so many rows to the table news, and make it if it is not there."""
        self.run(f"CREATE TABLE IF NOT EXISTS news (id {kind}, body text)")
        rows = [
            {"id": key, "body": row["text"]}
            for key, row in zip(keys or range(first, first + count), articles(count, prefix=f"n{first}-"), strict=True)
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(table("news", column("id"), column("body"))), rows)

    def labels(self):
        return self.query("SELECT id, model, category FROM news_labels ORDER BY id")

    def counts(self):
        """Return how many rows there are, how many have a label, and of which models."""
        return (
            self.value("SELECT count(*) FROM news"),
            self.value("SELECT count(*) FROM news JOIN news_labels ON news.id = news_labels.id"),
            {model for (model,) in self.query("SELECT DISTINCT model FROM news_labels")},
        )


@pytest.fixture
def postgres(server):
    url = server.create()
    theirs = Theirs(url.render_as_string(hide_password=False))
    yield theirs
    theirs.engine.dispose()
    server.drop(url)


@pytest.fixture
def sqlite(tmp_path):
    theirs = Theirs(f"sqlite:///{tmp_path}/theirs.db")
    yield theirs
    theirs.engine.dispose()


@pytest.fixture(params=["postgres", "sqlite"])
def theirs(request):
    return request.getfixturevalue(request.param)


def label(workspace, theirs, wanted=NEWS, **options):
    return external_table.label_external_table(workspace, theirs.url, wanted, **options)


def fake(monkeypatch, raises=lambda _: None):
    """Put a labeller that sometimes raises in the model's place; return the texts that it is given."""
    given = []

    class Fake:
        def prepare(self, texts):
            return texts

        def run(self, texts):
            given.append(list(texts))
            for text in texts:
                if (error := raises(text)) is not None:
                    raise error
            return np.tile(np.array([0.25, 0.5, 0.25], dtype=np.float32), (len(texts), 1))

    monkeypatch.setattr(Labeller, "of", lambda *_, **__: Fake())
    return given


@pytest.mark.usefixtures("champion")
class TestRows:
    def test_all_are_labelled_and_the_second_time_none(self, workspace, theirs):
        theirs.news(300)
        started, pages = [], []
        report = label(workspace, theirs, page_size=64, on_start=started.append, on_page=pages.append)
        assert (report.out, report.model, report.labelled, report.dead_letters) == ("news_labels", "m1", 300, 0)
        assert (started, pages) == ([300], [64, 64, 64, 64, 44])
        assert theirs.counts() == (300, 300, {"m1"})
        before = theirs.query("SELECT * FROM news_labels ORDER BY id")
        again = label(workspace, theirs)
        assert (again.labelled, again.dead_letters) == (0, 0)
        assert theirs.query("SELECT * FROM news_labels ORDER BY id") == before

    def test_labels_are_those_of_the_model(self, workspace, theirs, champion):
        theirs.news(40)
        label(workspace, theirs, page_size=7, engine="openvino")
        files = registry.open_artefact(champion)
        labeller = FineTunedClassifier(files.load()).labeller("openvino")
        rows = theirs.query(
            "SELECT body, category, confidence, probabilities, text_hash, error FROM news "
            "JOIN news_labels ON news.id = news_labels.id ORDER BY news.id"
        )
        expected = labeller.probabilities([row[0] for row in rows])
        found = [json.loads(row[3]) if isinstance(row[3], str) else row[3] for row in rows]
        stored = np.array([[one[name] for name in CATEGORIES] for one in found], dtype=np.float32)
        np.testing.assert_array_equal(stored, expected)
        assert [row[1] for row in rows] == [CATEGORIES[best] for best in expected.argmax(axis=1)]
        np.testing.assert_array_equal(np.array([row[2] for row in rows], np.float32), expected.max(axis=1))
        assert [row[4] for row in rows] == [hashlib.sha256(row[0].encode()).hexdigest() for row in rows]
        assert {row[5] for row in rows} == {None}

    def test_only_new_ones_are_labelled(self, workspace, theirs):
        theirs.news(50)
        label(workspace, theirs)
        before = theirs.labels()
        theirs.news(20, first=1001)
        theirs.run("INSERT INTO news VALUES (-5, 'the bank')")
        started = []
        assert label(workspace, theirs, page_size=8, on_start=started.append).labelled == 21
        assert started == [21]
        assert [row for row in theirs.labels() if 0 < row[0] < 1000] == before
        assert theirs.counts() == (71, 71, {"m1"})

    def test_a_limit_is_kept(self, workspace, theirs):
        theirs.news(50)
        assert label(workspace, theirs, limit=20, page_size=8).labelled == 20
        assert label(workspace, theirs).labelled == 30

    def test_changed_texts_are_labelled_again_with_refresh_alone(self, workspace, theirs):
        theirs.news(50)
        label(workspace, theirs)
        theirs.run("UPDATE news SET body = 'goal goal goal' WHERE id IN (7, 31)")
        theirs.run("UPDATE news SET body = NULL WHERE id = 8")
        assert label(workspace, theirs).labelled == 0
        report = label(workspace, theirs, refresh=True, page_size=9)
        assert (report.labelled, report.dead_letters) == (2, 1)
        goal = hashlib.sha256(b"goal goal goal").hexdigest()
        assert theirs.query("SELECT id FROM news_labels WHERE text_hash = :hash ORDER BY id", hash=goal) == [
            (7,),
            (31,),
        ]
        assert theirs.query("SELECT id, category, error FROM news_labels WHERE error IS NOT NULL") == [
            (8, None, "the text is NULL")
        ]
        report = label(workspace, theirs, refresh=True)
        assert (report.labelled, report.dead_letters) == (0, 0)

    def test_a_text_that_is_missing_or_empty_is_recorded_as_such(self, workspace, theirs):
        theirs.news(5)
        theirs.run("INSERT INTO news VALUES (11, NULL), (12, ''), (13, '  ')")
        report = label(workspace, theirs)
        assert (report.labelled, report.dead_letters) == (5, 3)
        assert theirs.query("SELECT id, category, probabilities, error FROM news_labels WHERE id > 10 ORDER BY id") == [
            (11, None, None, "the text is NULL"),
            (12, None, None, "the text is empty"),
            (13, None, None, "the text is empty"),
        ]
        assert label(workspace, theirs).dead_letters == 0

    def test_one_that_breaks_the_model_is_a_dead_letter_and_its_neighbours_are_labelled(
        self, workspace, theirs, monkeypatch
    ):
        theirs.news(20)
        theirs.run("UPDATE news SET body = 'poison' WHERE id IN (3, 11, 12)")
        fake(monkeypatch, lambda text: RuntimeError("cannot\nread") if text == "poison" else None)
        report = label(workspace, theirs, page_size=16)
        assert (report.labelled, report.dead_letters) == (17, 3)
        dead = theirs.query("SELECT id, model, error FROM news_labels WHERE category IS NULL ORDER BY id")
        assert dead == [(number, "m1", "RuntimeError: cannot") for number in (3, 11, 12)]
        assert label(workspace, theirs).dead_letters == 0
        monkeypatch.undo()
        theirs.run("DELETE FROM news_labels WHERE error IS NOT NULL")
        assert label(workspace, theirs).labelled == 3

    @pytest.mark.parametrize("fault", [MemoryError("no memory"), OSError("disk"), RuntimeError("whole model")])
    def test_a_fault_of_the_machine_or_of_the_model_is_blamed_on_none(self, workspace, theirs, monkeypatch, fault):
        theirs.news(20)
        fake(monkeypatch, lambda _: fault)
        with pytest.raises(type(fault)):
            label(workspace, theirs)
        assert theirs.labels() == []
        monkeypatch.undo()
        assert label(workspace, theirs).labelled == 20

    def test_a_database_that_goes_away_is_not_blamed_on_a_row(self, workspace, postgres, monkeypatch):
        postgres.news(40)

        def cut(text):
            if text.endswith("n1-25"):
                postgres.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                )

        fake(monkeypatch, cut)
        with pytest.raises(SourceUnavailableError, match="the database does not answer"):
            label(workspace, postgres, page_size=10)
        assert len(postgres.labels()) == 20
        monkeypatch.undo()
        assert label(workspace, postgres).labelled == 20
        assert postgres.value("SELECT count(*) FROM news_labels WHERE error IS NOT NULL") == 0

    def test_labels_that_cannot_be_written_are_one_line(self, workspace, theirs):
        theirs.news(5)
        label(workspace, theirs, limit=1)
        theirs.run("CREATE UNIQUE INDEX one_of_each ON news_labels (model)")
        with pytest.raises(TableError, match=r"news_labels: labels cannot be written \(.*(?i:unique)[^\n]*\)$"):
            label(workspace, theirs)
        assert len(theirs.labels()) == 1


@pytest.mark.usefixtures("champion")
class TestNewChampion:
    def test_relabels_everything(self, workspace, theirs):
        theirs.news(60)
        label(workspace, theirs)
        before = theirs.labels()
        crown(workspace, "m2", 7)
        assert label(workspace, theirs, page_size=16).labelled == 60
        assert theirs.counts() == (60, 60, {"m2"})
        assert [row[2] for row in theirs.labels()] != [row[2] for row in before]

    def test_in_the_middle_of_a_run_takes_over(self, workspace, theirs):
        theirs.news(60)
        pages = []

        def on_page(count):
            pages.append(count)
            if len(pages) == 2:
                crown(workspace, "m2", 7)

        report = label(workspace, theirs, page_size=16, on_page=on_page)
        assert (report.model, report.labelled) == ("m2", 32 + 60)
        assert theirs.counts() == (60, 60, {"m2"})

    def test_is_never_replaced_by_a_worker_of_the_former_one(self, workspace, theirs, monkeypatch):
        """A page is read, then labelled by a worker of the new champion, then written."""
        theirs.news(20)
        label(workspace, theirs)
        theirs.run("UPDATE news_labels SET model = 'm0'")
        happened = []

        def meanwhile(_):
            if not happened:
                happened.append(crown(workspace, "m2", 7))
                theirs.run("DELETE FROM news_labels")
                theirs.run(
                    "INSERT INTO news_labels (id, model, category, labelled_at) "
                    "SELECT id, 'm2', 'tech', CURRENT_TIMESTAMP FROM news"
                )

        fake(monkeypatch, meanwhile)
        assert label(workspace, theirs).labelled == 0
        assert {row[1:] for row in theirs.labels()} == {("m2", "tech")}


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
    def test_keys_may_be_of_any_type_that_has_an_order(self, workspace, postgres, kind, keys):
        postgres.news(60, kind=kind, keys=keys)
        assert label(workspace, postgres, page_size=7).labelled == 60
        assert postgres.counts() == (60, 60, {"m1"})
        assert label(workspace, postgres, refresh=True, page_size=7).labelled == 0
        types = postgres.query(
            "SELECT DISTINCT data_type, character_maximum_length, collation_name, numeric_scale "
            "FROM information_schema.columns WHERE column_name = 'id'"
        )
        assert len(types) == 1, "the labels' key is of the same type"

    @pytest.mark.parametrize(
        ("kind", "keys"),
        [
            ("text PRIMARY KEY", [f"k{number}" for number in range(60)]),
            ("text COLLATE NOCASE PRIMARY KEY", [f"{'aBcD'[number % 4]}{number}" for number in range(60)]),
            ("PRIMARY KEY", [*range(30), *map(str, range(30))]),
            ("datetime PRIMARY KEY", [f"day {number}" for number in range(60)]),
        ],
    )
    def test_keys_of_sqlite_are_what_they_are(self, workspace, sqlite, kind, keys):
        sqlite.news(60, kind=kind, keys=keys)
        assert label(workspace, sqlite, page_size=7).labelled == 60
        assert sqlite.counts() == (60, 60, {"m1"})

    def test_a_query_is_labelled_into_the_table_that_is_named(self, workspace, theirs):
        theirs.news(60)
        wanted = ExternalTable("nr", "words", out="found", query="SELECT id AS nr, body || ' :x 5%' AS words FROM news "
                        "WHERE id % 2 = 0 AND body NOT LIKE '%nothing%' -- even ones")  # fmt: skip
        report = label(workspace, theirs, wanted, page_size=7)
        assert (report.out, report.labelled) == ("found", 30)
        assert theirs.value("SELECT count(*) FROM news JOIN found ON id = nr") == 30
        assert label(workspace, theirs, wanted).labelled == 0

    def test_schemas_and_names_with_capitals_and_spaces(self, workspace, postgres):
        postgres.run('CREATE SCHEMA "My Press"')
        postgres.run('CREATE TABLE "My Press"."The News" ("Key" int PRIMARY KEY, "from" text)')
        postgres.run("""INSERT INTO "My Press"."The News" VALUES (1, 'the bank'), (2, 'the goal')""")
        report = label(workspace, postgres, ExternalTable("Key", "from", table="My Press.The News"))
        assert (report.out, report.labelled) == ("My Press.The News_labels", 2)
        assert (
            postgres.value('SELECT count(*) FROM "My Press"."The News_labels" JOIN "My Press"."The News" USING ("Key")')
            == 2
        )

    def test_views_are_read_like_tables(self, workspace, theirs):
        theirs.news(20)
        theirs.run("CREATE VIEW fresh AS SELECT id, body FROM news WHERE id > 5")
        assert label(workspace, theirs, ExternalTable("id", "body", table="fresh")).labelled == 15

    def test_the_table_is_only_read(self, workspace, postgres):
        """Its owner grants SELECT and nothing else, and keeps rows locked meanwhile."""
        postgres.news(20)
        postgres.run("CREATE ROLE guest LOGIN")
        postgres.run("GRANT SELECT ON news TO guest")
        postgres.run("GRANT CREATE ON SCHEMA public TO guest")
        guest = Theirs(postgres.engine.url.set(username="guest").render_as_string(hide_password=False))
        with postgres.engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM news FOR UPDATE")
            assert label(workspace, guest).labelled == 20
        guest.engine.dispose()
        postgres.run("DROP OWNED BY guest")
        postgres.run("DROP ROLE guest")


@pytest.mark.usefixtures("champion")
class TestManyWorkers:
    def test_label_each_row_once(self, workspace, theirs):
        theirs.news(400)
        with ThreadPoolExecutor(3) as pool:
            runs = [pool.submit(label, workspace, theirs, page_size=10) for _ in range(3)]
            reports = [one.result(timeout=HANG_S) for one in runs]
        assert sum(report.labelled for report in reports) == 400
        assert theirs.counts() == (400, 400, {"m1"})

    def test_have_pages_of_their_own_at_the_same_time(self, workspace, postgres, monkeypatch):
        postgres.news(400)
        meeting = Barrier(2, timeout=HANG_S)
        firsts = []

        class Meeting:
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
            runs = [pool.submit(label, workspace, postgres, page_size=10) for _ in range(2)]
            assert sum(one.result(timeout=HANG_S).labelled for one in runs) == 400
        assert not firsts[0] & firsts[1]

    @pytest.mark.parametrize("sizes", [(10, 7), (1, 30)])
    def test_with_pages_of_unlike_sizes_label_each_row_once_too(self, workspace, theirs, sizes):
        theirs.news(200)
        label(workspace, theirs, limit=50)
        crown(workspace, "m2", 3)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(label, workspace, theirs, page_size=size) for size in sizes]
            assert sum(one.result(timeout=HANG_S).labelled for one in runs) == 200
        assert theirs.counts() == (200, 200, {"m2"})

    def test_the_page_of_one_that_died_is_taken_by_another(self, workspace, postgres, monkeypatch):
        """The survivor has passed over the page; it comes back to it."""
        postgres.news(40)
        holder = postgres.engine.connect()
        taken = []
        real = statements.claim_rows

        def take(connection, pair, first, *, wait):
            if first == 1 and not taken:
                taken.append(real(holder, pair, first, wait=True))
            elif wait and first == 1:
                holder.close()  # the other dies, and its lock with it
            return real(connection, pair, first, wait=wait)

        monkeypatch.setattr(statements, "claim_rows", take)
        assert label(workspace, postgres, page_size=10).labelled == 40
        assert taken == [True]


@pytest.mark.usefixtures("champion")
def test_the_command_reports_what_it_did(workspace, theirs, classifier):
    theirs.news(20)
    ours = workspace.database.url.render_as_string(hide_password=False)
    environment = {"CLASSIFIER_DATABASE_URL": ours, "CMS_URL": theirs.url}
    options = ("--url", "CMS_URL", "--table", "news", "--key", "id", "--text", "body", "--limit", 12)
    done = classifier("label-table", *options, "--json", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["out"], report["model"], report["labelled"], report["dead_letters"]) == ("news_labels", "m1", 12, 0)
    done = classifier("label-table", *options, **environment)
    assert done.returncode == 0
    assert next(line.split() for line in done.stdout.splitlines() if "labelled" in line)[-2:] == ["8", "│"]


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_and_doubles_nothing(workspace, theirs, champion, tmp_path):
    """`kill -9` at random moments, with a second worker at work, then a run to the end."""
    theirs.news(1500)
    write_down(theirs)
    environment = {
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
        "THEIRS": theirs.url,
    }
    options = ["--url", "THEIRS", "--table", "news", "--key", "id", "--text", "body", "--page-size", "5"]
    generator = random.Random(os.getpid())
    label(workspace, theirs, limit=1)
    for _ in range(3):
        # 300 pages of five articles are more than 1,200 steps
        moments = [generator.randint(60, 150) for _ in "ab"]
        workers = [killing.start(["label-table", *options], moment, environment) for moment in moments]
        assert [killing.ended(worker) for worker in workers] == [True, True]
        assert 0 < theirs.value("SELECT count(*) FROM news_labels") < 1500
    label(workspace, theirs)
    assert theirs.counts() == (1500, 1500, {"m1"})
    assert theirs.query("SELECT times, count(*) FROM (SELECT count(*) AS times FROM written GROUP BY id) AS x "
                        "GROUP BY times") == [(1, 1500)]  # fmt: skip


def write_down(theirs):
    """Keep a row for each label that is ever written."""
    theirs.run("CREATE TABLE news_labels (id int PRIMARY KEY, model text, category text, confidence real, "
               f"probabilities {'jsonb' if 'postgres' in theirs.url else 'json'}, text_hash text, "
               f"labelled_at {'timestamptz' if 'postgres' in theirs.url else 'datetime'}, error text)")  # fmt: skip
    theirs.run("CREATE TABLE written (id int)")
    if "postgres" in theirs.url:
        theirs.run("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
                   "'BEGIN INSERT INTO written VALUES (NEW.id); RETURN NEW; END'")  # fmt: skip
        theirs.run("CREATE TRIGGER note AFTER INSERT OR UPDATE ON news_labels FOR EACH ROW EXECUTE FUNCTION note()")
    else:
        theirs.run("CREATE TRIGGER note AFTER INSERT ON news_labels BEGIN INSERT INTO written VALUES (NEW.id); END")
