"""Doubtful annotations: which are listed, how they are queued and checked, and that test articles are checked blind."""

from __future__ import annotations

import csv
import json
import logging
import time
from dataclasses import asdict

import numpy as np
import pytest
from sqlalchemy import text

from classifier.articles import Model, QueuedArticle
from classifier.evaluation import out_of_fold
from classifier.exceptions import ArtefactError, ErasureError, NoChampionError, QueueChangedError, ReviewError
from classifier.pipeline.categories import changes
from classifier.pipeline.erasure import erase
from classifier.pipeline.erasure.selection import Selection
from classifier.pipeline.monitoring import status
from classifier.pipeline.review import annotation, annotation_checks, doubtful_articles, review_queue, sheets
from classifier.store import annotated_articles, model_rows, queries, reviews
from tests.support.multi_label import add_champion, add_task
from tests.support.predictions import CATEGORIES, label, write_predictions
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, add_model, annotate, ingest_file, make_champion, query, run, value

WORDS = {
    "a": ["gold", "bullion", "ounce", "mine", "metal", "ore"],
    "b": ["wheat", "corn", "bushel", "harvest", "crop", "barley"],
}
SPLITS = ("train", "train", "validation", "test")


def make_text(generator, categories, number):
    words = [word for name in categories for word in generator.choice(WORDS[name], 6)]
    return " ".join([*words, "the", "said", "year", f"number{number}"])


