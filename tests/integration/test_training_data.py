"""What a training is given: the annotated articles of its splits, and enough of each category."""

from __future__ import annotations

import pytest

from classifier.exceptions import TrainingDataError
from classifier.pipeline.training import training_data
from tests.support.synthetic import add_articles, annotate


@pytest.fixture
def add(workspace):
    """Add annotated articles: pairs of split and category."""

    def one(*pairs):
        with workspace.database.begin() as connection:
            rows = [(f"{n}", f"text {n}", split) for n, (split, _) in enumerate(pairs)]
            for identity, (_, category) in zip(add_articles(connection, rows), pairs, strict=True):
                annotate(connection, identity, category)

    return one


def categories(articles):
    return sorted(article.category for article in articles)


def test_each_split_is_what_it_says(workspace, add):
    add(*[("train", "a"), ("train", "b")] * 3, ("validation", "a"), ("validation", "b"), ("test", "a"))
    learnt, validated = training_data.read_training_data(workspace)
    assert categories(learnt) == ["a"] * 3 + ["b"] * 3
    assert categories(validated) == ["a", "b"]


def test_without_a_validation_split_a_tenth_is_set_aside_always_the_same(workspace, add):
    add(*[("train", "a"), ("train", "b")] * 50)
    learnt, validated = training_data.read_training_data(workspace)
    assert (len(learnt), len(validated)) == (90, 10)
    assert not {article.id for article in learnt} & {article.id for article in validated}
    assert [list(part) for part in training_data.read_training_data(workspace)] == [list(learnt), list(validated)]


def test_the_last_article_of_a_category_is_not_set_aside(workspace, add):
    add(*[("train", f"only {n}") for n in range(30)], *[("train", "a")] * 10)
    learnt, validated = training_data.read_training_data(workspace)
    assert {f"only {n}" for n in range(30)} <= set(categories(learnt))
    assert categories(validated) == ["a"] * 4


def test_a_category_that_only_validation_has_is_left_out_and_told(workspace, add, caplog):
    add(("train", "a"), ("train", "b"), ("validation", "b"), ("validation", "new"))
    assert categories(training_data.read_training_data(workspace)[1]) == ["b"]
    assert "['new']" in caplog.text


@pytest.mark.parametrize(
    "pairs",
    [
        [("train", "a"), ("train", "b")],
        [("train", "a"), ("train", "b"), ("validation", "c")],
    ],
    ids=["nothing can be set aside", "validation knows none of the categories"],
)
def test_too_few_articles_are_refused(workspace, add, pairs):
    add(*pairs)
    with pytest.raises(TrainingDataError, match="too few annotated articles"):
        training_data.read_training_data(workspace)
