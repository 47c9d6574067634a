"""People read what waits, one article after the other, and what they say goes in as from a sheet."""

from __future__ import annotations

import pytest

from classifier.exceptions import NoChampionError, ReviewError
from classifier.pipeline.review import annotation, conflicts, review_queue
from tests.support.predictions import label
from tests.support.synthetic import add_articles, query, run
from tests.support.synthetic import annotate as say


@pytest.fixture
def ids(workspace):
    """Twelve labelled articles that all wait for review, the first four of them for the audit, too."""
    with workspace.database.begin() as connection:
        found = add_articles(connection, [(f"{n}", f"text number {n} here", "train") for n in range(12)])
        model = label(connection, found)
    review_queue.fill_queue(workspace, number=12, audit=0)
    run(
        workspace.database,
        "INSERT INTO review_queue (article_id, model_id, revision, reason, category, confidence) "
        "SELECT article_id, model_id, revision, 'audit', category, confidence FROM review_queue "
        "WHERE article_id = ANY(:ids)",
        ids=found[:4],
    )
    assert model.name == "m1"
    return found


def said(workspace):
    return query(workspace.database, "SELECT article_id, category, annotator, comment, is_resolution FROM annotations")


class TestReading:
    def test_articles_follow_each_other_and_begin_again_behind_the_last(self, workspace, ids):
        read, after = [], 0
        for _ in range(13):
            after = annotation.next_question(workspace, "ann", after=after).asked.id
            read.append(after)
        assert read == [*ids, ids[0]]

    def test_people_at_work_together_begin_in_different_places(self, workspace, ids):
        begun = {annotation.next_question(workspace, name).asked.id for name in ("ann", "bob", "cleo", "dan", "eve")}
        assert len(begun) > 2
        assert begun <= {*ids}

    def test_no_suggestion_is_shown_of_what_chance_drew(self, workspace, ids):
        shown = {one: annotation.next_question(workspace, "ann", after=one - 1).asked for one in ids}
        assert {shown[one].suggested for one in ids[:4]} == {None}
        assert {shown[one].confidence for one in ids[:4]} == {None}
        assert {shown[one].suggested for one in ids[4:]} <= {"a", "b"}

    def test_what_no_longer_waits_is_not_asked_but_can_be_read_again(self, workspace, ids):
        annotation.answer(workspace, ids[0], 1, "a", annotator="ann")
        assert annotation.next_question(workspace, "ann", after=0).asked.id == ids[1]
        again = annotation.question(workspace, ids[0], "ann")
        assert (again.asked.text, again.asked.reason, again.asked.suggested) == ("text number 0 here", "", None)
        assert (again.said, again.waiting) == ("a", 11)
        assert annotation.question(workspace, ids[0], "bob").said is None, "another's answer might sway him"

    def test_where_nothing_waits_there_is_nothing_to_read(self, workspace, ids):
        for one in ids:
            annotation.answer(workspace, one, 1, "a", annotator="ann")
        assert annotation.next_question(workspace, "ann") is None

    def test_without_a_champion_nothing_is_asked(self, workspace):
        with pytest.raises(NoChampionError):
            annotation.next_question(workspace, "ann")

    def test_only_what_was_asked_for_can_be_read(self, workspace, ids):
        with workspace.database.begin() as connection:
            (other,) = add_articles(connection, [("secret", "nobody asked", "test")])
        for one in (other, max(other, *ids) + 1):
            with pytest.raises(ReviewError, match="never asked for"):
                annotation.question(workspace, one, "ann")


class TestAnswering:
    def test_an_answer_is_an_annotation_and_the_same_again_changes_nothing(self, workspace, ids):
        for _ in range(2):
            annotation.answer(workspace, ids[0], 1, "a", annotator="ann", comment=" a pun ")
        assert said(workspace) == [(ids[0], "a", "ann", "a pun", False)]

    def test_who_erred_says_something_else_and_that_counts(self, workspace, ids):
        for category in ("a", "b"):
            annotation.answer(workspace, ids[0], 1, category, annotator="ann")
        assert annotation.question(workspace, ids[0], "ann").said == "b"
        assert conflicts.list_conflicts(workspace) == []

    def test_an_answer_to_a_text_that_changed_is_refused(self, workspace, ids):
        run(workspace.database, "UPDATE articles SET revision = 2 WHERE id = :id", id=ids[0])
        with pytest.raises(ReviewError, match=f"the text of article {ids[0]} has changed since$"):
            annotation.answer(workspace, ids[0], 1, "a", annotator="ann")
        assert said(workspace) == []

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"category": "c"}, "category 'c' is not known$"),
            ({"category": "A"}, "is 'a' meant"),
            ({"annotator": "source:s"}, "a person has to be named"),
            ({"annotator": ""}, "annotator is empty"),
            ({"comment": "x\0"}, "comment has"),
            ({"comment": "x" * 2001}, "longer than 2000"),
        ],
    )
    def test_what_cannot_be_taken_is_refused_in_a_line(self, workspace, ids, given, why):
        with pytest.raises(ReviewError, match=why):
            annotation.answer(workspace, ids[0], 1, **{"category": "a", "annotator": "ann", **given})
        assert said(workspace) == []

    def test_a_category_that_people_have_named_can_be_chosen_by_all(self, workspace, ids):
        with workspace.database.begin() as connection:
            say(connection, ids[0], "weather")
            say(connection, ids[1], "of the source", "source:s")
        assert annotation.next_question(workspace, "bob", after=0).categories == ("a", "b", "weather")
        annotation.answer(workspace, ids[2], 1, "weather", annotator="bob")


class TestDeciding:
    @pytest.fixture
    def disputed(self, workspace, ids):
        for name, category in (("ann", "a"), ("bob", "b")):
            annotation.answer(workspace, ids[0], 1, category, annotator=name)
        return ids[0]

    def test_a_conflict_is_shown_with_what_everybody_said_and_settled_by_one(self, workspace, disputed):
        opinions = annotation.question(workspace, disputed, "cleo").opinions
        assert [(one.annotator, one.category) for one in opinions] == [("ann", "a"), ("bob", "b")]
        annotation.decide(workspace, disputed, 1, "b", annotator="cleo", comment="see the title")
        assert conflicts.list_conflicts(workspace) == []
        assert said(workspace)[-1] == (disputed, "b", "cleo", "see the title", True)

    def test_a_decision_on_a_text_that_changed_is_refused(self, workspace, disputed):
        run(workspace.database, "UPDATE articles SET revision = 2 WHERE id = :id", id=disputed)
        with pytest.raises(ReviewError, match="has changed since"):
            annotation.decide(workspace, disputed, 1, "b", annotator="cleo")
        assert len(conflicts.list_conflicts(workspace)) == 1
