"""Everything that waits is labelled once, whatever dies, breaks or changes meanwhile."""

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
from classifier.labelling import claims as claims_module
from classifier.labelling import worker
from classifier.labelling.claims import Claims
from classifier.pipeline.labelling import dead_letters, queue
from classifier.store import labelling_queue, reads, writes
from classifier.store.labelling_queue import Selection
from tests.support import killing
from tests.support.synthetic import articles, crown, dump, query, run, take_in, unlabelled, value
from tests.support.tiny_models import CATEGORIES
from tests.support.waiting import HANG_S, wait_for


@pytest.fixture
def champion(workspace):
    return crown(workspace, "m1", 0)


class Fake:
    """Labels that sometimes raise; the others are all of the second category."""

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


def test_everything_that_waits_is_labelled(workspace, tmp_path, champion, labellings):
    take_in(workspace, tmp_path / "x.csv", articles(9) + unlabelled(300, prefix="u"))
    started, pages = [], []
    report = queue.label_queue(workspace, page_size=64, on_start=started.append, on_page=pages.append)
    assert (report.model, report.labelled, report.dead_letters, report.waiting) == ("m1", 300, 0, 0)
    assert started == [300]
    assert pages == [64, 64, 64, 64, 44]
    assert report.articles_per_second > 0
    assert labellings() == [(1, 300)]
    found = query(
        workspace.database,
        "SELECT label, origin, confidence, model FROM article_labels WHERE origin = 'prediction'",
    )
    assert len(found) == 300
    assert {row[0] for row in found} <= set(CATEGORIES)
    assert {row[3] for row in found} == {"m1"}
    assert value(workspace.database, "SELECT count(*) FROM article_labels WHERE origin = 'annotation'") == 9


def test_probabilities_are_those_of_the_model_and_add_up_to_one(workspace, tmp_path, champion):
    from classifier.inference.labeller import Labeller

    take_in(workspace, tmp_path / "x.csv", unlabelled(50))
    queue.label_queue(workspace, page_size=7, engine="openvino")
    found = query(
        workspace.database,
        "SELECT text, category, confidence, probabilities FROM predictions JOIN articles ON id = article_id",
    )
    files = registry.open_artefact(champion)
    labeller = Labeller.of(files, engines.choose_engine(files, engine="openvino"))
    expected = labeller.probabilities([row[0] for row in found])
    stored = np.array([row[3] for row in found], dtype=np.float32)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_allclose(stored.sum(axis=1), 1, atol=1e-5)
    assert [row[1] for row in found] == [champion.categories[best] for best in expected.argmax(axis=1)]
    np.testing.assert_array_equal(np.array([row[2] for row in found], dtype=np.float32), expected.max(axis=1))
    assert len({row[1] for row in found}) > 1, "the model tells the texts apart"


def test_a_limit_is_kept_and_the_rest_waits(workspace, tmp_path, champion):
    take_in(workspace, tmp_path / "x.csv", unlabelled(50))
    report = queue.label_queue(workspace, limit=20, page_size=8)
    assert (report.labelled, report.waiting) == (20, 30)
    assert queue.label_queue(workspace).labelled == 30
    assert queue.label_queue(workspace) == queue.LabellingReport("m1", 0, 0, 0, pytest.approx(0, abs=5), report.engine)


def test_two_workers_share_the_queue_and_label_each_article_once(workspace, tmp_path, champion, labellings):
    take_in(workspace, tmp_path / "x.csv", unlabelled(400))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(queue.label_queue, workspace, page_size=10) for _ in range(2)]
        reports = [one.result(timeout=HANG_S) for one in runs]
    assert sum(report.labelled for report in reports) == 400
    assert labellings() == [(1, 400)]


def test_two_workers_have_pages_of_their_own_at_the_same_time(workspace, tmp_path, champion, labellings):
    take_in(workspace, tmp_path / "x.csv", unlabelled(400))
    meeting = Barrier(2, timeout=HANG_S)

    class Meeting(Fake):
        def run(self, texts):
            if not self.calls:
                meeting.wait()  # each is in the model with its first page
            return super().run(texts)

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(worker.label_pages, workspace.database, champion, Meeting(), page_size=10) for _ in range(2)
        ]
        assert sum(one.result(timeout=HANG_S).labelled for one in runs) == 400
    assert labellings() == [(1, 400)]


