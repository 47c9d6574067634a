"""Annotators read the waiting articles one by one, and their answers are saved like those of a sheet."""

from __future__ import annotations

import pytest

from classifier.exceptions import NoChampionError, ReviewError
from classifier.pipeline.review import annotation, conflicts, review_queue
from tests.support.predictions import label
from tests.support.synthetic import add_articles, query, run
from tests.support.synthetic import annotate as say


@pytest.fixture
def ids(workspace):
    """Twelve labelled articles that wait for review, the first four also for the audit."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text number {n} here", "train") for n in range(12)])
        model = label(connection, ids)
    review_queue.fill_queue(workspace, number=12, audit=0)
    run(
        workspace.database,
        "INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence) "
        "SELECT article_id, model_id, revision, 'audit', predicted_categories, confidence FROM review_queue "
        "WHERE article_id = ANY(:ids)",
        ids=ids[:4],
    )
    assert model.name == "m1"
    return ids


def read_annotations(workspace):
    return query(
        workspace.database, "SELECT article_id, categories[1], annotator, comment, is_resolution FROM annotations"
    )


class TestReading:
    def test_articles_follow_each_other_and_start_again_after_the_last(self, workspace, ids):
        read, after = [], 0
        for _ in range(13):
            after = annotation.next_question(workspace, "ann", after=after).article.id
            read.append(after)
        assert read == [*ids, ids[0]]

    def test_annotators_start_at_different_articles(self, workspace, ids):
        begun = {annotation.next_question(workspace, name).article.id for name in ("ann", "bob", "cleo", "dan", "eve")}
        assert len(begun) > 2
        assert begun <= {*ids}

    def test_randomly_drawn_articles_have_no_suggestion(self, workspace, ids):
        questions = [annotation.next_question(workspace, "ann", after=article_id - 1) for article_id in ids]
        shown = {question.article.id: question.article for question in questions}
        assert {shown[article_id].suggested for article_id in ids[:4]} == {None}
        assert {shown[article_id].confidence for article_id in ids[:4]} == {None}
        assert {shown[article_id].suggested for article_id in ids[4:]} <= {("a",), ("b",)}

    def test_an_answered_article_is_not_asked_again_but_can_be_read(self, workspace, ids):
        annotation.save_answer(workspace, ids[0], 1, ["a"], annotator="ann")
        assert annotation.next_question(workspace, "ann", after=0).article.id == ids[1]
        again = annotation.read_question(workspace, ids[0], "ann")
        assert (again.article.text, again.article.reason, again.article.suggested) == ("text number 0 here", "", None)
        assert (again.own_answer, again.waiting) == (("a",), 11)
        assert annotation.read_question(workspace, ids[0], "bob").own_answer is None, "it could bias the annotator"

    def test_an_empty_queue_has_no_question(self, workspace, ids):
        for article_id in ids:
            annotation.save_answer(workspace, article_id, 1, ["a"], annotator="ann")
        assert annotation.next_question(workspace, "ann") is None

    def test_no_question_is_asked_without_a_champion(self, workspace):
        with pytest.raises(NoChampionError):
            annotation.next_question(workspace, "ann")

    def test_only_articles_of_the_queue_can_be_read(self, workspace, ids):
        with workspace.database.begin() as connection:
            (other,) = add_articles(connection, [("secret", "not in the queue", "test")])
        for article_id in (other, max(other, *ids) + 1):
            with pytest.raises(ReviewError, match="never in the review queue"):
                annotation.read_question(workspace, article_id, "ann")


class TestAnswering:
    def test_an_answer_is_an_annotation_and_repeating_it_changes_nothing(self, workspace, ids):
        for _ in range(2):
            annotation.save_answer(workspace, ids[0], 1, ["a"], annotator="ann", comment=" a pun ")
        assert read_annotations(workspace) == [(ids[0], "a", "ann", "a pun", False)]

    def test_a_corrected_answer_replaces_the_first(self, workspace, ids):
        for category in ("a", "b"):
            annotation.save_answer(workspace, ids[0], 1, [category], annotator="ann")
        assert annotation.read_question(workspace, ids[0], "ann").own_answer == ("b",)
        assert conflicts.list_conflicts(workspace) == []

    def test_an_answer_to_a_changed_text_is_refused(self, workspace, ids):
        run(workspace.database, "UPDATE articles SET revision = 2 WHERE id = :id", id=ids[0])
        with pytest.raises(ReviewError, match=f"the text of article {ids[0]} has changed since$"):
            annotation.save_answer(workspace, ids[0], 1, ["a"], annotator="ann")
        assert read_annotations(workspace) == []

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"categories": ["c"]}, "category 'c' is unknown$"),
            ({"categories": ["A"]}, "did you mean 'a'"),
            ({"annotator": "source:s"}, "must be the name of a person"),
            ({"annotator": ""}, "annotator is empty"),
            ({"comment": "x\0"}, "comment has"),
            ({"comment": "x" * 2001}, "longer than 2000"),
        ],
    )
    def test_an_invalid_answer_is_refused_in_one_line(self, workspace, ids, changes, problem):
        with pytest.raises(ReviewError, match=problem):
            annotation.save_answer(workspace, ids[0], 1, **{"categories": ["a"], "annotator": "ann", **changes})
        assert read_annotations(workspace) == []

    def test_a_category_that_one_annotator_added_is_offered_to_all(self, workspace, ids):
        with workspace.database.begin() as connection:
            say(connection, ids[0], "weather")
            say(connection, ids[1], "of the source", "source:s")
        assert annotation.next_question(workspace, "bob", after=0).categories == ("a", "b", "weather")
        annotation.save_answer(workspace, ids[2], 1, ["weather"], annotator="bob")


class TestDeciding:
    @pytest.fixture
    def disputed(self, workspace, ids):
        for name, category in (("ann", "a"), ("bob", "b")):
            annotation.save_answer(workspace, ids[0], 1, [category], annotator=name)
        return ids[0]

    def test_a_conflict_shows_all_opinions_and_one_person_resolves_it(self, workspace, disputed):
        opinions = annotation.read_question(workspace, disputed, "cleo").opinions
        assert [(opinion.annotator, opinion.category) for opinion in opinions] == [("ann", "a"), ("bob", "b")]
        annotation.resolve(workspace, disputed, 1, ["b"], annotator="cleo", comment="see the title")
        assert conflicts.list_conflicts(workspace) == []
        assert read_annotations(workspace)[-1] == (disputed, "b", "cleo", "see the title", True)

    def test_a_decision_on_a_changed_text_is_refused(self, workspace, disputed):
        run(workspace.database, "UPDATE articles SET revision = 2 WHERE id = :id", id=disputed)
        with pytest.raises(ReviewError, match="has changed since"):
            annotation.resolve(workspace, disputed, 1, ["b"], annotator="cleo")
        assert len(conflicts.list_conflicts(workspace)) == 1