@pytest.fixture
def corpus(workspace):
    """Return the ids, truths and splits of 160 annotated articles; one train and one test annotation are wrong."""
    generator = np.random.default_rng(0)
    truths = ["ab"[n // 4 % 2] for n in range(160)]
    splits = [SPLITS[n % 4] for n in range(160)]
    rows = [(f"{n}", make_text(generator, truths[n], n), splits[n]) for n in range(160)]
    with workspace.database.begin() as connection:
        ids = add_articles(connection, rows)
        for n, article_id in enumerate(ids):
            wrong = n in {8, 11}
            annotate(connection, article_id, "ab"[("ab".index(truths[n]) + wrong) % 2], "source:s")
    return ids, truths, splits


@pytest.fixture
def champion(workspace, corpus):
    """Make a model champion whose stored predictions are correct."""
    ids, truths, _ = corpus
    return add_correct_champion(workspace, ids, truths)


def add_correct_champion(workspace, ids, truths, name="m1"):
    with workspace.database.begin() as connection:
        model = Model(add_model(connection, name), name, "", "", "", CATEGORIES)
        probabilities = np.array([(0.9, 0.1) if truth == "a" else (0.1, 0.9) for truth in truths], np.float32)
        write_predictions(connection, model, [QueuedArticle(each, 1, "") for each in ids], probabilities)
        model_rows.make_champion(connection, model.id)
    return model


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def waiting(workspace):
    with workspace.database.connect() as connection:
        rows = connection.execute(
            queries.query("waiting_reviews"),
            {"task_id": 1, "model_id": value(workspace.database, "SELECT id FROM models WHERE status = 'champion'")},
        )
        return {row.article_id: row.reasons for row in rows}


def queued(workspace, reason):
    rows = query(workspace.database, "SELECT article_id FROM review_queue WHERE reason = :reason", reason=reason)
    return {article_id for (article_id,) in rows}


def answer(workspace, article_id, category, annotator="ann"):
    annotation.save_answer(workspace, article_id, 1, [category], annotator=annotator)


def used(workspace, split):
    with workspace.database.connect() as connection:
        return {article.id: article.category for article in annotated_articles.load_split(connection, split)}


def run_before_prediction(monkeypatch, action):
    """Call `action` before the annotations of the next run are predicted, which may take minutes."""
    predict = out_of_fold.predict_out_of_fold

    def act_first(data):
        monkeypatch.setattr(out_of_fold, "predict_out_of_fold", predict)
        action()
        return predict(data)

    monkeypatch.setattr(out_of_fold, "predict_out_of_fold", act_first)


class TestMeanwhile:
    @pytest.mark.parametrize("check", [annotation_checks.list_doubtful, annotation_checks.queue_doubtful])
    @pytest.mark.usefixtures("champion")
    def test_no_article_is_erased(self, workspace, monkeypatch, check):
        refused = []

        def try_to_erase():
            with pytest.raises(ErasureError, match="a check of annotations is running"):
                erase.erase(workspace, Selection(external_ids=("8",), source="s"), yes=True)
            refused.append(True)

        run_before_prediction(monkeypatch, try_to_erase)
        check(workspace)
        assert refused

    @pytest.mark.parametrize("check", [annotation_checks.list_doubtful, annotation_checks.queue_doubtful])
    @pytest.mark.usefixtures("champion")
    def test_the_server_does_not_end_the_transaction_while_models_are_trained(self, workspace, monkeypatch, check):
        name = workspace.database.url.database
        run(workspace.database, f'ALTER DATABASE "{name}" SET idle_in_transaction_session_timeout = 1000')
        workspace.database.dispose()
        run_before_prediction(monkeypatch, lambda: time.sleep(2))
        check(workspace)

    @pytest.mark.usefixtures("champion")
    def test_a_second_run_that_queues_meanwhile_adds_no_further_control_articles(self, workspace, monkeypatch):
        run_before_prediction(monkeypatch, lambda: annotation_checks.queue_doubtful(workspace, scope="test", number=4))
        with pytest.raises(QueueChangedError, match="another run has queued doubtful articles meanwhile"):
            annotation_checks.queue_doubtful(workspace, scope="test", number=4)
        assert len(queued(workspace, "doubtful")) == len(queued(workspace, "control")) == 4
        again = annotation_checks.queue_doubtful(workspace, scope="test", number=4)
        assert (again.doubtful, again.control, again.waiting) == (0, 0, 8)

    @pytest.mark.usefixtures("champion")
    def test_answers_that_come_in_do_not_stop_a_run(self, workspace, monkeypatch, corpus):
        ids, truths, _ = corpus
        annotation_checks.queue_doubtful(workspace)
        run_before_prediction(monkeypatch, lambda: answer(workspace, ids[8], truths[8]))
        report = annotation_checks.queue_doubtful(workspace, scope="test", number=2)
        assert (report.doubtful, report.control, report.waiting) == (2, 2, 4)

    def test_a_new_champion_stops_a_run(self, workspace, monkeypatch, corpus):
        ids, truths, _ = corpus
        add_correct_champion(workspace, ids, truths)
        run_before_prediction(monkeypatch, lambda: add_correct_champion(workspace, ids, truths, "m2"))
        with pytest.raises(QueueChangedError, match="another model has become champion meanwhile"):
            annotation_checks.queue_doubtful(workspace)
        assert queued(workspace, "doubtful") == set()


class TestList:
    def test_the_most_doubtful_annotation_is_the_wrong_one(self, workspace, corpus):
        ids, truths, _ = corpus
        report = annotation_checks.list_doubtful(workspace, number=1)
        (article,) = report.articles
        assert (article.article_id, article.source, article.external_id) == (ids[8], "s", "8")
        assert (article.split, article.annotator) == ("train", "source:s")
        assert (article.annotated, article.suggested) == (("b",), (truths[8],))
        assert article.probability < 0.5
        assert (report.annotated, report.drawn, report.checked, report.assessed, report.estimated) == (80, 80, 0, 80, 1)
        assert (report.model, article.predicted, article.confidence) == (None, None, None)

    def test_the_default_length_is_the_estimated_number(self, workspace, corpus):
        report = annotation_checks.list_doubtful(workspace)
        assert [article.article_id for article in report.articles] == [corpus[0][8]]
        assert {row.category: row.doubtful for row in report.categories} == {"a": 0, "b": 1}
        assert sum(row.annotated for row in report.categories) == 80

    @pytest.mark.usefixtures("champion")
    def test_shows_the_champions_answer_and_the_annotations_of_the_nearest_articles(self, workspace, corpus):
        ids, truths, splits = corpus
        (article,) = annotation_checks.list_doubtful(workspace).articles
        assert (article.predicted, article.confidence) == ((truths[8],), pytest.approx(0.9))
        assert [near.categories for near in article.neighbours] == [("a",)] * annotation_checks.NEIGHBOURS
        assert all(0 < near.similarity <= 1 and near.article_id != ids[8] for near in article.neighbours)
        assert {splits[ids.index(near.article_id)] for near in article.neighbours} <= {"train", "validation"}

    @pytest.mark.usefixtures("champion")
    def test_missing_files_of_the_champion_are_reported(self, workspace):
        run(workspace.database, "DELETE FROM predictions")
        with pytest.raises(ArtefactError):  # the test's champion has no files
            annotation_checks.list_doubtful(workspace)

    def test_a_champion_computes_the_answers_that_it_needs(self, workspace, corpus, caplog):
        champion = make_champion(workspace, "m1", seed=0)
        with caplog.at_level(logging.INFO, "classifier"):
            report = annotation_checks.list_doubtful(workspace, scope="test", number=2)
        assert corpus[0][11] in {article.article_id for article in report.articles}
        assert all({*article.predicted} <= {*champion.categories} for article in report.articles)
        assert "the champion classified 6 articles without a stored prediction" in caplog.text

    @pytest.mark.parametrize(("scope", "wrong"), [("test", [11]), ("validation", []), ("all", [8, 11])])
    @pytest.mark.usefixtures("champion")
    def test_lists_one_split_or_all(self, workspace, corpus, scope, wrong):
        report = annotation_checks.list_doubtful(workspace, scope=scope)
        assert {article.article_id for article in report.articles} == {corpus[0][n] for n in wrong}

    def test_the_champion_ranks_held_out_articles_too(self, workspace, corpus):
        """An article whose annotation the baseline finds as probable as others is the most doubtful one."""
        ids, truths, splits = corpus
        third = next(n for n in range(160) if splits[n] == "test" and n != 11)
        other = "b" if truths[third] == "a" else "a"
        add_correct_champion(workspace, ids, [*truths[:third], other, *truths[third + 1 :]])
        report = annotation_checks.list_doubtful(workspace, scope="test", number=20)
        assert [article.article_id for article in report.articles[:2]] == [ids[11], ids[third]]

    def test_an_unknown_split_and_a_split_without_annotations_are_reported(self, workspace):
        with pytest.raises(ReviewError, match=r"^split 'tests': unknown; choose from train, validation, test, all$"):
            annotation_checks.list_doubtful(workspace, scope="tests")
        with pytest.raises(ReviewError, match="the test split has no annotated article; run: classifier ingest"):
            annotation_checks.list_doubtful(workspace, scope="test")
        with pytest.raises(ReviewError, match="there is no annotated article"):
            annotation_checks.list_doubtful(workspace, scope="all")

    @pytest.mark.usefixtures("corpus")
    def test_equal_annotations_cannot_be_assessed(self, workspace):
        run(workspace.database, "UPDATE annotations SET categories = ARRAY['a']")
        report = annotation_checks.list_doubtful(workspace, scope="all", number=5)
        assert (report.assessed, report.estimated, report.articles) == (0, 0, ())
        assert report.obstacle == "two categories with several articles each are needed"

    @pytest.mark.parametrize(
        ("change", "obstacle"),
        [
            ("UPDATE annotations SET annotator = 'ann'", "people have checked all of them"),
            ("UPDATE articles SET text = 'word' || id || 'x'", "no term occurs in two texts"),
            (
                "DELETE FROM annotations USING articles WHERE articles.id = article_id AND split <> 'test'",
                "no article of the train and validation splits is annotated",
            ),
        ],
    )
    @pytest.mark.usefixtures("corpus")
    def test_states_why_nothing_could_be_assessed(self, workspace, command, change, obstacle):
        run(workspace.database, change)
        report = annotation_checks.list_doubtful(workspace, scope="test")
        assert (report.assessed, report.obstacle) == (0, obstacle)
        _, out, _ = command("review", "doubtful", "--split", "test")
        assert f"Doubtful annotations: none; none could be assessed: {obstacle}" in " ".join(out.split())

    @pytest.mark.usefixtures("corpus")
    def test_of_a_large_split_a_sample_is_drawn_and_stated(self, workspace, monkeypatch):
        monkeypatch.setattr("classifier.pipeline.review.doubtful_articles.MAX_ARTICLES", 50)
        first, again, other = (annotation_checks.list_doubtful(workspace, number=50, seed=seed) for seed in (1, 1, 2))
        assert (first.annotated, first.drawn, first.obstacle) == (80, 50, None)
        assert first.articles == again.articles
        assert {each.article_id for each in first.articles} != {each.article_id for each in other.articles}

    @pytest.mark.parametrize(("categories", "articles"), [(0, 30_000), (8, 30_000), (90, 30_000), (666, 6_006)])
    def test_with_many_categories_fewer_articles_are_assessed_since_each_category_is_trained(
        self, categories, articles
    ):
        assert doubtful_articles.sample_size(categories) == articles

    def test_articles_of_a_retired_category_are_neither_drawn_nor_counted(self, workspace, corpus, monkeypatch):
        ids, truths, splits = corpus
        corrected = [n for n in range(160) if splits[n] == "train" and truths[n] == "a" and n != 8][:4]
        with workspace.database.begin() as connection:
            for n in corrected:
                annotate(connection, ids[n], "b", "ann")
        changes.change_categories(workspace, "retire", ["a"], changed_by="ann")
        report = annotation_checks.list_doubtful(workspace)
        assert (report.annotated, report.drawn, report.checked) == (45, 45, 4)
        assert {row.category for row in report.categories} == {"b"}
        monkeypatch.setattr("classifier.pipeline.review.doubtful_articles.MAX_ARTICLES", 30)
        report = annotation_checks.list_doubtful(workspace)
        assert (report.annotated, report.drawn) == (45, 30)

    @pytest.mark.usefixtures("corpus")
    def test_only_a_few_texts_are_in_memory(self, workspace, monkeypatch):
        make_champion(workspace, "m1", seed=0)
        sizes, read = [], reviews.articles_by_id

        def read_articles(connection, ids):
            sizes.append(len(ids))
            return read(connection, ids)

        monkeypatch.setattr(reviews, "articles_by_id", read_articles)
        monkeypatch.setattr("classifier.store.annotation_checks.TEXTS_PER_FETCH", 16)
        assert len(annotation_checks.list_doubtful(workspace, scope="test", number=40).articles) == 40
        assert max(sizes) == 16

    def test_a_copy_does_not_vouch_for_a_wrong_annotation(self, workspace, tmp_path):
        generator = np.random.default_rng(1)
        rows = [
            {"id": f"{n}", "text": make_text(generator, "ab"[n % 2], n), "category": "ab"[n % 2]} for n in range(80)
        ]
        base = " ".join(make_text(generator, "a", n) for n in range(8))
        rows += [{"id": f"copy{n}", "text": f"{base} {n}", "category": "b"} for n in range(4)]
        ingest_file(workspace, tmp_path / "x.csv", rows)
        run(workspace.database, "UPDATE clusters SET split = 'train'; UPDATE articles SET split = 'train'")
        report = annotation_checks.list_doubtful(workspace, number=4)
        assert {article.external_id for article in report.articles} == {f"copy{n}" for n in range(4)}

    @pytest.mark.usefixtures("champion")
    def test_texts_are_neither_returned_nor_logged(self, workspace, caplog):
        with caplog.at_level(logging.DEBUG, "classifier"):
            report = annotation_checks.list_doubtful(workspace, scope="all", number=100)
        shown = json.dumps(asdict(report)) + caplog.text
        assert len(report.articles) == 100
        assert not any(word in shown for words in WORDS.values() for word in words)

    def test_a_statement_looks_articles_up_by_the_indexes(self, workspace):
        with workspace.database.begin() as connection:
            model = add_model(connection, "m")
            connection.execute(
                text(
                    "INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split) "
                    "SELECT 's', n, 'text', '', int8send(n), 'train' FROM generate_series(1, 20000) AS n; "
                    "INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, "
                    f"probabilities) SELECT id, {model}, 1, '{{1}}', 1, '{{1,0}}' FROM articles"
                )
            )
        with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        statement = queries.sql("stored_predictions")
        assert scanned(workspace.database, statement, ids=list(range(1, 500)), model_id=model) == set()


class TestQueue:
    @pytest.mark.usefixtures("champion")
    def test_train_articles_are_queued_as_doubtful_and_shown_without_annotation_and_prediction(
        self, workspace, corpus, tmp_path
    ):
        report = annotation_checks.queue_doubtful(workspace)
        assert (report.model, report.estimated, report.doubtful, report.control, report.waiting) == ("m1", 1, 1, 0, 1)
        assert waiting(workspace) == {corpus[0][8]: ["doubtful"]}
        question = annotation.next_question(workspace, "ann")
        assert (question.article.id, question.article.reason) == (corpus[0][8], "doubtful")
        assert (question.article.suggested, question.article.confidence, question.own_answer) == (None, None, None)
        sheets.export_sheet(workspace, tmp_path / "x.csv")
        (row,) = rows_of(tmp_path / "x.csv")
        assert (row["reason"], row["suggested"], row["confidence"], row["category"]) == ("doubtful", "", "", "")

    @pytest.mark.usefixtures("champion")
    def test_the_sample_is_stated(self, workspace, monkeypatch):
        monkeypatch.setattr("classifier.pipeline.review.doubtful_articles.MAX_ARTICLES", 50)
        report = annotation_checks.queue_doubtful(workspace, number=1)
        assert (report.annotated, report.drawn, report.doubtful) == (80, 50, 1)

    @pytest.mark.usefixtures("champion")
    def test_running_it_twice_adds_nothing(self, workspace):
        annotation_checks.queue_doubtful(workspace, scope="all", number=6)
        before = query(workspace.database, "SELECT * FROM review_queue ORDER BY 1, 4")
        again = annotation_checks.queue_doubtful(workspace, scope="all", number=6)
        assert (again.doubtful, again.control, again.waiting) == (0, 0, len(before))
        assert query(workspace.database, "SELECT * FROM review_queue ORDER BY 1, 4") == before

    @pytest.mark.usefixtures("corpus")
    def test_needs_a_champion(self, workspace):
        with pytest.raises(NoChampionError):
            annotation_checks.queue_doubtful(workspace)

    @pytest.mark.usefixtures("corpus")
    def test_filling_the_queue_is_not_affected(self, workspace, champion):
        with workspace.database.begin() as connection:
            ids = add_articles(connection, [(f"new{n}", f"new text {n} here", "train") for n in range(9)])
            write_predictions(
                connection, champion, [QueuedArticle(each, 1, "") for each in ids], np.full((9, 2), 0.5, np.float32)
            )
        annotation_checks.queue_doubtful(workspace, number=5)
        report = review_queue.fill_queue(workspace, number=5, audit=0)
        assert sum(report.added.values()) == 5

    @pytest.mark.usefixtures("champion")
    def test_the_status_counts_what_waits(self, workspace):
        annotation_checks.queue_doubtful(workspace, scope="test", number=3)
        assert status.read_status(workspace).review.waiting == {"control": 3, "doubtful": 3}


class TestDecision:
    @pytest.mark.usefixtures("champion")
    def test_a_confirmed_annotation_is_never_listed_and_queued_again(self, workspace, corpus):
        annotation_checks.queue_doubtful(workspace)
        answer(workspace, corpus[0][8], "b")
        assert waiting(workspace) == {}
        report = annotation_checks.list_doubtful(workspace, number=80)
        assert (report.checked, report.assessed) == (1, 79)
        assert corpus[0][8] not in {article.article_id for article in report.articles}
        annotation_checks.queue_doubtful(workspace, number=80)
        assert corpus[0][8] not in waiting(workspace)
        assert used(workspace, "train")[corpus[0][8]] == "b"

    @pytest.mark.usefixtures("champion")
    def test_a_corrected_annotation_supersedes_the_sources_and_keeps_it(self, workspace, corpus):
        ids, *_ = corpus
        annotation_checks.queue_doubtful(workspace)
        answer(workspace, ids[8], "a")
        assert used(workspace, "train")[ids[8]] == "a"
        annotations = query(
            workspace.database, "SELECT annotator, categories[1] FROM annotations WHERE article_id = :id ORDER BY id",
            id=ids[8],
        )  # fmt: skip
        assert annotations == [("source:s", "b"), ("ann", "a")]
        assert annotation_checks.list_doubtful(workspace).articles == ()

    @pytest.mark.usefixtures("champion")
    def test_a_model_changes_no_annotation(self, workspace):
        before = query(workspace.database, "SELECT * FROM annotations ORDER BY id")
        annotation_checks.queue_doubtful(workspace, scope="all", number=20)
        assert query(workspace.database, "SELECT * FROM annotations ORDER BY id") == before

    @pytest.mark.usefixtures("champion")
    def test_an_article_whose_text_became_another_one_waits_no_more(self, workspace):
        annotation_checks.queue_doubtful(workspace)
        run(workspace.database, "UPDATE articles SET revision = 2, content_revision = 2 WHERE external_id = '8'")
        assert waiting(workspace) == {}

    @pytest.mark.usefixtures("champion")
    def test_a_retracted_answer_lets_the_article_wait_again(self, workspace, corpus):
        annotation_checks.queue_doubtful(workspace)
        answer(workspace, corpus[0][8], "a")
        run(workspace.database, "UPDATE annotations SET retracted_at = now() WHERE annotator = 'ann'")
        assert set(waiting(workspace)) == {corpus[0][8]}


class TestBlindCheck:
    @pytest.mark.usefixtures("champion")
    def test_as_many_test_articles_are_drawn_at_random_as_are_doubtful(self, workspace, corpus):
        ids, _, splits = corpus
        report = annotation_checks.queue_doubtful(workspace, scope="test", number=4)
        doubtful, control = queued(workspace, "doubtful"), queued(workspace, "control")
        assert (report.doubtful, report.control, len(doubtful), len(control)) == (4, 4, 4, 4)
        assert ids[11] in doubtful
        assert not doubtful & control
        assert {splits[ids.index(each)] for each in doubtful | control} == {"test"}

    @pytest.mark.parametrize("scope", ["validation", "test"])
    @pytest.mark.usefixtures("champion")
    def test_annotators_cannot_tell_which_are_doubtful(self, workspace, tmp_path, scope):
        annotation_checks.queue_doubtful(workspace, scope=scope, number=5)
        sheets.export_sheet(workspace, tmp_path / "x.csv")
        rows = rows_of(tmp_path / "x.csv")
        assert len(rows) == 10
        assert {(row["reason"], row["suggested"], row["confidence"]) for row in rows} == {("check", "", "")}
        assert [int(row["id"]) for row in rows] == sorted(int(row["id"]) for row in rows)
        shown = [annotation.read_question(workspace, int(row["id"]), "ann") for row in rows]
        assert {(each.article.reason, each.article.suggested, each.own_answer, each.opinions) for each in shown} == {
            ("check", None, None, ())
        }
        assert value(workspace.database, "SELECT count(DISTINCT queued_at) FROM review_queue") == 1

    @pytest.mark.usefixtures("champion")
    def test_train_articles_bring_no_control(self, workspace, corpus):
        annotation_checks.queue_doubtful(workspace, scope="all", number=30)
        ids, _, splits = corpus
        by_split = [splits[ids.index(each)] for each in queued(workspace, "control")]
        held_out = [splits[ids.index(each)] for each in queued(workspace, "doubtful")]
        assert "train" not in by_split
        assert all(by_split.count(split) == held_out.count(split) for split in ("validation", "test"))

    @pytest.mark.usefixtures("champion")
    def test_control_articles_are_checked_once_too(self, workspace):
        annotation_checks.queue_doubtful(workspace, scope="test", number=4)
        for article_id in queued(workspace, "control"):
            answer(workspace, article_id, "a")
        assert set(waiting(workspace)) == queued(workspace, "doubtful")
        first = queued(workspace, "control")
        annotation_checks.queue_doubtful(workspace, scope="test", number=8)
        assert len(queued(workspace, "control")) == 8
        assert not first & set(waiting(workspace))

    @pytest.mark.usefixtures("champion")
    def test_if_too_few_are_left_fewer_are_drawn(self, workspace):
        report = annotation_checks.queue_doubtful(workspace, scope="test", number=30)
        assert (report.doubtful, report.control) == (30, 10)


@pytest.mark.usefixtures("champion")
def test_the_status_counts_checked_and_corrected_annotations(workspace, corpus, command):
    ids, truths, _ = corpus
    annotation_checks.queue_doubtful(workspace, scope="test", number=3)
    doubtful = queued(workspace, "doubtful") - {ids[11]}
    for article_id in (ids[11], doubtful.pop(), min(queued(workspace, "control"))):
        answer(workspace, article_id, truths[ids.index(article_id)])
    checks = [tuple(asdict(each).values()) for each in status.read_status(workspace).review.checks]
    assert checks == [("test", "control", 3, 1, 0), ("test", "doubtful", 3, 2, 1)]
    _, out, _ = command("review", "status")
    assert "Annotations of the test split, doubtful: 2 of 3 checked, 1 corrected." in out


LATER = {
    "the source delivers the corrected category": (
        "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
        "SELECT article_id, task_id, revision, categories, 'source:s' FROM annotations WHERE annotator = 'ann'"
    ),
    "the source retracts its annotation": "UPDATE annotations SET retracted_at = now() WHERE annotator = 'source:s'",
    "a category is split": None,
}
"""What may happen after an annotation was checked."""


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.usefixtures("champion")
def test_a_corrected_annotation_stays_corrected(workspace, corpus, later):
    ids, truths, _ = corpus
    annotation_checks.queue_doubtful(workspace, scope="test", number=1)
    answer(workspace, ids[11], truths[11])
    if later is None:
        wrong = "b" if truths[11] == "a" else "a"
        changes.change_categories(workspace, "split", [wrong], ["p", "q"], changed_by="ann")
    else:
        run(workspace.database, later)
    checks = [tuple(asdict(each).values()) for each in status.read_status(workspace).review.checks]
    assert ("test", "doubtful", 1, 1, 1) in checks


@pytest.mark.parametrize("state", ["doubtful", "control"])
@pytest.mark.usefixtures("champion")
def test_an_annotation_that_the_source_changes_after_the_check_stays_confirmed(workspace, state):
    annotation_checks.queue_doubtful(workspace, scope="test", number=1)
    (article_id,) = queued(workspace, state)
    (source,) = query(workspace.database, "SELECT categories[1] FROM annotations WHERE article_id = :id", id=article_id)
    answer(workspace, article_id, source[0])
    with workspace.database.begin() as connection:
        annotate(connection, article_id, "b" if source[0] == "a" else "a", "source:s")
    checks = [tuple(asdict(each).values()) for each in status.read_status(workspace).review.checks]
    assert ("test", state, 1, 1, 0) in checks


class TestMultiLabel:
    @pytest.fixture
    def topics(self, workspace):
        """Return a multi-label task, and the ids of 100 articles, of which the seventh lacks a label."""
        run(workspace.database, "UPDATE tasks SET name = 'author'")
        topics, generator = add_task(workspace), np.random.default_rng(0)
        truths = [("a",), ("b",), ("a", "b"), ()]
        rows = [(f"{n}", make_text(generator, truths[n % 4], n), "train") for n in range(100)]
        with topics.database.begin() as connection:
            ids = add_articles(connection, rows)
            for n, article_id in enumerate(ids):
                names = ["a"] if n == 6 else list(truths[n % 4])
                connection.execute(
                    text(
                        "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
                        "VALUES (:id, (SELECT id FROM tasks WHERE kind = 'multi'), 1, :names, 'source:s')"
                    ),
                    {"id": article_id, "names": names},
                )
        return topics, ids

    def test_a_missing_label_is_listed_queued_and_corrected(self, topics):
        workspace, ids = topics
        add_champion(workspace, ids, categories=("a", "b"))
        (article, *_) = annotation_checks.list_doubtful(workspace, number=1).articles
        assert (article.article_id, article.annotated, article.suggested) == (ids[6], ("a",), ("a", "b"))
        annotation_checks.queue_doubtful(workspace, number=1)
        question = annotation.next_question(workspace, "ann")
        assert (question.article.id, question.article.suggested, question.kind) == (ids[6], None, "multi")
        annotation.save_answer(workspace, ids[6], 1, ["a", "b"], annotator="ann")
        assert annotation.next_question(workspace, "ann") is None
        report = annotation_checks.list_doubtful(workspace, number=100)
        assert ids[6] not in {article.article_id for article in report.articles}

    def test_a_doubt_counts_for_the_category_that_differs(self, topics):
        workspace, _ = topics
        report = annotation_checks.list_doubtful(workspace, number=1)
        assert {row.category: row.doubtful for row in report.categories} == {"a": 0, "b": 1}


class TestCommand:
    @pytest.mark.usefixtures("champion")
    def test_prints_the_list_and_the_counts(self, command):
        code, out, _ = command("review", "doubtful", "--number", "1")
        assert code == 0
        assert "80 annotated articles: 0 checked by a person, 80 assessed, about 1 of these annotations" in out
        assert "source:s" in out
        assert not any(word in out for words in WORDS.values() for word in words)
        code, out, _ = command("review", "doubtful", "--split", "test", "--json")
        assert json.loads(out)["articles"][0]["external_id"] == "11"

    @pytest.mark.usefixtures("champion")
    def test_warns_readers_of_a_held_out_list_and_queues_without_a_list(self, command):
        assert "should not annotate its held-out articles" in command("review", "doubtful", "--split", "test")[1]
        code, out, _ = command("review", "doubtful", "--split", "test", "--number", "2", "--queue", "--json")
        assert (code, json.loads(out)["doubtful"], json.loads(out)["control"]) == (0, 2, 2)
        assert "articles" not in json.loads(out)

    @pytest.mark.usefixtures("corpus")
    def test_mistakes_are_one_line(self, command):
        code, _, err = command("review", "doubtful", "--split", "tests")
        assert (code, err.strip().splitlines()[-1]) == (
            2, "error: split 'tests': unknown; choose from train, validation, test, all"
        )  # fmt: skip
        code, _, err = command("review", "doubtful", "--queue")
        assert code == 2
        assert "promote" in err


def test_if_the_champion_lacks_a_category_it_ranks_by_the_others(workspace, corpus):
    ids, _, _ = corpus
    run(workspace.database, "UPDATE annotations SET categories = ARRAY['c'] WHERE categories = ARRAY['a']")
    with workspace.database.begin() as connection:
        label(connection, ids)
    report = annotation_checks.list_doubtful(workspace, scope="test", number=40)
    assert len(report.articles) == 40
