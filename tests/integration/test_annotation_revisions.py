"""An annotation belongs to a text: it holds after small changes, and ends when the text becomes another one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from classifier.exceptions import ReviewError
from classifier.ingest.readers import Columns
from classifier.pipeline.labelling import label_counts
from classifier.pipeline.monitoring import status
from classifier.pipeline.review import annotation, conflicts, review_queue, sheets
from classifier.review.sheet import SheetAnswer
from classifier.store import annotated_articles, label_statistics, labelling_queue, queries, reviews
from tests.support.predictions import INSERT_ARTICLES, INSERT_PREDICTIONS, label
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, ingest_file, query, run
from tests.support.synthetic import annotate as say
from tests.support.waiting import wait_for

TEXT = " ".join(f"word{number}" for number in range(40))
SMALL = TEXT.replace("word7 ", "wrod7 ")
OTHER = " ".join(f"other{number}" for number in range(40))
SHORT = "the bank"


@pytest.fixture
def bring(workspace, tmp_path):
    """Ingest one article of the train split with a text and a category."""

    def bring(content, category=""):
        row = {"id": "x", "text": content, "category": category, "split": "train"}
        return ingest_file(workspace, tmp_path / "news.csv", [row], Columns("text", "category", "id", split="split"))

    return bring


def in_force(workspace):
    return query(workspace.database, "SELECT revision, categories[1], annotator FROM annotations_in_force ORDER BY id")


def shown(workspace):
    return query(workspace.database, "SELECT label, origin FROM article_labels ORDER BY article_id")


def trained_on(workspace, split="train"):
    with workspace.database.connect() as connection:
        return [(article.text, article.category) for article in annotated_articles.load_split(connection, split)]


class TestAnotherText:
    def test_has_no_annotation_waits_for_a_label_and_is_not_trained_on(self, workspace, bring):
        bring(TEXT, "sport")
        report = bring(OTHER)
        assert (report.changed, report.annotations, report.enqueued) == (1, 0, 1)
        assert in_force(workspace) == []
        assert shown(workspace) == [(None, None)]
        assert trained_on(workspace) == []
        assert query(workspace.database, "SELECT revision, categories[1] FROM annotations") == [(1, "sport")], (
            "history stays"
        )

    def test_counts_as_not_annotated_everywhere(self, workspace, bring):
        bring(TEXT, "sport")
        bring(OTHER)
        assert status.read_status(workspace).splits == {"train": (1, 0)}
        assert label_counts.count_labels(workspace).unlabelled == 1
        with workspace.database.connect() as connection:
            assert annotated_articles.count_by_category_and_split(connection) == {(None, "train"): 1}

    def test_is_in_the_backlog_of_the_next_champion(self, workspace, bring):
        bring(TEXT, "sport")
        bring(OTHER)
        run(workspace.database, "DELETE FROM labelling_queue")
        with workspace.database.begin() as connection:
            label(connection, [], "m1")
        with workspace.database.begin() as connection:
            assert labelling_queue.enqueue_backfill_chunk(connection, 1, 10).enqueued == 1

    def test_gets_a_new_annotation_if_its_source_names_the_same_category(self, workspace, bring):
        bring(TEXT, "sport")
        assert bring(OTHER, "sport").annotations == 1
        assert in_force(workspace) == [(2, "sport", "source:news")]
        assert trained_on(workspace) == [(OTHER, "sport")]

    def test_has_its_sources_category_and_not_the_one_that_a_person_gave_the_earlier_text(self, workspace, bring):
        bring(TEXT, "sport")
        with workspace.database.begin() as connection:
            say(connection, 1, "tech")
        assert shown(workspace) == [("tech", "annotation")]
        bring(OTHER, "business")
        assert shown(workspace) == [("business", "annotation")]
        assert trained_on(workspace) == [(OTHER, "business")]

    def test_does_not_revive_an_old_annotation_by_becoming_the_old_text_again(self, workspace, bring):
        """The annotated revision is known, but not its text. A missing annotation is the safe error."""
        bring(TEXT, "sport")
        bring(OTHER)
        bring(TEXT)
        assert in_force(workspace) == []

    def test_has_no_conflict_about_the_earlier_text(self, workspace, bring):
        bring(TEXT)
        with workspace.database.begin() as connection:
            say(connection, 1, "tech", "ann")
            say(connection, 1, "sport", "bob")
        assert len(conflicts.list_conflicts(workspace)) == 1
        bring(OTHER, "business")
        assert conflicts.list_conflicts(workspace) == []
        assert trained_on(workspace) == [(OTHER, "business")]
        with pytest.raises(ReviewError, match="no person has annotated it"):
            conflicts.resolve_conflict(workspace, 1, ["tech"], annotator="ann")

    def test_gets_no_category_from_a_row_that_a_later_row_superseded(self, workspace, tmp_path):
        rows = [
            {"id": "x", "text": TEXT, "category": "sport"},
            {"id": "x", "text": OTHER, "category": ""},
        ]
        report = ingest_file(workspace, tmp_path / "news.csv", rows)
        assert (report.annotations, report.enqueued) == (0, 1)
        assert shown(workspace) == [(None, None)]


class TestSmallChange:
    @pytest.mark.parametrize(
        ("before", "after"),
        [(TEXT, SMALL), (TEXT, f"{TEXT} and more"), (SHORT, "The  BANK"), (TEXT, TEXT.replace(" ", ", "))],
        ids=["typo", "addition", "case and space", "punctuation"],
    )
    def test_keeps_annotations_in_force(self, workspace, bring, before, after):
        bring(before, "sport")
        report = bring(after)
        assert (report.changed, report.annotations, report.enqueued) == (1, 0, 0)
        assert shown(workspace) == [("sport", "annotation")]
        assert trained_on(workspace) == [(after, "sport")]
        assert bring(after, "sport").annotations == 0, "the source says nothing new"

    def test_repeated_often_makes_another_text_and_ends_the_annotation(self, workspace, bring):
        """Each change is small compared with the text before it, but not compared with the annotated text."""
        words = TEXT.split()
        bring(TEXT, "sport")
        kept = []
        for number in range(0, 40, 2):
            words[number : number + 2] = [f"new{number}", f"new{number + 1}"]
            bring(" ".join(words))
            kept.append(bool(in_force(workspace)))
        assert kept[0]
        assert not kept[-1]
        assert kept == sorted(kept, reverse=True)

    def test_of_a_rewritten_text_keeps_the_annotation_of_the_rewritten_text(self, workspace, bring):
        bring(OTHER, "business")
        bring(TEXT, "sport")
        bring(SMALL)
        assert in_force(workspace) == [(2, "sport", "source:news")]

    def test_of_one_word_makes_a_short_text_another_text(self, workspace, bring):
        bring("bank raises rates", "business")
        bring("team raises cup")
        assert in_force(workspace) == []


class TestAskedAgain:
    @pytest.fixture
    def asked(self, workspace, bring):
        """An article that ann annotated on request; then its text became another one, which m1 labelled."""
        bring(TEXT)
        with workspace.database.begin() as connection:
            label(connection, [1], "m1")
        assert review_queue.fill_queue(workspace, number=5, audit=0).waiting == 1
        annotation.save_answer(workspace, 1, 1, ["a"], annotator="ann")
        bring(OTHER)
        run(workspace.database, "UPDATE predictions SET revision = 2")

    @pytest.mark.usefixtures("asked")
    def test_because_its_text_is_another_one_and_with_the_former_answer(self, workspace):
        assert annotation.next_question(workspace, "ann") is None
        report = review_queue.fill_queue(workspace, number=5, audit=0)
        assert (report.added, report.waiting) == ({"rewritten": 1}, 1)
        question = annotation.next_question(workspace, "ann")
        assert (question.article.revision, question.article.text, question.article.reason) == (2, OTHER, "rewritten")
        assert (question.own_answer, question.former_answer) == (None, ("a",))
        assert annotation.next_question(workspace, "bob").former_answer is None, "it could bias the annotator"
        annotation.save_answer(workspace, 1, 2, ["a"], annotator="ann")
        assert in_force(workspace) == [(2, "a", "ann")]
        assert annotation.next_question(workspace, "ann") is None
        again = annotation.read_question(workspace, 1, "ann")
        assert (again.own_answer, again.former_answer) == (("a",), None)

    @pytest.mark.usefixtures("asked")
    def test_once_and_not_if_the_queue_is_full(self, workspace):
        assert review_queue.fill_queue(workspace, number=0, audit=0).added == {}
        review_queue.fill_queue(workspace, number=1, audit=0)
        assert review_queue.fill_queue(workspace, number=1, audit=0).added == {}

    @pytest.mark.usefixtures("asked")
    def test_only_if_a_person_annotated_it(self, workspace, bring):
        bring(TEXT, "a")
        run(workspace.database, "UPDATE predictions SET revision = 3")
        assert review_queue.fill_queue(workspace, number=1, audit=0).added == {}, (
            "its source has annotated the new text"
        )


class TestStatements:
    @pytest.fixture
    def many(self, workspace):
        """Twenty thousand labelled articles, a third annotated by a person; the texts of twelve have changed."""
        run(workspace.database, INSERT_ARTICLES)
        with workspace.database.begin() as connection:
            model = label(connection, []).id
            connection.execute(text(INSERT_PREDICTIONS), {"model": model})
            connection.execute(
                text(
                    "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
                    "SELECT id, (SELECT id FROM tasks), 1, ARRAY['a'], 'ann' FROM articles WHERE id % 3 = 0; "
                    "UPDATE articles SET revision = 2, content_revision = 2 WHERE id % 5000 < 3; "
                    "UPDATE predictions SET revision = 2 WHERE article_id % 5000 < 3"
                )
            )
        with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        return model

    def test_find_rewritten_texts_among_the_annotations(self, workspace, many):
        tables = scanned(workspace.database, queries.sql("rewritten_articles"), task_id=1, model_id=many, number=100)
        assert tables <= {"annotations", "review_queue", "tasks"}
        with workspace.database.connect() as connection:
            assert [row.id for row in reviews.rewritten_articles(connection, many, 100)] == [5001, 10002, 15000]

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("label_counts_by_origin", {"percent": 1}),
            ("label_counts_by_category", {"percent": 1}),
            ("enqueue_backfill_chunk", {"after": 100, "size": 100, "model_id": 1}),
        ],
    )
    def test_look_up_annotations(self, workspace, many, name, values):
        assert many == 1
        assert scanned(workspace.database, queries.sql(name), task_id=1, **values) <= {
            "models",
            "dead_letters",
            "labelling_queue",
            "tasks",
        }

    @pytest.mark.usefixtures("many")
    def test_look_up_a_label(self, workspace):
        statement = "SELECT * FROM article_labels WHERE source = 's' AND external_id = '77'"
        assert scanned(workspace.database, statement) <= {"models", "tasks"}


class TestAtTheSameMoment:
    """An answer, and an ingest that changes the text, on two connections."""

    @pytest.fixture
    def asked(self, workspace, bring):
        bring(TEXT)
        with workspace.database.begin() as connection:
            label(connection, [1], "m1")
        review_queue.fill_queue(workspace, number=1, audit=0)

    @pytest.mark.usefixtures("asked")
    def test_an_answer_during_an_ingest_belongs_to_the_text_that_was_read(self, workspace, bring):
        """The ingest has changed the text but not committed: it waits for the lock on the queue."""
        with ThreadPoolExecutor(1) as pool:
            with workspace.database.begin() as connection:
                labelling_queue.lock(connection)
                changing = pool.submit(bring, OTHER)
                wait_for(lambda: waits(workspace), within_s=60)
                annotation.save_answer(workspace, 1, 1, ["a"], annotator="ann")
            report = changing.result(timeout=60)
        assert (report.changed, report.enqueued) == (1, 1), "it waits for a label"
        assert query(workspace.database, "SELECT revision, categories[1] FROM annotations") == [(1, "a")]
        assert in_force(workspace) == []
        assert trained_on(workspace) == []

    @pytest.mark.usefixtures("asked")
    def test_an_answer_whose_text_changes_between_check_and_insert_is_refused(self, workspace, bring):
        with workspace.database.begin() as connection:
            assert reviews.queued_revisions(connection, [1]) == {1: 1}
            bring(OTHER)
            columns = {"ids": [1], "revisions": [1], "categories": ["a"], "annotators": ["ann"], "comments": [None]}
            assert reviews.add_annotations(connection, columns) == (0, [0])
        assert query(workspace.database, "SELECT * FROM annotations") == []

    @pytest.mark.usefixtures("asked")
    def test_a_sheet_that_waits_for_another_is_checked_against_the_then_present_text(self, workspace, bring):
        answers = [SheetAnswer(7, 1, 1, ("a",), "ann", None)]
        with ThreadPoolExecutor(1) as pool:
            with workspace.database.begin() as connection:
                reviews.lock(connection)
                answering = pool.submit(accepted, workspace, answers)
                wait_for(lambda: waits(workspace), within_s=60)
                bring(OTHER)
            new, refused = answering.result(timeout=60)
        assert (new, {line: answer.reason for line, answer in refused.items()}) == (
            0, {7: "the text of article 1 has changed since"},
        )  # fmt: skip

    @pytest.mark.usefixtures("asked")
    def test_a_text_that_changes_between_the_queue_and_its_reading_is_shown_with_its_own_revision(
        self, workspace, bring
    ):
        with workspace.database.connect() as connection:
            (row,) = reviews.waiting_reviews(connection, 1)
            bring(OTHER)
            asked = sheets.make_question(row, reviews.articles_by_id(connection, [1])[1])
        assert (asked.revision, asked.text, asked.suggested) == (2, OTHER, None)

    @pytest.mark.usefixtures("asked")
    def test_a_decision_belongs_to_the_text_that_was_read(self, workspace, bring):
        with workspace.database.begin() as connection:
            say(connection, 1, "a", "ann")
            say(connection, 1, "b", "bob")
        with ThreadPoolExecutor(1) as pool:
            with workspace.database.begin() as connection:
                labelling_queue.lock(connection)
                changing = pool.submit(bring, OTHER)
                wait_for(lambda: waits(workspace), within_s=60)
                conflicts.resolve_conflict(workspace, 1, ["a"], annotator="cleo")
            changing.result(timeout=60)
        assert query(workspace.database, "SELECT revision FROM annotations WHERE is_resolution") == [(1,)]
        assert in_force(workspace) == []
        with pytest.raises(ReviewError, match="no person has annotated it"):
            conflicts.resolve_conflict(workspace, 1, ["a"], annotator="cleo")


def accepted(workspace, answers):
    with workspace.database.begin() as connection:
        return sheets.insert_answers(connection, answers)


def waits(workspace):
    return query(workspace.database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_all_views_and_reports_show_the_same_annotation(workspace):
    """A person's annotation precedes a source's, the newest comes first, and those of earlier texts are ignored."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{number}", f"text number {number}", "train") for number in range(4)])
        answers = [("tech", "ann"), ("sport", "source:s"), ("business", "ann"), ("tech", "source:s")]
        for number, article_id in enumerate(ids):
            for category, annotator in answers[: number + 1]:
                say(connection, article_id, category, annotator)
        run_on(connection, "UPDATE articles SET revision = 2, content_revision = 2 WHERE id = :id", id=ids[3])
        say(connection, ids[3], "sport", "source:s")
        counts = label_statistics.count_by_category(connection)
        assert {name: (each.articles, each.annotated) for name, each in counts.items()} == {
            "tech": (2, 2), "business": (1, 1), "sport": (1, 1)
        }  # fmt: skip
        assert annotated_articles.count_by_category_and_split(connection) == {
            (name, "train"): each.articles for name, each in counts.items()
        }
        by_article = {article.id: article.category for article in annotated_articles.load_split(connection, "train")}
    shown = query(workspace.database, "SELECT article_id, label FROM article_labels WHERE origin = 'annotation'")
    assert by_article == dict(shown) == dict(zip(ids, ("tech", "tech", "business", "sport"), strict=True))
    assert {category.name: category.articles for category in label_counts.count_labels(workspace).categories} == {
        name: each.articles for name, each in counts.items()
    }


def run_on(connection, statement, **values):
    connection.execute(text(statement), values)
