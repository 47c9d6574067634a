"""A validation split taken from the train split has no near-duplicate of an article that is trained on."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from classifier.articles import AnnotatedArticle
from classifier.ingest import minhash_bands
from classifier.ingest.readers import Columns
from classifier.pipeline.ingest import splits_report
from classifier.pipeline.training import training_data, validation_split
from classifier.training.spooled_articles import spool
from tests.support.synthetic import add_articles, annotate, ingest_file, run

COLUMNS = Columns("text", "category", "id", "split")


def near_pairs(count):
    """Yield rows of pairs of texts with 60 words in common, which differ in their last word."""
    generator = random.Random(0)
    for number in range(count):
        words = [f"w{generator.randrange(10**6)}" for _ in range(60)]
        for copy in "ab":
            yield {
                "id": f"{number}{copy}",
                "text": " ".join([*words, copy]),
                "category": ("sport", "tech", "business")[number % 3],
                "split": "train",
            }


@pytest.fixture
def paired(workspace, tmp_path):
    rows = [*near_pairs(300), {"id": "t", "text": "only this", "category": "sport", "split": "test"}]
    ingest_file(workspace, tmp_path / "a.csv", rows, COLUMNS)
    return workspace


def count_near_duplicates(first, second):
    """Return how many articles of the first share a band with one of the second."""
    bands = [minhash_bands.compute_bands([article.text for article in articles])[0] for articles in (first, second)]
    return int(np.isin(bands[0], bands[1]).any(axis=1).sum())


def test_a_near_duplicate_of_a_validation_article_is_not_trained_on(paired):
    train, validation = training_data.read_training_data(paired)
    assert (len(train), len(validation)) == (540, 60)
    assert count_near_duplicates(validation, train) == 0
    again = training_data.read_training_data(paired)
    assert [part.ids for part in again] == [train.ids, validation.ids]


def test_the_splits_report_covers_what_training_reads(paired, monkeypatch):
    assert splits_report.report_splits(paired).near_duplicates_across == 0
    # without near-duplicates, each article would be a group
    monkeypatch.setattr(validation_split, "duplicate_groups", lambda ids, _: np.arange(len(ids)))
    report = splits_report.report_splits(paired)
    assert 40 <= report.near_duplicates_across <= 60 * 2
    assert report.left_out == {"train": 0, "validation": 0, "test": 0}


def test_articles_that_a_text_of_two_clusters_connects_stay_together(workspace):
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(60)])
        for number, article_id in enumerate(ids):
            annotate(connection, article_id, "ab"[number % 2])
    numbers = {article_id: number for number, article_id in enumerate(ids)}
    # clusters of two articles; the first article of every other cluster is in the next cluster, too
    run(workspace.database, "INSERT INTO splits (fingerprint, split, cluster_id) "
        "SELECT fingerprint, split, (id - :first) / 2 FROM articles", first=ids[0])  # fmt: skip
    run(workspace.database, "INSERT INTO cluster_bridges (fingerprint, cluster_id) "
        "SELECT fingerprint, (id - :first) / 2 + 1 FROM articles WHERE (id - :first) % 4 = 0",
        first=ids[0])  # fmt: skip
    train, validation = training_data.read_training_data(workspace)
    assert len(validation) == 4, "a group of four is the smallest"
    groups = [{numbers[article_id] // 4 for article_id in part.ids} for part in (train, validation)]
    assert not groups[0] & groups[1]


def test_articles_without_clusters_are_grouped_by_their_text(workspace):
    with workspace.database.begin() as connection:
        rows = [(f"{n}", f"text  {n // 2}" if n % 2 else f"TEXT {n // 2}", "train") for n in range(60)]
        for number, article_id in enumerate(add_articles(connection, rows)):
            annotate(connection, article_id, "ab"[number // 2 % 2])
    train, validation = training_data.read_training_data(workspace)
    assert len(validation) == 6
    texts = [{article.text.casefold().split()[1] for article in part} for part in (train, validation)]
    assert not texts[0] & texts[1]


def test_a_group_larger_than_the_share_is_used_only_if_there_is_no_smaller_one(tmp_path):
    hashes = [hashlib.sha256(str(number).encode()).digest() for number in range(30)]
    articles = spool(
        [AnnotatedArticle(number, "", text_hash, ("ab"[number % 2],)) for number, text_hash in enumerate(hashes)],
        tmp_path,
    )
    large = [0] * 12 + [1] * 12 + [2] * 6
    assert [len(part) for part in validation_split.choose_validation(articles, large)] == [24, 6]
    mixed = [0] * 12 + [1] * 12 + list(range(2, 8))
    assert [len(part) for part in validation_split.choose_validation(articles, mixed)] == [27, 3]
    assert [len(part) for part in validation_split.choose_validation(articles, [0] * 30)] == [30, 0]
