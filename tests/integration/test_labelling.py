"""Each waiting article is labelled once, whatever process dies, breaks or changes it meanwhile."""

from __future__ import annotations

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Event

import numpy as np
import pytest

from classifier import registry
from classifier.exceptions import ArtefactError, NoChampionError
from classifier.inference import engines
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.labelling import claims as claims_module
from classifier.labelling import worker
from classifier.labelling.claims import Claims
from classifier.pipeline.labelling import dead_letters, queue
from classifier.store import labelling_queue, model_rows, prediction_rows
from classifier.store.labelling_queue import Selection
from tests.support import killing
from tests.support.synthetic import articles, dump, ingest_file, make_champion, query, run, unlabelled, value
from tests.support.tiny_models import CATEGORIES
from tests.support.waiting import HANG_S, wait_for


@pytest.fixture
def champion(workspace):
    return make_champion(workspace, "m1", 0)


class FakeLabeller:
    """A labeller that raises for some texts, and gives the others the second category."""

    engine_name = "fake f32"
    read_title = False

    def __init__(self, raises=lambda _: None):
        self.raises = raises
        self.calls = []

    def prepare(self, texts):
        return texts

    def run(self, texts):
        self.calls.append(len(texts))
        for text in texts:
            if (error := self.raises(text)) is not None:
                raise error
        return np.tile(np.array([0.25, 0.5, 0.25], dtype=np.float32), (len(texts), 1))


def test_all_waiting_articles_are_labelled(workspace, tmp_path, champion, labellings):
    ingest_file(workspace, tmp_path / "x.csv", articles(9) + unlabelled(300, prefix="u"))
    started, pages = [], []
    report = queue.label_queue(workspace, page_size=64, on_start=started.append, on_page=pages.append)
    assert (report.model, report.labelled, report.dead_letters, report.waiting) == ("m1", 300, 0, 0)
    assert started == [300]
    assert pages == [64, 64, 64, 64, 44]
    assert report.articles_per_second > 0
    assert labellings() == [(1, 300)]
    rows = query(
        workspace.database,
        "SELECT label, origin, confidence, model FROM article_labels WHERE origin = 'prediction'",
    )
    assert len(rows) == 300
    assert {row[0] for row in rows} <= set(CATEGORIES)
    assert {row[3] for row in rows} == {"m1"}
    assert value(workspace.database, "SELECT count(*) FROM article_labels WHERE origin = 'annotation'") == 9


def test_probabilities_are_those_of_the_model_and_add_up_to_one(workspace, tmp_path, champion):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
    queue.label_queue(workspace, page_size=7, engine="openvino")
    rows = query(
        workspace.database,
        "SELECT text, categories[category_indices[1]], confidence, probabilities FROM predictions "
        "JOIN articles ON articles.id = article_id JOIN models ON models.id = model_id",
    )
    files = registry.open_artefact(champion)
    labeller = FineTunedClassifier(files.load()).labeller("openvino")
    expected = labeller.probabilities([row[0] for row in rows])
    stored = np.array([row[3] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_allclose(stored.sum(axis=1), 1, atol=1e-5)
    assert [row[1] for row in rows] == [champion.categories[best] for best in expected.argmax(axis=1)]
    np.testing.assert_array_equal(np.array([row[2] for row in rows], dtype=np.float32), expected.max(axis=1))
    assert len({row[1] for row in rows}) > 1, "the model distinguishes the texts"


def test_a_limit_is_kept_and_the_other_articles_wait(workspace, tmp_path, champion):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
    report = queue.label_queue(workspace, limit=20, page_size=8)
    assert (report.labelled, report.waiting) == (20, 30)
    assert queue.label_queue(workspace).labelled == 30
    assert queue.label_queue(workspace) == queue.LabellingReport("m1", 0, 0, 0, pytest.approx(0, abs=5), report.engine)


def test_two_workers_share_the_queue_and_label_each_article_once(workspace, tmp_path, champion, labellings):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(400))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(queue.label_queue, workspace, page_size=10) for _ in range(2)]
        reports = [future.result(timeout=HANG_S) for future in runs]
    assert sum(report.labelled for report in reports) == 400
    assert labellings() == [(1, 400)]


def test_two_workers_label_different_pages_at_the_same_time(workspace, tmp_path, champion, labellings):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(400))
    meeting = Barrier(2, timeout=HANG_S)

    class Meeting(FakeLabeller):
        def run(self, texts):
            if not self.calls:
                meeting.wait()  # each is in the model with its first page
            return super().run(texts)

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(worker.label_pages, workspace.database, champion, Meeting(), page_size=10) for _ in range(2)
        ]
        assert sum(future.result(timeout=HANG_S).labelled for future in runs) == 400
    assert labellings() == [(1, 400)]


