"""Nothing influences a person who should annotate an article: no label, no answer of another person or of the model."""

from __future__ import annotations

import pytest

from classifier import registry
from classifier.exceptions import ReviewError
from classifier.pipeline.labelling import queue
from classifier.pipeline.review import annotation, article_details, nearest_articles, review_queue
from classifier.pipeline.review.article_explanation import ArticleRequest, Explainer
from classifier.store import model_rows
from classifier.workspace import Workspace
from tests.support.multi_label import add_task
from tests.support.synthetic import add_articles, annotate, enqueue, run
from tests.support.tiny_models import make_lexicon_artefact

LEXICON = {"business": ("bank", "shares"), "sport": ("goal", "match"), "tech": ("chip", "phone")}


@pytest.fixture
def champion(workspace):
    """Return a function that makes another model champion."""

    def make(name):
        files = make_lexicon_artefact(workspace.models / name, LEXICON)
        with workspace.database.begin() as connection:
            model = registry.register(connection, name, files, {})
            model_rows.make_champion(connection, model.id)

    return make


@pytest.fixture
def ids(workspace, champion):
    """An article that waits for review and has a label, and one that is annotated."""
    champion("m1")
    with workspace.database.begin() as connection:
        ids = add_articles(
            connection, [("a1", "the bank of the team", "train"), ("a2", "the bank of the goal", "train")]
        )
        annotate(connection, ids[1], "sport")
        enqueue(connection, ids[:1])
    queue.label_queue(workspace, engine="openvino")
    review_queue.fill_queue(workspace, number=0, audit=1)
    return ids


@pytest.fixture
def both(workspace):
    """A workspace in which two people annotate each article."""
    changes = {"review_overlap": 1.0, "review_annotators": 2}
    return Workspace(workspace.database, workspace.settings.model_copy(update=changes), workspace.choice)


def read(workspace, article_id, reader):
    return article_details.read_article(workspace, article_id, reader)


def set_reason(workspace, reason):
    run(workspace.database, "UPDATE review_queue SET reason = :reason", reason=reason)


def near(workspace, **options):
    nearest = nearest_articles.find_nearest(workspace, "the bank", ["sport", "business"], **options)
    return sorted(article.external_id for article in nearest.articles)


def test_the_label_is_neither_shown_nor_explained_until_the_article_is_annotated(workspace, ids):
    request = ArticleRequest(None, ids[0], 1)
    with pytest.raises(ReviewError, match="waits for an independent annotation; annotate it first"):
        Explainer().explain(workspace, request)
    hidden = read(workspace, ids[0], "ann")
    assert (hidden.is_blind, hidden.hidden_tasks, hidden.labels, hidden.annotations) == (True, ("default",), (), ())
    with workspace.database.begin() as connection:
        annotate(connection, ids[0], "business")
    shown = read(workspace, ids[0], "ann")
    assert (shown.is_blind, shown.hidden_tasks) == (False, ())
    assert [label.labels for label in shown.labels] == [("business",)]
    assert Explainer().explain(workspace, request)["result"]["label"] == "business"


class TestSecondPerson:
    def test_sees_neither_the_answer_of_the_first_nor_the_label_that_it_became(self, both, ids):
        set_reason(both, "uncertain")
        assert not read(both, ids[0], "bob").hidden_tasks, "the model's suggestion may be shown"
        annotation.save_answer(both, ids[0], 1, ["tech"], annotator="ann", comment="for sure")
        hidden = read(both, ids[0], "bob")
        assert (hidden.labels, hidden.annotations, hidden.is_blind) == ((), (), False)
        (own,) = read(both, ids[0], "ann").annotations
        assert (own.annotator, own.comment) == ("ann", "for sure")
        annotation.save_answer(both, ids[0], 1, ["tech"], annotator="bob")
        assert len(read(both, ids[0], "bob").annotations) == 2

    def test_does_not_see_the_models_answer_if_the_first_did_not(self, both, ids, champion):
        annotation.save_answer(both, ids[0], 1, ["business"], annotator="ann")
        for newer in ("m2", "m3"):
            assert read(both, ids[0], "bob").is_blind
            with pytest.raises(ReviewError, match="waits for an independent annotation"):
                Explainer().explain(both, ArticleRequest(None, ids[0], 1, reader="bob"))
            assert Explainer().explain(both, ArticleRequest(None, ids[0], 1, reader="ann"))["categories"]
            champion(newer)  # which does not end the wait

    def test_sees_no_such_article_among_those_that_are_similar_to_others(self, both, ids):
        annotation.save_answer(both, ids[0], 1, ["business"], annotator="ann")
        assert near(both, reader="bob") == near(both) == ["a2"]
        assert near(both, reader="ann") == ["a1", "a2"]
        annotation.save_answer(both, ids[0], 1, ["business"], annotator="bob")
        assert near(both, reader="cid") == ["a1", "a2"]


@pytest.mark.parametrize("reason", ["doubtful", "control"])
def test_an_annotation_that_is_checked_is_not_shown_until_a_person_has_annotated_the_article(workspace, ids, reason):
    set_reason(workspace, reason)
    with workspace.database.begin() as connection:
        annotate(connection, ids[0], "business", annotator="source:s")
    assert near(workspace) == ["a2"]
    assert read(workspace, ids[0], "ann").is_blind
    with workspace.database.begin() as connection:
        annotate(connection, ids[0], "sport")
    assert near(workspace) == ["a1", "a2"]


def test_an_article_that_waits_in_another_task_does_not_show_that_tasks_label(workspace, ids):
    topics = add_task(workspace, min_labels=0)
    with topics.database.begin() as connection:
        for article_id in ids:
            annotate(connection, article_id, "gold")
    here, there = (read(of_task, ids[0], "ann") for of_task in (workspace.with_task("default"), topics))
    assert here.hidden_tasks == there.hidden_tasks == ("default",)
    for details in (here, there):
        assert [(label.task, label.labels) for label in details.labels] == [("topics", ("gold",))]
        assert [each.task for each in details.annotations] == ["topics"]
    assert (here.is_blind, there.is_blind) == (True, False)
    assert {each.task for each in read(topics, ids[1], "ann").annotations} == {"default", "topics"}
