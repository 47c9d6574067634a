"""What is tested on is never trained on, however the rows came to stand in both splits."""

from __future__ import annotations

import pytest

from classifier.ingest.readers import Columns
from classifier.store import annotated_articles
from tests.support.synthetic import add_articles, annotate, ingest_file

SPLIT_COLUMNS = Columns("text", "category", "id", "split")


def texts(connection, split):
    return {article.text for article in annotated_articles.load_split(connection, split)}


@pytest.mark.parametrize(("split", "kept_from"), [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_a_text_that_a_more_guarded_split_holds_too_is_left_out(connection, split, kept_from):
    rows = [("1", "The  TEAM\n", split), ("2", "the team", kept_from), ("3", "the bank", split)]
    for one in add_articles(connection, rows):
        annotate(connection, one, "sport")
    assert texts(connection, split) == {"the bank"}
    assert texts(connection, kept_from) == {"the team"}


def test_the_guarded_text_need_not_be_annotated(connection):
    first, _ = add_articles(connection, [("1", "the team", "train"), ("2", "THE TEAM", "test")])
    annotate(connection, first, "sport")
    assert texts(connection, "train") == set()


def test_a_source_with_repeats_across_its_own_splits_is_guarded(workspace, tmp_path):
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


def test_a_text_that_changes_into_a_tested_one_leaves_the_train_split(workspace, tmp_path):
    rows = [
        {"id": "1", "text": "the bank", "category": "business", "split": "train"},
        {"id": "2", "text": "the team", "category": "sport", "split": "test"},
    ]
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    rows[0]["text"] = "THE TEAM"
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    with workspace.database.connect() as connection:
        assert texts(connection, "train") == set()


def test_the_newest_annotation_is_the_one_that_counts(connection):
    one, _ = add_articles(connection, [("1", "x", "train"), ("2", "y", "train")])
    for category in ("sport", "tech", "business"):
        annotate(connection, one, category)
    found = annotated_articles.load_split(connection, "train")
    assert [(article.id, article.category) for article in found] == [(one, "business")]
