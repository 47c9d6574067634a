"""Titles and addresses are stored with their article; a changed title is a new revision of it."""

from __future__ import annotations

import pytest

from classifier.ingest.readers import Columns
from tests.support.predictions import label
from tests.support.synthetic import ingest_file, query, value

COLUMNS = Columns("text", id="id", title="title", url="url")
ADDRESS = "https://example.org/1"


@pytest.fixture
def bring(workspace, tmp_path):
    """Ingest one article with a title and an address."""

    def bring(title="", url="", text="the bank", columns=COLUMNS, **more):
        row = {"id": "x", "text": text, "title": title, "url": url, **more}
        return ingest_file(workspace, tmp_path / "news.csv", [row], columns)

    return bring


def stored(workspace):
    return query(workspace.database, "SELECT title, url, revision, content_revision FROM articles")


def test_a_row_brings_its_title_and_address(workspace, bring):
    assert bring("A title", ADDRESS).new == 1
    assert stored(workspace) == [("A title", ADDRESS, 1, 1)]
    assert query(workspace.database, "SELECT title, url FROM article_labels") == [("A title", ADDRESS)]


def test_an_empty_title_and_address_are_null(workspace, bring):
    bring()
    assert stored(workspace) == [(None, None, 1, 1)]


def test_a_row_without_a_title_and_an_address_leaves_those_of_the_article(workspace, bring):
    bring("A title", ADDRESS)
    assert bring(text="the market").changed == 1
    assert stored(workspace) == [("A title", ADDRESS, 2, 2)]


def test_another_title_is_a_new_revision_that_waits_for_a_label(workspace, bring):
    bring("A title", ADDRESS)
    with workspace.database.begin() as connection:
        label(connection, [value(workspace.database, "SELECT id FROM articles")])
    assert query(workspace.database, "SELECT origin FROM article_labels") == [("prediction",)]
    report = bring("Another title", ADDRESS)
    assert (report.changed, report.enqueued) == (1, 1)
    assert stored(workspace) == [("Another title", ADDRESS, 2, 1)]
    assert query(workspace.database, "SELECT label FROM article_labels") == [(None,)]


def test_a_first_title_is_a_new_revision(workspace, bring):
    bring()
    assert bring("A title").changed == 1
    assert stored(workspace) == [("A title", None, 2, 1)]


def test_an_annotation_stays_in_force_if_only_the_title_changes(workspace, bring):
    columns = Columns("text", "category", "id", title="title")
    bring("A title", columns=columns, category="sport")
    report = bring("Another title", columns=columns, category="sport")
    assert (report.changed, report.annotations, report.enqueued) == (1, 0, 0)
    assert query(workspace.database, "SELECT label, origin FROM article_labels") == [("sport", "annotation")]


def test_another_address_changes_no_label(workspace, bring):
    bring("A title", ADDRESS)
    changed_at = value(workspace.database, "SELECT changed_at FROM articles")
    report = bring("A title", "https://example.org/2")
    assert (report.changed, report.unchanged, report.enqueued) == (0, 1, 0)
    assert stored(workspace) == [("A title", "https://example.org/2", 1, 1)]
    assert value(workspace.database, "SELECT changed_at FROM articles") == changed_at


def test_the_same_row_again_changes_nothing(workspace, bring):
    bring("A title", ADDRESS)
    assert bring("A title", ADDRESS).unchanged == 1
    assert stored(workspace) == [("A title", ADDRESS, 1, 1)]


def test_the_address_is_the_id_of_a_row_without_an_id(workspace, tmp_path):
    columns = Columns("text", url="url")
    long = f"https://example.org/{'x' * 600}"
    rows = [{"text": "one", "url": ADDRESS}, {"text": "two", "url": long}, {"text": "three", "url": ""}]
    assert ingest_file(workspace, tmp_path / "news.csv", rows, columns).new == 3
    ids = dict(query(workspace.database, "SELECT text, external_id FROM articles"))
    assert ids["one"] == ADDRESS
    assert ids["two"].startswith("https://example.org/x")
    assert len(ids["two"]) <= 400
    assert len(ids["three"]) == 32
    changed = [{**row, "text": f"{row['text']} changed"} for row in rows[:2]]
    assert ingest_file(workspace, tmp_path / "news.csv", changed, columns).changed == 2
