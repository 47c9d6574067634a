"""A test article is never trained on, even if its text is in both splits."""

from __future__ import annotations

import pytest

from classifier.ingest.readers import Columns
from classifier.store import annotated_articles
from tests.support.synthetic import add_articles, annotate, ingest_file

SPLIT_COLUMNS = Columns("text", "category", "id", "split")


def texts(connection, split):
    return {article.text for article in annotated_articles.load_split(connection, split)}


@pytest.mark.parametrize(("split", "kept_from"), [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_a_text_that_is_also_in_a_later_split_is_left_out(connection, split, kept_from):
    rows = [("1", "The  TEAM\n", split), ("2", "the team", kept_from), ("3", "the bank", split)]
    for article_id in add_articles(connection, rows):
        annotate(connection, article_id, "sport")
    assert texts(connection, split) == {"the bank"}
    assert texts(connection, kept_from) == {"the team"}


def test_a_test_article_need_not_be_annotated_to_exclude_its_text(connection):
    first, _ = add_articles(connection, [("1", "the team", "train"), ("2", "THE TEAM", "test")])
    annotate(connection, first, "sport")
    assert texts(connection, "train") == set()


def test_texts_repeated_across_the_splits_of_one_source_are_left_out(workspace, tmp_path):
    rows = [
        {"id": str(number), "text": text, "category": "sport", "split": split}
        for number, (text, split) in enumerate([
            ("a b", "train"),
            ("A  b", "test"),
            ("c", "train"),
            ("d", "validation"),
            ("D", "test"),
            ("e", "validation"),
        ])
    ]
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    with workspace.database.connect() as connection:
        assert texts(connection, "train") == {"c"}
        assert texts(connection, "validation") == {"e"}
        assert texts(connection, "test") == {"A  b", "D"}


def test_a_text_that_changes_into_a_test_articles_text_leaves_the_train_split(workspace, tmp_path):
    rows = [
        {"id": "1", "text": "the bank", "category": "business", "split": "train"},
        {"id": "2", "text": "the team", "category": "sport", "split": "test"},
    ]
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    rows[0]["text"] = "THE TEAM"
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    with workspace.database.connect() as connection:
        assert texts(connection, "train") == set()


def test_the_newest_annotation_counts(connection):
    article_id, _ = add_articles(connection, [("1", "x", "train"), ("2", "y", "train")])
    for category in ("sport", "tech", "business"):
        annotate(connection, article_id, category)
    articles = annotated_articles.load_split(connection, "train")
    assert [(article.id, article.category) for article in articles] == [(article_id, "business")]
