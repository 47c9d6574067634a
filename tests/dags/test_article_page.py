"""The page of an article, and on demand why the model gave it its label."""

from __future__ import annotations

import re
from html import unescape

import pytest

from classifier.exceptions import DatabaseUnavailableError
from classifier.pipeline.review import explanation_process
from classifier.pipeline.review.explanation_process import ExplanationProcess
from tests.support.explained_articles import TEXT, TITLE, add_explained_articles
from tests.support.synthetic import add_articles, annotate, dump, run, value
from tests.support.waiting import HANG_S

pytestmark = pytest.mark.filterwarnings("default")

EVIL = '"><script>alert(1)</script>&'


@pytest.fixture
def ids(workspace, monkeypatch):
    """An article that waits for review, and one that was drawn at random."""
    monkeypatch.setattr(explanation_process, "TIMEOUT_S", HANG_S)
    return add_explained_articles(workspace)


def marked(page, kind):
    return [unescape(word).lower() for word in re.findall(rf'<mark class="{kind} strength-\d">([^<]+)</mark>', page)]


def text_of(page):
    """Return the marked text without its marks."""
    (content,) = re.findall(r'<template data-marked="text">(.*?)</template>', page, re.DOTALL)
    return unescape(re.sub(r"</?mark[^>]*>", "", content))


def rows(page, kind):
    (table,) = re.findall(rf'<table class="words {kind}">(.*?)</table>', page, re.DOTALL)
    return re.findall(r'<th scope="row">([^<]+?)\s*(?:<|$)', table)


def test_the_page_shows_the_text_the_labels_and_the_annotations_and_computes_nothing(ask, ids, workspace):
    page = ask(f"/articles/{ids[0]}").text
    assert unescape(page).count(TEXT) == 1
    assert TITLE in page
    assert re.search(r"<strong>sport</strong>\s*<span class=\"faint\">\d+ % by m1", page)
    assert 'data-key="w"' in page
    assert "<mark" not in page
    annotated = value(workspace.database, "SELECT min(id) FROM articles")
    page = ask(f"/articles/{annotated}").text
    assert "annotated</span>" in page
    assert "ann, 20" in page


def test_the_explanation_marks_the_words_and_lists_them_with_figures_and_similar_articles(ask, ids, workspace):
    before = dump(workspace.database)
    answer = ask(f"/articles/{ids[0]}/why?revision=1")
    assert answer.status_code == 200
    assert text_of(answer.text) == TEXT
    assert {"striker", "goals", "cup", "final"} <= {*marked(answer.text, "for"), *rows(answer.text, "for")}
    assert {"shares", "bank"} & {*marked(answer.text, "against")}
    assert {"striker", "final"} & {*rows(answer.text, "for")}
    assert '<template data-marked="title">' in answer.text
    assert '<th scope="col">linear</th>' in answer.text
    near = re.findall(r"<li><strong>(\w+)</strong> <a href=\"/classifier/articles/(\d+)\">", answer.text)
    assert len(near) == 5
    assert {category for category, _ in near} <= {"sport", "business"}
    assert dump(workspace.database) == before
    other = ask(f"/articles/{ids[0]}/why?revision=1&category=business").text
    assert "Why business?" in other
    assert "the label is sport" in other
    assert {"shares", "bank"} & {*rows(other, "for")}


def test_if_no_similar_article_is_listed_the_reason_is_true(ask, ids, workspace, monkeypatch):
    texts = "UPDATE articles SET text = 'qwertz' WHERE split = 'train' AND id <> :id"
    run(workspace.database, texts, id=ids[0])
    shared = ask(f"/articles/{ids[0]}/why?revision=1").text
    assert re.search(r"of \d+ compared</span>", shared)
    assert "None: no article that was compared shares a word with this one." in shared
    run(workspace.database, "UPDATE annotations SET retracted_at = now(), retracted_by = 'ann'")
    assert "None: there is no other annotated article of these categories" in ask(f"/articles/{ids[0]}?why=1").text
    ask_process = ExplanationProcess.ask
    monkeypatch.setattr(ExplanationProcess, "ask", lambda *values: {**ask_process(*values), "nearest": None})
    late = ask(f"/articles/{ids[0]}/why?revision=1").text
    assert "Why sport?" in late
    assert "Not shown: the database did not answer in time." in late


def test_without_javascript_the_page_itself_has_the_explanation(ask, ids):
    page = ask(f"/articles/{ids[0]}?why=1").text
    assert "Why sport?" in page
    assert "striker" in marked(page, "for")
    assert "<template" not in page
    assert "<script>" not in page
    assert "style=" not in page


