"""A training reads the annotated articles of its splits, and enough of each category."""

from __future__ import annotations

import pytest

from classifier.exceptions import TrainingDataError
from classifier.pipeline.training import training_data
from tests.support.synthetic import add_articles, annotate


@pytest.fixture
def add(workspace):
    """Add annotated articles: pairs of split and category."""

    def add_pairs(*pairs):
        with workspace.database.begin() as connection:
            rows = [(f"{n}", f"text {n}", split) for n, (split, _) in enumerate(pairs)]
            for article_id, (_, category) in zip(add_articles(connection, rows), pairs, strict=True):
                annotate(connection, article_id, category)

    return add_pairs


def categories(articles):
    return sorted(article.category for article in articles)


def test_each_split_has_its_own_articles(workspace, add):
    add(*[("train", "a"), ("train", "b")] * 3, ("validation", "a"), ("validation", "b"), ("test", "a"))
    train, validation = training_data.read_training_data(workspace)
    assert categories(train) == ["a"] * 3 + ["b"] * 3
    assert categories(validation) == ["a", "b"]


def test_without_a_validation_split_the_same_tenth_is_always_used_for_validation(workspace, add):
    add(*[("train", "a"), ("train", "b")] * 50)
    train, validation = training_data.read_training_data(workspace)
    assert (len(train), len(validation)) == (90, 10)
    assert not {article.id for article in train} & {article.id for article in validation}
    assert [list(part) for part in training_data.read_training_data(workspace)] == [list(train), list(validation)]


def test_the_last_article_of_a_category_is_trained_on(workspace, add):
    add(*[("train", f"only {n}") for n in range(30)], *[("train", "a")] * 10)
    train, validation = training_data.read_training_data(workspace)
    assert {f"only {n}" for n in range(30)} <= set(categories(train))
    assert categories(validation) == ["a"] * 4


def test_a_category_without_train_articles_is_not_validated_and_logged(workspace, add, caplog):
    add(("train", "a"), ("train", "b"), ("validation", "b"), ("validation", "new"))
    assert categories(training_data.read_training_data(workspace)[1]) == ["b"]
    assert "['new']" in caplog.text


@pytest.mark.parametrize(
    "pairs",
    [
        [("train", "a"), ("train", "b")],
        [("train", "a"), ("train", "b"), ("validation", "c")],
    ],
    ids=["nothing to validate on", "validation has none of the categories"],
)
def test_too_few_articles_are_refused(workspace, add, pairs):
    add(*pairs)
    with pytest.raises(TrainingDataError, match="too few annotated articles"):
        training_data.read_training_data(workspace)
