"""The review of a multi-label task: answers, conflicts and audits compare sets of categories."""

from __future__ import annotations

import csv

import pytest

from classifier.exceptions import ReviewError
from classifier.pipeline.review import annotation, conflicts, retraction, review_queue, sheets
from classifier.store.annotation_rows import AnnotationFilter
from tests.support.multi_label import CATEGORIES, add_champion, add_task
from tests.support.synthetic import add_articles, query, run

PROBABILITIES = [(0.9, 0.8, 0.1), (0.1, 0.2, 0.1), (0.6, 0.1, 0.1), (0.1, 0.1, 0.7)]


@pytest.fixture
def topics(workspace):
    """A task `topics` whose four articles wait for review, next to a single-label task."""
    run(workspace.database, "UPDATE tasks SET name = 'author'")
    return add_task(workspace)


@pytest.fixture
def ids(topics):
    with topics.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text number {n} here", "train") for n in range(4)])
    add_champion(topics, ids, PROBABILITIES)
    review_queue.fill_queue(topics, number=4, audit=0)
    return ids


@pytest.fixture
def answer(topics, ids, tmp_path):
    """Write a sheet with these cells of the column category, one for each article, and import it."""

    def fill(*cells, annotator="ann", workspace=topics):
        path = tmp_path / f"{annotator}.csv"
        rows = [
            {"id": article_id, "revision": 1, "category": cell, "annotator": annotator, "comment": ""}
            for article_id, cell in zip(ids, cells, strict=False)
        ]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return sheets.import_sheet(workspace, path)

    return fill


def annotated(workspace):
    statement = "SELECT article_id, categories FROM annotations ORDER BY article_id, id"
    return [(article_id, list(categories)) for article_id, categories in query(workspace.database, statement)]