def test_the_review_page_has_a_link_and_a_key_for_it_unless_the_label_is_hidden(ask, ids):
    first, drawn = ids
    page = ask(f"/review/articles/{first}", "user").text
    assert f'data-why="/classifier/articles/{first}/why?revision=1" data-key="w"' in page
    assert 'data-key="w"' not in ask(f"/review/articles/{drawn}", "user").text


def test_an_article_drawn_at_random_is_shown_without_its_label_until_it_is_annotated(ask, ids, workspace):
    _, drawn = ids
    page = ask(f"/articles/{drawn}?why=1").text
    assert "This article waits for an independent annotation. Annotate it first; then its label is shown and" in page
    assert "by m1" not in page
    answer = ask(f"/articles/{drawn}/why?revision=1")
    assert answer.status_code == 409
    assert "Annotate it first" in answer.text
    assert "sport" not in answer.text
    with workspace.database.begin() as connection:
        annotate(connection, drawn, "sport")
    assert ask(f"/articles/{drawn}/why?revision=1").status_code == 200


def test_the_second_person_does_not_see_the_first_ones_answer(ask, ids, workspace, monkeypatch):
    first, drawn = ids
    monkeypatch.setenv("CLASSIFIER_REVIEW_OVERLAP", "1")
    with workspace.database.begin() as connection:
        annotate(connection, first, "tech", annotator="ada the user")
        annotate(connection, drawn, "tech", annotator="ada the user")
    own = ask(f"/articles/{first}", "user").text
    assert "<strong>tech</strong>" in own
    assert "ada the user, 20" in own
    page = ask(f"/articles/{first}?why=1", "admin").text
    assert "This article waits for an independent annotation. Annotate it first; then its label is shown." in page
    assert "ada the user" not in page
    assert "<strong>tech</strong>" not in page
    assert "Why sport?" in page, "the model's answer to an article that was not drawn at random may be shown"
    assert "Annotate it first" in ask(f"/articles/{drawn}/why?revision=1", "admin").text
    assert "Why sport?" in ask(f"/articles/{drawn}/why?revision=1", "user").text


def test_a_database_that_does_not_answer_is_not_an_article_that_does_not_exist(ask, ids, monkeypatch):
    from classifier.pipeline.review import article_details

    def fail(*_):
        raise DatabaseUnavailableError("the server not found at db.example")

    monkeypatch.setattr(article_details, "read_article", fail)
    assert ask(f"/articles/{ids[0]}").status_code == 503


def test_a_changed_text_an_unknown_category_and_an_unknown_article_are_told(ask, ids):
    first, _ = ids
    answer = ask(f"/articles/{first}/why?revision=2")
    assert (answer.status_code, "has changed; reload the page" in answer.text) == (409, True)
    answer = ask(f"/articles/{first}/why?revision=1&category=art")
    assert (answer.status_code, "unknown; choose from business, sport, tech" in answer.text) == (409, True)
    assert "--category" not in answer.text, "that is an option of the command"
    assert ask("/articles/999999").status_code == 404
    assert "article 999999: not found" in ask("/articles/999999").text
    assert ask("/articles/999999/why?revision=1").status_code == 409
    assert ask(f"/articles/{first}/why").status_code == 422
    assert ask("/articles/0").status_code == 422


def test_a_hostile_text_and_name_cannot_break_out(ask, ids, workspace):
    with workspace.database.begin() as connection:
        (hostile,) = add_articles(connection, [(EVIL, f"goal {EVIL} striker {EVIL}", "train")])
        annotate(connection, hostile, EVIL)
    run(workspace.database, "UPDATE articles SET title = :title WHERE id = :id", title=EVIL, id=hostile)
    for page in (ask(f"/articles/{hostile}?why=1").text, ask(f"/articles/{hostile}/why?revision=1").text):
        assert "<script>" not in page
        assert "<script>" in unescape(page)
    shown = ask(f"/articles/{ids[0]}/why?revision=1").text
    assert "<script>" not in shown


def test_without_a_champion_there_is_nothing_to_explain(ask, workspace):
    with workspace.database.begin() as connection:
        (article,) = add_articles(connection, [("a", "the bank", "train")])
    page = ask(f"/articles/{article}?why=1").text
    assert "No model has been promoted yet" in page
    assert 'data-key="w"' not in page
    assert ask(f"/articles/{article}/why?revision=1").status_code == 409


def test_the_text_is_in_no_log(ask, ids, caplog, capfd):
    assert ask(f"/articles/{ids[0]}/why?revision=1").status_code == 200
    output = caplog.text + "".join(capfd.readouterr())
    assert "striker" not in output.lower()