class TestPipeline:
    """While one page is in the model, the next is claimed and tokenised and the one before is written."""

    def test_the_next_page_is_claimed_and_the_last_one_written_while_one_is_in_the_model(
        self, workspace, tmp_path, champion, labellings
    ):
        take_in(workspace, tmp_path / "x.csv", unlabelled(30))
        third_prepared = Event()

        class Patient(Fake):
            def prepare(self, texts):
                if texts[0].endswith("a20"):
                    third_prepared.set()
                return texts

            def run(self, texts):
                if texts[0].endswith("a10"):
                    assert third_prepared.wait(HANG_S), "the third page is claimed while the second is in the model"
                    wait_for(lambda: value(workspace.database, "SELECT count(*) FROM predictions") == 10)
                return super().run(texts)

        done = worker.label_pages(workspace.database, champion, Patient(), page_size=10)
        assert (done.labelled, labellings()) == (30, [(1, 30)])

    @pytest.mark.parametrize("error", [OSError("no device"), KeyboardInterrupt()])
    def test_an_error_in_the_model_frees_every_page_that_is_not_written(self, workspace, tmp_path, champion, error):
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = Fake(lambda text: error if text.endswith("a25") else None)
        with pytest.raises(type(error)):
            worker.label_pages(workspace.database, champion, labels, page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 20
        with workspace.database.begin() as connection:
            assert len(labelling_queue.claim(connection, champion.id, 50, labelling_queue.Selection())[0]) == 30

    def test_an_error_of_a_claim_ends_the_worker_after_the_pages_before_it(self, workspace, tmp_path, champion):
        take_in(workspace, tmp_path / "x.csv", unlabelled(30))

        class Forgetful(Fake):
            def prepare(self, texts):
                if texts[0].endswith("a20"):
                    raise MemoryError
                return texts

        with pytest.raises(MemoryError):
            worker.label_pages(workspace.database, champion, Forgetful(), page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 20
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 10

    def test_an_error_of_a_write_frees_the_pages_behind_it(self, workspace, tmp_path, champion, monkeypatch):
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        whole, pages = writes.write_predictions, []

        def fail(*arguments):
            pages.append(arguments)
            if len(pages) == 2:
                raise OSError("the disk is full")
            whole(*arguments)

        monkeypatch.setattr(writes, "write_predictions", fail)
        with pytest.raises(OSError, match="disk"):
            worker.label_pages(workspace.database, champion, Fake(), page_size=10)
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 10
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 40

    def test_a_limit_holds_for_pages_that_are_claimed_ahead(self, workspace, tmp_path, champion):
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = Fake()
        assert worker.label_pages(workspace.database, champion, labels, page_size=10, limit=25).labelled == 25
        assert labels.calls == [10, 10, 5]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 25

    def test_pages_get_smaller_where_the_model_is_slow(self, workspace, champion):
        claims = Claims(workspace.database, champion, Fake(), page_size=1000)
        assert claims._size() == 256
        claims.note(256, 0.5)
        assert claims._size() == 1000
        claims.note(1000, 100)
        assert claims._size() == 300, "half a minute of it"

    def test_a_rate_is_kept_by_waiting_between_claims(self, workspace, tmp_path, champion, monkeypatch):
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        monkeypatch.setattr(claims_module.time, "monotonic", lambda: 100.0)
        claims = Claims(workspace.database, champion, Fake(), page_size=1000, max_rate=4)
        waits = []
        monkeypatch.setattr(claims._stopped, "wait", waits.append)
        pages = [claims.next() for _ in range(3)]
        for page in pages:
            page.release()
        assert [len(page.articles) for page in pages] == [20, 20, 10], "five seconds' worth at most"
        assert waits == [0, 5, 10]


class TestSelection:
    @pytest.fixture
    def some(self, workspace, tmp_path, champion):  # noqa: ARG002 - it is there
        """Thirty articles of the champion's backlog that is not enqueued, and ten new ones of another source."""
        take_in(workspace, tmp_path / "old.csv", unlabelled(30))
        run(workspace.database, "DELETE FROM labelling_queue")
        take_in(workspace, tmp_path / "new.csv", unlabelled(10, prefix="new", seed=3))
        run(workspace.database, "UPDATE articles SET published_at = '2026-01-01' WHERE external_id LIKE 'new%5'")
        return lambda: dict(query(workspace.database, LABELLED_BY_SOURCE))

    def test_new_articles_go_before_a_backlog_that_is_not_even_looked_at(self, workspace, some):
        assert queue.label_queue(workspace, limit=10).labelled == 10
        assert some() == {"new": 10}
        assert value(workspace.database, "SELECT backfilled_to FROM models") == 0
        totals = []
        assert queue.label_queue(workspace, on_start=totals.append).labelled == 30
        assert totals == [0, 30]
        assert some() == {"new": 10, "old": 30}

    def test_new_articles_alone(self, workspace, some):
        assert queue.label_queue(workspace, selection=Selection(backfill=False)).labelled == 10
        assert some() == {"new": 10}

    def test_the_backfill_alone(self, workspace, some):
        assert queue.label_queue(workspace, selection=Selection(new=False)).labelled == 30
        assert some() == {"old": 30}

    def test_articles_of_one_source(self, workspace, some):
        report = queue.label_queue(workspace, selection=Selection(source="old"), page_size=7)
        assert (report.labelled, some(), report.waiting) == (30, {"old": 30}, 10)

    def test_articles_since_a_day(self, workspace, some):
        report = queue.label_queue(workspace, selection=Selection(since=datetime(2026, 6, 1, tzinfo=UTC)), page_size=7)
        assert (report.labelled, some(), report.waiting) == (39, {"new": 9, "old": 30}, 1)

    def test_is_told_on_the_command_line(self, workspace, some, classifier):
        environment = {
            "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
            "CLASSIFIER_HOME": str(workspace.settings.home),
        }
        options = ("--no-backfill", "--source", "new", "--since", "2026-06-01", "--max-rate", 100_000, "--json")
        done = classifier("label", *options, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["labelled"] == 9
        assert some() == {"new": 9}
        assert json.loads(classifier("label", "--backfill", "--json", **environment).stdout)["labelled"] == 30
        assert json.loads(classifier("label", "--json", **environment).stdout)["labelled"] == 1


LABELLED_BY_SOURCE = "SELECT source, count(*) FROM predictions JOIN articles ON id = article_id GROUP BY 1 ORDER BY 1"


class TestFault:
    """What may pass is tried again, with longer and longer waits, and is never blamed on an article."""

    @pytest.fixture
    def waits(self, workspace, tmp_path, champion, monkeypatch):  # noqa: ARG002 - it is there
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        found = []
        monkeypatch.setattr(queue.time, "sleep", found.append)
        return found

    @pytest.fixture
    def labels(self, monkeypatch):
        def use(raises):
            monkeypatch.setattr(queue.Labeller, "of", lambda *_, **__: Fake(raises))

        return use

    def test_is_tried_again_from_where_it_was(self, workspace, waits, labels, labellings):
        faults = [OSError("gone"), MemoryError(), OSError("gone")]
        labels(lambda text: faults.pop() if text.endswith("a25") and faults else None)
        report = queue.label_queue(workspace, page_size=10)
        assert (report.labelled, report.dead_letters, waits) == (50, 0, [1, 2, 4])
        assert labellings() == [(1, 50)]

    def test_that_stays_is_raised_in_the_end(self, workspace, waits, labels):
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
                ended.append(query(workspace.database, END_THE_OTHERS))

        labels(end)
        assert queue.label_queue(workspace, page_size=10).labelled >= 40, "what was committed is not counted twice"
        assert waits == [1]
        assert labellings() == [(1, 50)]

    @pytest.mark.usefixtures("waits")
    def test_a_limit_counts_what_was_committed_before_it(self, workspace, labels):
        faults = [OSError("gone")]
        labels(lambda text: faults.pop() if text.endswith("a15") and faults else None)
        assert queue.label_queue(workspace, page_size=10, limit=30).labelled == 30
        assert value(workspace.database, "SELECT count(*) FROM predictions") == 30


END_THE_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_and_doubles_nothing(workspace, tmp_path, champion, labellings):
    """`kill -9` at four random moments, before or after any of the statements, then a run to the end."""
    take_in(workspace, tmp_path / "x.csv", unlabelled(2500))
    environment = {
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
    }
    generator = random.Random(os.getpid())
    done = "SELECT count(*) FROM predictions"
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
    assert value(workspace.database, done) == 2500
    assert labellings() == [(1, 2500)]


class TestBrokenArticle:
    @pytest.fixture
    def waiting(self, workspace, tmp_path):
        rows = unlabelled(20)
        for number in (3, 11, 12):
            rows[number]["text"] = f"poison {number}"
        take_in(workspace, tmp_path / "x.csv", rows)
        return rows

    @pytest.mark.usefixtures("waiting")
    def test_becomes_a_dead_letter_and_its_neighbours_are_labelled(self, workspace, champion):
        labels = Fake(lambda text: RuntimeError(f"cannot\nread {text}") if "poison" in text else None)
        done = worker.label_pages(workspace.database, champion, labels, page_size=16)
        assert (done.labelled, done.dead, done.replaced) == (17, 3, False)
        dead = query(
            workspace.database,
            "SELECT external_id, dead_letters.revision, reason "
            "FROM dead_letters JOIN articles ON id = article_id ORDER BY 1",
        )
        assert dead == [(f"a{number}", 1, "RuntimeError: cannot") for number in (11, 12, 3)]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0
        assert value(workspace.database, "SELECT count(*) FROM predictions WHERE category = 'sport'") == 17

    def test_is_tried_again_when_its_text_changes(self, workspace, tmp_path, champion, waiting):
        labels = Fake(lambda text: RuntimeError("no") if "poison" in text else None)
        worker.label_pages(workspace.database, champion, labels)
        waiting[3]["text"] = "harmless"
        take_in(workspace, tmp_path / "x.csv", waiting)
        assert [letter.external_id for letter in dead_letters.list_dead_letters(workspace)] == ["a11", "a12"]
        assert worker.label_pages(workspace.database, champion, labels).labelled == 1
        assert value(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a3'") == "sport"
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 2

    @pytest.mark.usefixtures("waiting")
    def test_is_found_when_it_breaks_the_tokenizer(self, workspace, champion):
        class Choking(Fake):
            def prepare(self, texts):
                if any("poison" in text for text in texts):
                    raise ValueError("cannot be tokenised")
                return texts

        done = worker.label_pages(workspace.database, champion, Choking(), page_size=16)
        assert (done.labelled, done.dead) == (17, 3)

    @pytest.mark.usefixtures("waiting")
    def test_is_not_quoted_in_the_reason(self, workspace, champion):
        labels = Fake(lambda text: ValueError(f"bad {text!r}") if "poison" in text else None)
        worker.label_pages(workspace.database, champion, labels)
        reasons = {letter.reason for letter in dead_letters.list_dead_letters(workspace)}
        assert reasons == {"ValueError: (what it says quotes the text)"}

    @pytest.mark.usefixtures("waiting")
    def test_is_not_what_a_lack_of_memory_for_long_texts_makes_of_it(self, workspace, champion):
        """An engine may call it something else than MemoryError: a harmless text as long fails as well."""
        labels = Fake(lambda text: RuntimeError("out of memory") if len(text) >= 8 else None)
        with pytest.raises(RuntimeError, match="memory"):
            worker.label_pages(workspace.database, champion, labels)
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 0

    @pytest.mark.usefixtures("waiting")
    def test_is_listed_and_tried_again_when_asked(self, workspace, champion, classifier):
        broken = Fake(lambda text: RuntimeError("no") if "poison" in text else None)
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
        nobody = classifier("dead-letters", "retry", "--model", "nobody", **address)
        assert (nobody.returncode, nobody.stderr) == (2, "error: nobody: no such model; see: classifier models\n")
        others = classifier("dead-letters", "retry", "--source", "other", "--json", **address)
        assert json.loads(others.stdout) == {"dead_letters": 0, "enqueued": 0}
        retried = classifier("dead-letters", "retry", "--json", **address)
        assert json.loads(retried.stdout) == {"dead_letters": 3, "enqueued": 3}
        assert worker.label_pages(workspace.database, champion, Fake()).labelled == 3
        assert classifier("dead-letters", **address).stdout == "Dead letters: none\n"

    @pytest.mark.usefixtures("waiting")
    def test_of_a_former_model_does_not_wait_again_once_the_champion_has_labelled_it(self, workspace, champion):
        worker.label_pages(
            workspace.database, champion, Fake(lambda text: RuntimeError("no") if "poison" in text else None)
        )
        crown(workspace, "m2", 7)
        queue.label_queue(workspace)
        assert dead_letters.retry_dead_letters(workspace) == dead_letters.RetriedDeadLetters(3, 0)

    @pytest.mark.usefixtures("waiting")
    def test_counts_towards_the_limit(self, workspace, champion):
        labels = Fake(lambda text: RuntimeError("no") if "poison" in text else None)
        done = worker.label_pages(workspace.database, champion, labels, page_size=3, limit=12)
        assert (done.labelled, done.dead) == (10, 2)

    @pytest.mark.usefixtures("waiting")
    @pytest.mark.parametrize("error", [MemoryError(), OSError("no device"), KeyboardInterrupt()])
    def test_is_not_what_a_fault_of_the_machine_makes_of_it(self, workspace, champion, error):
        before = dump(workspace.database)
        with pytest.raises(type(error)):
            worker.label_pages(workspace.database, champion, Fake(lambda text: error if "poison 12" in text else None))
        assert dump(workspace.database) == before

    @pytest.mark.usefixtures("waiting")
    def test_is_not_what_a_broken_model_makes_of_all_of_them(self, workspace, champion):
        """A model that labels nothing at all would otherwise bury the whole queue."""
        before = dump(workspace.database)
        with pytest.raises(RuntimeError, match="no kernel"):
            worker.label_pages(workspace.database, champion, Fake(lambda _: RuntimeError("no kernel")))
        assert dump(workspace.database) == before
        assert value(workspace.database, "SELECT count(*) FROM dead_letters") == 0


@pytest.mark.slow
def test_of_ten_thousand_articles_one_breaks_the_engine(workspace, tmp_path, champion, monkeypatch):
    """A real model, whose engine raises wherever the article's word pieces are in its batch."""
    rows = unlabelled(10_000)
    rows[7_777]["text"] = "shares goal chip shares goal chip"
    take_in(workspace, tmp_path / "x.csv", rows)
    files = registry.open_artefact(champion)
    (poison,) = files.tokenization().pieces([rows[7_777]["text"]])
    chosen = engines.choose_engine(files, engine="openvino")

    class Breaking:
        name, precision, device = chosen.name, chosen.precision, chosen.device

        def probabilities(self, tokens, mask):
            if (tokens[:, : len(poison)] == poison).all(axis=1).any():
                raise RuntimeError("the kernel failed")
            return chosen.probabilities(tokens, mask)

    monkeypatch.setattr(engines, "choose_engine", lambda *_, **__: Breaking())
    report = queue.label_queue(workspace)
    assert (report.labelled, report.dead_letters, report.waiting) == (9_999, 1, 0)
    (letter,) = dead_letters.list_dead_letters(workspace)
    assert (letter.external_id, letter.reason) == ("a7777", "RuntimeError: the kernel failed")
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 9_999


class TestNewChampion:
    @pytest.mark.usefixtures("champion")
    def test_takes_over_in_the_middle_of_a_run(self, workspace, tmp_path, labellings):
        take_in(workspace, tmp_path / "x.csv", articles(9) + unlabelled(200, prefix="u"))
        pages = []

        def promote_another(size):
            pages.append(size)
            if len(pages) == 3:
                crown(workspace, "m2", 7)

        report = queue.label_queue(workspace, page_size=20, on_page=promote_another)
        assert (report.model, report.waiting) == ("m2", 0)
        by_former = report.labelled - 200
        assert by_former in {60, 80, 100}, "at most two pages were claimed ahead of the promotion"
        by_model = query(workspace.database, "SELECT model, count(*) FROM article_labels GROUP BY 1 ORDER BY 1")
        assert by_model == [("m2", 200), (None, 9)]
        assert labellings() == [(1, 200 + by_former)]

    @pytest.mark.usefixtures("champion")
    def test_takes_over_when_nothing_waits_any_more(self, workspace, tmp_path):
        take_in(workspace, tmp_path / "x.csv", unlabelled(20))
        report = queue.label_queue(
            workspace, on_page=lambda _: workspace.models.joinpath("m2").exists() or crown(workspace, "m2", 7)
        )
        assert (report.model, report.labelled) == ("m2", 40)

    @pytest.mark.usefixtures("champion")
    def test_takes_over_while_several_workers_are_at_it(self, workspace, tmp_path):
        take_in(workspace, tmp_path / "x.csv", unlabelled(300))
        with ThreadPoolExecutor(3) as pool:
            slowly = {"page_size": 5, "on_page": lambda _: time.sleep(0.1)}
            runs = [pool.submit(queue.label_queue, workspace, **slowly) for _ in range(2)]
            while value(workspace.database, "SELECT count(*) FROM predictions") < 50:
                time.sleep(0.01)
            crown(workspace, "m2", 7)
            for one in runs:
                assert one.result(timeout=HANG_S).model == "m2"
        assert query(workspace.database, "SELECT model, count(*) FROM article_labels GROUP BY 1") == [("m2", 300)]
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0

    def test_that_is_taken_back_gives_the_former_labels_back_at_once(self, workspace, tmp_path, champion):
        take_in(workspace, tmp_path / "x.csv", unlabelled(50))
        labels = "SELECT article_id, label, confidence, model FROM article_labels ORDER BY 1"
        queue.label_queue(workspace)
        former = query(workspace.database, labels)
        crown(workspace, "m2", 7)
        assert {row[1] for row in query(workspace.database, labels)} == {None}
        queue.label_queue(workspace)
        assert [row[1:] for row in query(workspace.database, labels)] != [row[1:] for row in former]
        with workspace.database.begin() as connection:
            writes.make_champion(connection, champion.id)
        assert query(workspace.database, labels) == former
        assert queue.label_queue(workspace).labelled == 0

    def test_stops_a_worker_of_the_former_one(self, workspace, tmp_path, champion):
        take_in(workspace, tmp_path / "x.csv", unlabelled(5))
        crown(workspace, "m2", 7)
        done = worker.label_pages(workspace.database, champion, Fake())
        assert (done.labelled, done.replaced) == (0, True)
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 5


def test_an_article_that_changes_while_it_is_in_the_model_is_labelled_again(workspace, tmp_path, champion):
    rows = unlabelled(30)
    take_in(workspace, tmp_path / "x.csv", rows)
    rows[4]["text"] = "goal goal goal"
    with ThreadPoolExecutor(1) as pool:
        ingesting = []

        def change(text):
            if not ingesting:
                ingesting.append(pool.submit(take_in, workspace, tmp_path / "x.csv", rows))
                wait = time.monotonic() + HANG_S
                while not value(workspace.database, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    assert time.monotonic() < wait

        labels = Fake(change)
        first = worker.label_pages(workspace.database, champion, labels, limit=30)
        ingesting[0].result(timeout=HANG_S)
        assert value(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a4'") is None
        second = worker.label_pages(workspace.database, champion, labels)
    assert (first.labelled, second.labelled) == (30, 1)
    found = query(
        workspace.database,
        "SELECT predictions.revision FROM predictions JOIN articles ON id = article_id WHERE external_id = 'a4'",
    )
    assert found == [(2,)]


def test_without_a_champion_there_is_nothing_to_label_with(workspace, tmp_path):
    take_in(workspace, tmp_path / "x.csv", unlabelled(3))
    with pytest.raises(NoChampionError, match="classifier train, evaluate, promote"):
        queue.label_queue(workspace)
    assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 3


def test_with_a_champion_whose_files_changed_nothing_is_labelled(workspace, tmp_path, champion):
    take_in(workspace, tmp_path / "x.csv", unlabelled(3))
    path = workspace.models / "m1" / "config.json"
    path.write_text(path.read_text().replace("sport", "spurt"))
    with pytest.raises(ArtefactError, match="sha256"):
        queue.label_queue(workspace)
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 0


def test_the_champion_is_read_from_the_database_as_it_was_registered(workspace, champion):
    with workspace.database.connect() as connection:
        found = reads.champion(connection)
    assert (found.name, found.categories, found.status) == ("m1", CATEGORIES, "champion")