class TestPipeline:
    """While one page is in the model, the next is claimed and tokenized, and the previous one is written."""

    def test_the_next_page_is_claimed_and_the_last_one_written_while_one_is_in_the_model(
        self, workspace, tmp_path, champion, labellings
    ):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(30))
        third_prepared = Event()

        class WaitingLabeller(FakeLabeller):
            def prepare(self, texts):
                if texts[0].endswith("a20"):
                    third_prepared.set()
                return texts

            def run(self, texts):
                if texts[0].endswith("a10"):
                    assert third_prepared.wait(HANG_S), "the third page is claimed while the second is in the model"
                    wait_for(lambda: value(workspace.database, "SELECT count(*) FROM predictions") == 10)
                return super().run(texts)

        report = worker.label_pages(workspace.database, champion, WaitingLabeller(), page_size=10)
        assert (report.labelled, labellings()) == (30, [(1, 30)])

    @pytest.mark.parametrize("error", [OSError("no device"), KeyboardInterrupt()])
    def test_an_error_in_the_model_frees_every_page_that_is_not_written(self, workspace, tmp_path, champion, error):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = FakeLabeller(lambda text: error if text.endswith("a25") else None)
        with pytest.raises(type(error)):
            worker.label_pages(workspace.database, champion, labels, page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 20
        with workspace.database.begin() as connection:
            assert len(labelling_queue.claim(connection, champion.id, 50, labelling_queue.Selection())[0]) == 30

    def test_an_error_in_a_claim_ends_the_worker_after_the_earlier_pages(self, workspace, tmp_path, champion):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(30))

        class FailingLabeller(FakeLabeller):
            def prepare(self, texts):
                if texts[0].endswith("a20"):
                    raise MemoryError
                return texts

        with pytest.raises(MemoryError):
            worker.label_pages(workspace.database, champion, FailingLabeller(), page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 20
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 10

    def test_an_error_in_a_write_frees_the_later_pages(self, workspace, tmp_path, champion, monkeypatch):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        write_predictions, pages = prediction_rows.write, []

        def fail(*arguments):
            pages.append(arguments)
            if len(pages) == 2:
                raise OSError("the disk is full")
            write_predictions(*arguments)

        monkeypatch.setattr(prediction_rows, "write", fail)
        with pytest.raises(OSError, match="disk"):
            worker.label_pages(workspace.database, champion, FakeLabeller(), page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 10
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 40

    def test_a_limit_holds_for_pages_that_are_claimed_ahead(self, workspace, tmp_path, champion):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = FakeLabeller()
        assert worker.label_pages(workspace.database, champion, labels, page_size=10, limit=25).labelled == 25
        assert labels.calls == [10, 10, 5]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 25

    def test_pages_are_smaller_if_the_model_is_slow(self, workspace, champion):
        claims = Claims(workspace.database, champion, FakeLabeller(), page_size=1000)
        assert claims._size() == 256
        claims.record_speed(256, 0.5)
        assert claims._size() == 1000
        claims.record_speed(1000, 100)
        assert claims._size() == 300, "half a minute of it"

    def test_a_rate_is_kept_by_waiting_between_claims(self, workspace, tmp_path, champion, monkeypatch):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        monkeypatch.setattr(claims_module.time, "monotonic", lambda: 100.0)
        claims = Claims(workspace.database, champion, FakeLabeller(), page_size=1000, max_rate=4)
        waits = []
        monkeypatch.setattr(claims._stopped, "wait", waits.append)
        pages = [claims.next() for _ in range(3)]
        for page in pages:
            page.release()
        assert [len(page.articles) for page in pages] == [20, 20, 10], "five seconds' worth at most"
        assert waits == [0, 5, 10]


class TestSelection:
    @pytest.fixture
    def by_source(self, workspace, tmp_path, champion):  # noqa: ARG002 - it is there
        """Ingest thirty articles of the champion's backlog, not enqueued, and ten new articles of another source."""
        ingest_file(workspace, tmp_path / "old.csv", unlabelled(30))
        run(workspace.database, "DELETE FROM labelling_queue")
        ingest_file(workspace, tmp_path / "new.csv", unlabelled(10, prefix="new", seed=3))
        run(workspace.database, "UPDATE articles SET published_at = '2026-01-01' WHERE external_id LIKE 'new%5'")
        return lambda: dict(query(workspace.database, LABELLED_BY_SOURCE))

    def test_new_articles_are_labelled_before_the_backlog_is_enqueued(self, workspace, by_source):
        assert queue.label_queue(workspace, limit=10).labelled == 10
        assert by_source() == {"new": 10}
        assert value(workspace.database, "SELECT backfilled_to FROM models") == 0
        totals = []
        assert queue.label_queue(workspace, on_start=totals.append).labelled == 30
        assert totals == [0, 30]
        assert by_source() == {"new": 10, "old": 30}

    def test_new_articles_alone(self, workspace, by_source):
        assert queue.label_queue(workspace, selection=Selection(backfill=False)).labelled == 10
        assert by_source() == {"new": 10}

    def test_the_backfill_alone(self, workspace, by_source):
        assert queue.label_queue(workspace, selection=Selection(new=False)).labelled == 30
        assert by_source() == {"old": 30}

    def test_articles_of_one_source(self, workspace, by_source):
        report = queue.label_queue(workspace, selection=Selection(source="old"), page_size=7)
        assert (report.labelled, by_source(), report.waiting) == (30, {"old": 30}, 10)

    def test_articles_since_a_day(self, workspace, by_source):
        report = queue.label_queue(workspace, selection=Selection(since=datetime(2026, 6, 1, tzinfo=UTC)), page_size=7)
        assert (report.labelled, by_source(), report.waiting) == (39, {"new": 9, "old": 30}, 1)

    def test_is_set_by_options_of_the_command(self, workspace, by_source, classifier):
        environment = {
            "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
            "CLASSIFIER_HOME": str(workspace.settings.home),
        }
        options = ("--no-backfill", "--source", "new", "--since", "2026-06-01", "--max-rate", 100_000, "--json")
        done = classifier("label", *options, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["labelled"] == 9
        assert by_source() == {"new": 9}
        assert json.loads(classifier("label", "--backfill", "--json", **environment).stdout)["labelled"] == 30
        assert json.loads(classifier("label", "--json", **environment).stdout)["labelled"] == 1


LABELLED_BY_SOURCE = "SELECT source, count(*) FROM predictions JOIN articles ON id = article_id GROUP BY 1 ORDER BY 1"


class TestFault:
    """Transient failures are retried with growing waits, and never blamed on an article."""

    @pytest.fixture
    def waits(self, workspace, tmp_path, champion, monkeypatch):  # noqa: ARG002 - it is there
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        seconds = []
        monkeypatch.setattr(queue.time, "sleep", seconds.append)
        return seconds

    @pytest.fixture
    def labels(self, monkeypatch):
        def use(raises):
            monkeypatch.setattr(FineTunedClassifier, "labeller", lambda *_, **__: FakeLabeller(raises))

        return use

    def test_is_retried_from_the_last_committed_page(self, workspace, waits, labels, labellings):
        faults = [OSError("gone"), MemoryError(), OSError("gone")]
        labels(lambda text: faults.pop() if text.endswith("a25") and faults else None)
        report = queue.label_queue(workspace, page_size=10)
        assert (report.labelled, report.dead_letters, waits) == (50, 0, [1, 2, 4])
        assert labellings() == [(1, 50)]

    def test_that_persists_is_raised_after_the_last_retry(self, workspace, waits, labels):
        labels(lambda text: OSError("gone") if text.endswith("a25") else None)
        with pytest.raises(OSError, match="gone"):
            queue.label_queue(workspace, page_size=10)
        assert waits == [1, 2, 4, 8, 16]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 30
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 0

    def test_a_database_that_ends_every_connection_is_waited_for(self, workspace, waits, labels, labellings):
        ended = []

        def end(text):
            if text.endswith("a25") and not ended:
                ended.append(query(workspace.database, END_OTHER_CONNECTIONS))

        labels(end)
        assert queue.label_queue(workspace, page_size=10).labelled >= 40, "committed articles are not counted twice"
        assert waits == [1]
        assert labellings() == [(1, 50)]

    @pytest.mark.usefixtures("waits")
    def test_a_limit_includes_articles_committed_before_the_failure(self, workspace, labels):
        faults = [OSError("gone")]
        labels(lambda text: faults.pop() if text.endswith("a15") and faults else None)
        assert queue.label_queue(workspace, page_size=10, limit=30).labelled == 30
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 30


END_OTHER_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.slow
def test_a_killed_worker_loses_no_article_and_labels_none_twice(workspace, tmp_path, champion, labellings):
    """The worker gets `kill -9` at four random moments, between any two statements; then one run completes."""
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(2500))
    environment = {
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
    }
    generator = random.Random(os.getpid())
    for number in range(4):
        # 500 pages of five articles are more than 2,000 steps
        kill_at = generator.randint(100, 500)
        assert killing.ended(killing.start(["label", "--page-size", "5"], kill_at, environment))
        waiting, labelled = query(
            workspace.database, "SELECT (SELECT count(*) FROM labelling_queue), (SELECT count(*) FROM predictions)"
        )[0]
        assert waiting + labelled == 2500, f"after kill {number}, at step {kill_at}"
        assert 0 < labelled < 2500
    report = queue.label_queue(workspace)
    assert report.waiting == 0
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 2500
    assert labellings() == [(1, 2500)]


class TestBrokenArticle:
    @pytest.fixture
    def waiting(self, workspace, tmp_path):
        rows = unlabelled(20)
        for number in (3, 11, 12):
            rows[number]["text"] = f"poison {number}"
        ingest_file(workspace, tmp_path / "x.csv", rows)
        return rows

    @pytest.mark.usefixtures("waiting")
    def test_becomes_a_dead_letter_and_the_others_are_labelled(self, workspace, champion):
        labels = FakeLabeller(lambda text: RuntimeError(f"cannot\nread {text}") if "poison" in text else None)
        report = worker.label_pages(workspace.database, champion, labels, page_size=16)
        assert (report.labelled, report.dead, report.replaced) == (17, 3, False)
        dead = query(
            workspace.database,
            "SELECT external_id, dead_letters.revision, reason "
            "FROM dead_letters JOIN articles ON id = article_id ORDER BY 1",
        )
        assert dead == [(f"a{number}", 1, "RuntimeError: cannot") for number in (11, 12, 3)]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0
        assert (
            value(
                workspace.database,
                "SELECT count(*) "
                "FROM predictions JOIN models ON models.id = model_id WHERE categories[category_indices[1]] = 'sport'",
            )
            == 17
        )

    def test_is_queued_again_when_its_text_changes(self, workspace, tmp_path, champion, waiting):
        labels = FakeLabeller(lambda text: RuntimeError("no") if "poison" in text else None)
        worker.label_pages(workspace.database, champion, labels)
        waiting[3]["text"] = "harmless"
        ingest_file(workspace, tmp_path / "x.csv", waiting)
        assert [letter.external_id for letter in dead_letters.list_dead_letters(workspace)] == ["a11", "a12"]
        assert worker.label_pages(workspace.database, champion, labels).labelled == 1
        assert value(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a3'") == "sport"
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 2

    @pytest.mark.usefixtures("waiting")
    def test_is_found_when_it_breaks_the_tokenizer(self, workspace, champion):
        class FailingTokenizer(FakeLabeller):
            def prepare(self, texts):
                if any("poison" in text for text in texts):
                    raise ValueError("cannot be tokenized")
                return texts

        report = worker.label_pages(workspace.database, champion, FailingTokenizer(), page_size=16)
        assert (report.labelled, report.dead) == (17, 3)

    @pytest.mark.usefixtures("waiting")
    def test_is_not_quoted_in_the_reason(self, workspace, champion):
        labels = FakeLabeller(lambda text: ValueError(f"bad {text!r}") if "poison" in text else None)
        worker.label_pages(workspace.database, champion, labels)
        reasons = {letter.reason for letter in dead_letters.list_dead_letters(workspace)}
        assert reasons == {"ValueError: (the message quotes the text)"}

    @pytest.mark.usefixtures("waiting")
    def test_is_not_blamed_if_long_texts_exhaust_the_memory(self, workspace, champion):
        """An engine may raise another error than MemoryError; then a harmless text of the same length fails too."""
        labels = FakeLabeller(lambda text: RuntimeError("out of memory") if len(text) >= 8 else None)
        with pytest.raises(RuntimeError, match="memory"):
            worker.label_pages(workspace.database, champion, labels)
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 0

    @pytest.mark.usefixtures("waiting")
    def test_is_listed_and_queued_again_by_the_command(self, workspace, champion, classifier):
        broken = FakeLabeller(lambda text: RuntimeError("no") if "poison" in text else None)
        worker.label_pages(workspace.database, champion, broken)
        address = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
        listed = json.loads(classifier("dead-letters", "--json", **address).stdout)
        assert [(row["source"], row["external_id"], row["model"]) for row in listed] == [
            ("x", "a3", "m1"), ("x", "a11", "m1"), ("x", "a12", "m1"),
        ]  # fmt: skip
        assert set(listed[0]) == {"article_id", "source", "external_id", "model", "reason", "failed_at"}
        shown = classifier("dead-letters", "list", "--model", "champion", **address).stdout
        assert "RuntimeError: no" in shown
        assert "poison" not in shown
        unknown = classifier("dead-letters", "retry", "--model", "m9", **address)
        assert (unknown.returncode, unknown.stderr) == (2, "error: m9: no such model; see: classifier models\n")
        others = classifier("dead-letters", "retry", "--source", "other", "--json", **address)
        assert json.loads(others.stdout) == {"dead_letters": 0, "enqueued": 0}
        retried = classifier("dead-letters", "retry", "--json", **address)
        assert json.loads(retried.stdout) == {"dead_letters": 3, "enqueued": 3}
        assert worker.label_pages(workspace.database, champion, FakeLabeller()).labelled == 3
        assert classifier("dead-letters", **address).stdout == "Dead letters: none\n"

    @pytest.mark.usefixtures("waiting")
    def test_of_a_former_model_is_not_queued_again_if_the_champion_has_labelled_it(self, workspace, champion):
        worker.label_pages(
            workspace.database, champion, FakeLabeller(lambda text: RuntimeError("no") if "poison" in text else None)
        )
        make_champion(workspace, "m2", 7)
        queue.label_queue(workspace)
        assert dead_letters.retry_dead_letters(workspace) == dead_letters.RetriedDeadLetters(3, 0)

    @pytest.mark.usefixtures("waiting")
    def test_counts_towards_the_limit(self, workspace, champion):
        labels = FakeLabeller(lambda text: RuntimeError("no") if "poison" in text else None)
        report = worker.label_pages(workspace.database, champion, labels, page_size=3, limit=12)
        assert (report.labelled, report.dead) == (10, 2)

    @pytest.mark.usefixtures("waiting")
    @pytest.mark.parametrize("error", [MemoryError(), OSError("no device"), KeyboardInterrupt()])
    def test_is_not_blamed_for_a_fault_of_the_machine(self, workspace, champion, error):
        before = dump(workspace.database)
        with pytest.raises(type(error)):
            worker.label_pages(
                workspace.database, champion, FakeLabeller(lambda text: error if "poison 12" in text else None)
            )
        assert dump(workspace.database) == before

    @pytest.mark.usefixtures("waiting")
    def test_is_not_blamed_if_the_model_fails_for_every_text(self, workspace, champion):
        """Otherwise such a model would turn the complete queue into dead letters."""
        before = dump(workspace.database)
        with pytest.raises(RuntimeError, match="no kernel"):
            worker.label_pages(workspace.database, champion, FakeLabeller(lambda _: RuntimeError("no kernel")))
        assert dump(workspace.database) == before
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 0


@pytest.mark.slow
def test_one_of_ten_thousand_articles_breaks_the_engine(workspace, tmp_path, champion, monkeypatch):
    """The engine of a real model raises for every batch with the article's word pieces."""
    rows = unlabelled(10_000)
    rows[7_777]["text"] = "shares goal chip shares goal chip"
    ingest_file(workspace, tmp_path / "x.csv", rows)
    files = registry.open_artefact(champion)
    (poison,) = files.tokenization().pieces([rows[7_777]["text"]])
    chosen = engines.choose_engine(files.load(), engine="openvino")

    class FailingEngine:
        name, dtype, device, shape = chosen.name, chosen.dtype, chosen.device, chosen.shape

        def probabilities(self, tokens, mask):
            if (tokens[:, : len(poison)] == poison).all(axis=1).any():
                raise RuntimeError("the kernel failed")
            return chosen.probabilities(tokens, mask)

    monkeypatch.setattr(engines, "choose_engine", lambda *_, **__: FailingEngine())
    report = queue.label_queue(workspace)
    assert (report.labelled, report.dead_letters, report.waiting) == (9_999, 1, 0)
    (letter,) = dead_letters.list_dead_letters(workspace)
    assert (letter.external_id, letter.reason) == ("a7777", "RuntimeError: the kernel failed")
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 9_999


class TestNewChampion:
    @pytest.mark.usefixtures("champion")
    def test_takes_over_during_a_run(self, workspace, tmp_path, labellings):
        ingest_file(workspace, tmp_path / "x.csv", articles(9) + unlabelled(200, prefix="u"))
        pages = []

        def promote_another(size):
            pages.append(size)
            if len(pages) == 3:
                make_champion(workspace, "m2", 7)

        report = queue.label_queue(workspace, page_size=20, on_page=promote_another)
        assert (report.model, report.waiting) == ("m2", 0)
        by_former = report.labelled - 200
        assert by_former in {60, 80, 100}, "at most two pages were claimed ahead of the promotion"
        by_model = query(workspace.database, "SELECT model, count(*) FROM article_labels GROUP BY 1 ORDER BY 1")
        assert by_model == [("m2", 200), (None, 9)]
        assert labellings() == [(1, 200 + by_former)]

    @pytest.mark.usefixtures("champion")
    def test_takes_over_after_the_last_page(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(20))
        report = queue.label_queue(
            workspace, on_page=lambda _: workspace.models.joinpath("m2").exists() or make_champion(workspace, "m2", 7)
        )
        assert (report.model, report.labelled) == ("m2", 40)

    @pytest.mark.usefixtures("champion")
    def test_takes_over_while_several_workers_label(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(300))
        with ThreadPoolExecutor(3) as pool:
            slowly = {"page_size": 5, "on_page": lambda _: time.sleep(0.1)}
            runs = [pool.submit(queue.label_queue, workspace, **slowly) for _ in range(2)]
            while value(workspace.database, "SELECT count(*) FROM predictions") < 50:
                time.sleep(0.01)
            make_champion(workspace, "m2", 7)
            for future in runs:
                assert future.result(timeout=HANG_S).model == "m2"
        assert query(workspace.database, "SELECT model, count(*) FROM article_labels GROUP BY 1") == [("m2", 300)]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0

    def test_that_is_rolled_back_restores_the_former_labels_at_once(self, workspace, tmp_path, champion):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = "SELECT article_id, label, confidence, model FROM article_labels ORDER BY 1"
        queue.label_queue(workspace)
        former = query(workspace.database, labels)
        make_champion(workspace, "m2", 7)
        assert {row[1] for row in query(workspace.database, labels)} == {None}
        queue.label_queue(workspace)
        assert [row[1:] for row in query(workspace.database, labels)] != [row[1:] for row in former]
        with workspace.database.begin() as connection:
            model_rows.make_champion(connection, champion.id)
        assert query(workspace.database, labels) == former
        assert queue.label_queue(workspace).labelled == 0

    def test_stops_a_worker_of_the_former_one(self, workspace, tmp_path, champion):
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(5))
        make_champion(workspace, "m2", 7)
        report = worker.label_pages(workspace.database, champion, FakeLabeller())
        assert (report.labelled, report.replaced) == (0, True)
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 5


def test_an_article_that_changes_while_it_is_in_the_model_is_labelled_again(workspace, tmp_path, champion):
    rows = unlabelled(30)
    ingest_file(workspace, tmp_path / "x.csv", rows)
    rows[4]["text"] = "goal goal goal"
    with ThreadPoolExecutor(1) as pool:
        ingesting = []

        def change(text):
            if not ingesting:
                ingesting.append(pool.submit(ingest_file, workspace, tmp_path / "x.csv", rows))
                wait = time.monotonic() + HANG_S
                while not value(workspace.database, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    assert time.monotonic() < wait

        labels = FakeLabeller(change)
        first = worker.label_pages(workspace.database, champion, labels, limit=30)
        ingesting[0].result(timeout=HANG_S)
        assert value(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a4'") is None
        second = worker.label_pages(workspace.database, champion, labels)
    assert (first.labelled, second.labelled) == (30, 1)
    rows = query(
        workspace.database,
        "SELECT predictions.revision FROM predictions JOIN articles ON id = article_id WHERE external_id = 'a4'",
    )
    assert rows == [(2,)]


def test_without_a_champion_labelling_is_refused(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
    with pytest.raises(NoChampionError, match="classifier train, evaluate, promote"):
        queue.label_queue(workspace)
    assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 3


def test_a_champion_whose_files_changed_labels_nothing(workspace, tmp_path, champion):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
    path = workspace.models / "m1" / "config.json"
    path.write_text(path.read_text().replace("sport", "spurt"))
    with pytest.raises(ArtefactError, match="sha256"):
        queue.label_queue(workspace)
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 0


def test_the_champion_read_from_the_database_equals_the_registered_model(workspace, champion):
    with workspace.database.connect() as connection:
        read = model_rows.champion(connection)
    assert (read.name, read.categories, read.status) == ("m1", CATEGORIES, "champion")