class TestSheet:
    def test_the_suggestions_are_written_as_answers_are(self, topics, ids, tmp_path):
        sheets.export_sheet(topics, tmp_path / "sheet.csv")
        with (tmp_path / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
            suggested = {int(row["id"]): row["suggested"] for row in csv.DictReader(file)}
        assert suggested == dict(zip(ids, ("gold; grain", "(none)", "gold", "ship"), strict=True))

    def test_an_answer_has_several_categories_one_or_none(self, topics, ids, answer):
        report = answer("ship; gold", "(none)", "grain", "")
        assert (report.new, report.empty, report.invalid) == (3, 1, ())
        assert annotated(topics) == [(ids[0], ["gold", "ship"]), (ids[1], []), (ids[2], ["grain"])]

    def test_another_order_is_the_same_answer(self, topics, answer):
        answer("ship; gold")
        assert answer("gold; ship").unchanged == 1
        assert len(annotated(topics)) == 1

    def test_each_invalid_answer_has_one_reason(self, topics, answer):
        with topics.with_task("author").database.begin() as connection:
            (other,) = add_articles(connection, [("x", "another text", "train")])
        run(
            topics.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT :id, id, 1, ARRAY['Ada Lovelace'], 'ann' FROM tasks WHERE name = 'author'",
            id=other,
        )
        run(topics.database, "INSERT INTO categories (task_id, name) SELECT id, 'Ada Lovelace' FROM tasks LIMIT 1")
        report = answer("gold; gold", "gold; shop", "gold; Ada Lovelace", "(none); gold")
        assert [row.reason for row in report.invalid] == [
            "category 'gold' is named twice",
            "category 'shop' is unknown (did you mean 'ship'?); name a new category with --new-category",
            "category 'Ada Lovelace' is a category of the task 'author'",
            "category has (none) with other categories",
        ]
        assert report.new == 0


class TestSingleLabelTask:
    @pytest.fixture
    def author(self, topics, ids):
        author = topics.with_task("author")
        add_champion(author, ids, [[0.9, 0.1]] * 4, name="a1", categories=("Ada", "Bob"))
        review_queue.fill_queue(author, number=4, audit=0)
        return author

    def test_a_list_is_refused(self, author, answer):
        report = answer("Ada; Bob", "(none)", "gold", "Ada; Bop", workspace=author)
        assert [row.reason for row in report.invalid] == [
            "2 categories given, but the task 'author' has one category an article",
            "(none) is no answer, because the task 'author' has one category an article",
            "category 'gold' is a category of the task 'topics'",
            "category 'Ada; Bop' is unknown; name a new category with --new-category",
        ]

    @pytest.mark.parametrize("categories", [["Ada", "Bob"], []])
    def test_an_answer_of_another_number_is_refused(self, author, ids, categories):
        with pytest.raises(ReviewError, match="given, but the task 'author' has one category an article"):
            annotation.save_answer(author, ids[0], 1, categories, annotator="ann")

    def test_both_tasks_keep_their_answers_apart(self, author, topics, ids, answer):
        answer("Ada", workspace=author)
        answer("gold; ship")
        assert annotation.read_question(author, ids[0], "ann").own_answer == ("Ada",)
        assert annotation.read_question(topics, ids[0], "ann").own_answer == ("gold", "ship")
        assert conflicts.list_conflicts(author) == conflicts.list_conflicts(topics) == []


class TestConflicts:
    def test_sets_that_differ_are_a_conflict_which_a_set_resolves(self, topics, ids, answer):
        answer("gold; ship", "(none)", "grain")
        answer("gold", "ship", "grain", annotator="bob")
        first, second = conflicts.list_conflicts(topics)
        assert [opinion.category for opinion in first.opinions] == ["gold, ship", "gold"]
        assert [opinion.category for opinion in second.opinions] == ["none", "ship"]
        resolution = conflicts.resolve_conflict(topics, ids[0], ["ship", "gold"], annotator="cleo")
        assert (resolution.category, resolution.categories) == ("ship, gold", ("ship", "gold"))
        conflicts.resolve_conflict(topics, ids[1], [], annotator="cleo")
        assert conflicts.list_conflicts(topics) == []

    def test_the_command_takes_several_categories_or_none(self, command, ids, answer):
        answer("gold; ship", "(none)")
        answer("gold", "ship", annotator="bob")
        decide = ("review", "decide", str(ids[0]), "--task", "topics", "--annotator", "cleo")
        code, _, error = command(*decide)
        assert (code, error) == (
            2,
            f"error: article {ids[0]}: needs its category, or --none\n",
        )
        code, _, error = command(*decide, "gold", "Gold")
        assert (code, error) == (2, "error: category 'Gold' is unknown (did you mean 'gold'?)\n")
        code, _, error = command(*decide, "gold", "gold")
        assert (code, error) == (2, "error: category 'gold' is named twice\n")
        code, printed, _ = command(*decide, "gold", "ship")
        assert (code, "gold, ship" in printed) == (0, True)
        none = ("review", "decide", str(ids[1]), "--task", "topics", "--annotator", "cleo", "--none", "--json")
        code, printed, _ = command(*none)
        assert '"category": "none"' in printed
        assert '"categories": []' in printed
        code, printed, _ = command("review", "conflicts", "--task", "topics")
        assert "Conflicts: none" in printed


class TestRetraction:
    def test_annotations_are_listed_with_all_their_categories_and_retracted(self, topics, answer):
        answer("gold; ship", "(none)")
        rows = retraction.list_annotations(topics, AnnotationFilter())
        assert [row.category for row in rows] == ["none", "gold, ship"]
        report = retraction.retract(topics, AnnotationFilter(annotator="ann"), yes=True)
        assert (report.annotations, report.articles) == (2, 2)
        assert query(topics.database, "SELECT count(*) FROM categories") == [(0,)]


class TestReading:
    def test_a_question_suggests_a_set(self, topics, ids):
        asked = [annotation.next_question(topics, "ann", after=article_id - 1) for article_id in ids]
        assert [question.article.suggested for question in asked] == [("gold", "grain"), (), ("gold",), ("ship",)]
        assert {question.kind for question in asked} == {"multi"}
        assert asked[0].categories == CATEGORIES

    def test_an_empty_answer_is_an_answer(self, topics, ids):
        annotation.save_answer(topics, ids[0], 1, [], annotator="ann")
        question = annotation.read_question(topics, ids[0], "ann")
        assert (question.own_answer, question.waiting) == ((), 3)


class TestSelection:
    def test_uncertain_articles_are_near_a_threshold(self, topics):
        with topics.database.begin() as connection:
            ids = add_articles(connection, [(f"{n}", f"text number {n} here", "train") for n in range(50)])
        near = {ids[7], ids[19]}
        add_champion(topics, ids, [(0.69 if i in near else 0.99, 0.01, 0.01) for i in ids], thresholds=(0.7, 0.5, 0.5))
        review_queue.fill_queue(topics, number=2, audit=0)
        assert {article_id for (article_id,) in query(topics.database, "SELECT article_id FROM review_queue")} == near
        predicted = query(topics.database, "SELECT DISTINCT predicted_categories FROM review_queue")
        assert predicted == [([],)]

    def test_the_other_tasks_annotations_do_not_matter(self, topics, ids):
        author = topics.with_task("author")
        add_champion(author, ids, [[0.9, 0.1]] * 4, name="a1", categories=("Ada", "Bob"))
        annotation.save_answer(topics, ids[0], 1, ["gold"], annotator="ann")
        assert review_queue.fill_queue(author, number=4, audit=0).waiting == 4
        assert review_queue.read_status(topics).articles == 3


class TestAudit:
    def test_counts_exact_matches_and_the_f1_of_all_labels(self, topics, answer):
        review_queue.fill_queue(topics, number=4, audit=4)
        answer("grain; gold", "(none)", "gold; ship", "")
        audit = review_queue.audit_model(topics)
        assert (audit.drawn, audit.reviewed, audit.correct) == (4, 3, 2)
        assert audit.accuracy == pytest.approx(2 / 3)
        assert audit.micro_f1 == pytest.approx(2 * 3 / (4 + 3)), "3 labels in common, of 4 annotated and 3 predicted"

    def test_the_order_of_the_models_categories_does_not_matter(self, topics):
        with topics.database.begin() as connection:
            ids = add_articles(connection, [("x", "text here", "train")])
        add_champion(topics, ids, [(0.9, 0.9, 0.9)], categories=("ship", "Gold", "grain"))
        review_queue.fill_queue(topics, number=0, audit=1)
        annotation.save_answer(topics, ids[0], 1, ["ship", "grain", "Gold"], annotator="ann")
        same = "SELECT predicted_categories = categories FROM review_queue JOIN annotations USING (article_id)"
        assert query(topics.database, same) == [(True,)]
        assert review_queue.audit_model(topics).correct == 1

    def test_of_articles_without_any_label_there_is_no_f1(self, topics, answer):
        review_queue.fill_queue(topics, number=4, audit=4)
        answer("", "(none)")
        audit = review_queue.audit_model(topics)
        assert (audit.accuracy, audit.micro_f1) == (1, None)

    def test_the_status_names_both_scores(self, topics, answer, command):
        review_queue.fill_queue(topics, number=4, audit=4)
        answer("grain; gold", "(none)", "gold; ship", "")
        _, printed, _ = command("review", "status", "--task", "topics")
        assert "0.8571 micro-F1; 2 of 3 random articles with exactly these labels." in printed
