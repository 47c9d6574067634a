"""The review page of a multi-label task, as users use it without JavaScript: check boxes, and one button to save."""

from __future__ import annotations

import re
from html import unescape

import pytest

from classifier.pipeline.review import annotation, conflicts, review_queue
from tests.support.multi_label import CATEGORIES, add_champion, add_task
from tests.support.synthetic import add_articles, query

pytestmark = pytest.mark.filterwarnings("default")

PROBABILITIES = [(0.9, 0.8, 0.1), (0.1, 0.2, 0.1), (0.6, 0.1, 0.1), (0.1, 0.1, 0.7)]
MANY = tuple(f"category {number:03d}" for number in range(90))


@pytest.fixture
def topics(workspace):
    return add_task(workspace)


@pytest.fixture
def ids(topics):
    """Four articles that wait for review."""
    with topics.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text {n} here", "train") for n in range(4)])
    add_champion(topics, ids, PROBABILITIES)
    review_queue.fill_queue(topics, number=4, audit=0)
    return ids


def checked(page):
    """Return the check boxes of the page's form, and whether each is checked."""
    boxes = re.findall(r'<input type="checkbox" name="category" value="([^"]*)"([^>]*)>', page)
    return {unescape(name): " checked" in more for name, more in boxes}


def form(page, *categories, **more):
    """Return what a browser would send if exactly these boxes are checked."""
    address = re.search(r'<form method="post" action="/classifier([^"]+)"', page)[1]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return address, {**fields, "category": list(categories), "comment": "", **more}


def annotations(workspace):
    return [
        (article_id, tuple(names), annotator)
        for article_id, names, annotator in query(
            workspace.database, "SELECT article_id, categories, annotator FROM annotations ORDER BY id"
        )
    ]


class TestReview:
    def test_the_suggestions_are_checked_and_have_keys(self, ask, ids):
        expected = [("gold", "grain"), (), ("gold",), ("ship",)]
        for article_id, names in zip(ids, expected, strict=True):
            page = ask(f"/review/next?after={article_id - 1}", "user").text
            assert checked(page) == {name: name in names for name in CATEGORIES}
            assert f"The model suggests <strong>{', '.join(names) or 'none'}</strong>" in page
        assert re.search(r'value="grain"[^>]* data-key="2" aria-keyshortcuts="2"', page)
        assert '<button data-key="enter"' in page

    def test_several_categories_one_and_none_are_saved(self, ask, ids, topics):
        answer = ask("/review/next?after=0", "user")
        for names in (("ship", "gold"), (), ("grain",)):
            address, fields = form(answer.text, *names)
            answer = ask(address, "user", method="POST", data=fields)
            assert answer.status_code == 303
            answer = ask(answer.headers["location"].removeprefix("/classifier"), "user")
        saved = [("gold", "ship"), (), ("grain",)]
        assert annotations(topics) == [(ids[n], names, "ada the user") for n, names in enumerate(saved)]
        again = ask(f"/review/articles/{ids[1]}", "user").text
        assert "You annotated it as <strong>none</strong>. Save other categories to change that." in again
        assert not any(checked(again).values())

    @pytest.mark.usefixtures("ids")
    def test_a_refused_answer_keeps_what_was_checked(self, ask, topics):
        address, fields = form(ask("/review/next?after=0", "user").text, "ship", comment="x\0")
        answer = ask(address, "user", method="POST", data=fields)
        assert answer.status_code == 409
        assert checked(answer.text) == {"gold": False, "grain": False, "ship": True}
        assert annotations(topics) == []

    @pytest.mark.usefixtures("ids")
    def test_an_unknown_category_is_refused(self, ask, topics):
        address, fields = form(ask("/review/next?after=0", "user").text, "shop")
        answer = ask(address, "user", method="POST", data=fields)
        assert "The annotation was not saved: category &#39;shop&#39; is unknown" in answer.text
        assert annotations(topics) == []

    def test_a_conflict_is_shown_with_sets_and_resolved_by_one(self, ask, ids, topics):
        annotation.save_answer(topics, ids[0], 1, ["gold", "ship"], annotator="ann")
        annotation.save_answer(topics, ids[0], 1, ["gold"], annotator="bob")
        annotation.save_answer(topics, ids[1], 1, [], annotator="ann")
        annotation.save_answer(topics, ids[1], 1, ["ship"], annotator="bob")
        listed = ask("/review", "user").text
        assert "<strong>gold, ship</strong>" in listed
        assert "<strong>none</strong>" in listed
        page = ask(f"/review/articles/{ids[0]}", "user").text
        assert checked(page) == {"gold": True, "grain": False, "ship": False}, "what all agree on"
        for article_id, names in ((ids[0], ["gold", "grain"]), (ids[1], [])):
            address, fields = form(ask(f"/review/articles/{article_id}", "user").text, *names)
            assert address == "/review/decide"
            assert ask(address, "user", method="POST", data=fields).status_code == 303
        assert conflicts.list_conflicts(topics) == []
        assert annotations(topics)[-2:] == [
            (ids[0], ("gold", "grain"), "ada the user"),
            (ids[1], (), "ada the user"),
        ]


class TestManyCategories:
    @pytest.fixture
    def ids(self, topics):
        with topics.database.begin() as connection:
            ids = add_articles(connection, [("x", "text here", "train")])
        add_champion(topics, ids, [[0.9, 0.8] + [0.01] * 88], categories=MANY)
        review_queue.fill_queue(topics, number=1, audit=0)
        return ids

    @pytest.mark.parametrize("typed", ["category 077", "category 077; category 000"])
    def test_others_are_typed_next_to_those_that_are_checked(self, ask, ids, topics, typed):
        page = ask("/review/next", "user").text
        assert checked(page) == {"category 000": True, "category 001": True}
        address, fields = form(page, "category 000", typed=typed)
        assert ask(address, "user", method="POST", data=fields).status_code == 303
        assert annotations(topics) == [(ids[0], ("category 000", "category 077"), "ada the user")]

    @pytest.mark.usefixtures("ids")
    def test_an_unknown_typed_category_is_refused(self, ask, topics):
        address, fields = form(ask("/review/next", "user").text, "category 000", typed="category 777")
        answer = ask(address, "user", method="POST", data=fields)
        assert answer.status_code == 409
        assert "category &#39;category 777&#39;: unknown; choose one from the list" in answer.text
        assert annotations(topics) == []
