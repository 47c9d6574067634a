"""The nearest annotated articles are similar, annotated, of the categories in question, and never of the test split."""

from __future__ import annotations

import pytest

from classifier.pipeline.review import nearest_articles
from tests.support.multi_label import add_task
from tests.support.synthetic import add_articles, annotate, run

TEXTS = {
    "cup": ("the striker scored a goal in the cup final", "train", "sport"),
    "match": ("a goal decided the match of the season", "train", "sport"),
    "bank": ("the bank raised its rates", "train", "business"),
    "goal of a bank": ("the goal of the bank is growth", "validation", "business"),
    "hidden": ("a goal in the cup final, the striker scored", "test", "sport"),
    "chip": ("a goal of the chip maker in the cup final", "train", "tech"),
    "open": ("the striker scored a goal in the cup final again", "train", None),
}
TEXT = "the striker scored the goal of the cup final"


@pytest.fixture
def ids(workspace):
    with workspace.database.begin() as connection:
        added = add_articles(connection, [(name, text, split) for name, (text, split, _) in TEXTS.items()])
        for article_id, (_, _, category) in zip(added, TEXTS.values(), strict=True):
            if category:
                annotate(connection, article_id, category)
    return dict(zip(TEXTS, added, strict=True))


def names(result):
    return [article.external_id for article in result.articles]


@pytest.mark.usefixtures("ids")
def test_the_most_similar_articles_of_the_categories_come_first(workspace):
    result = nearest_articles.find_nearest(workspace, TEXT, ["sport", "business"])
    assert names(result)[0] == "cup"
    assert set(names(result)) == {"cup", "match", "bank", "goal of a bank"}
    assert result.compared == 4
    similarities = [article.similarity for article in result.articles]
    assert similarities == sorted(similarities, reverse=True)
    assert 0 < similarities[-1] < similarities[0] < 1
    assert result.articles[0].categories == ("sport",)
    assert names(nearest_articles.find_nearest(workspace, TEXT, ["tech"])) == ["chip"]
    assert names(nearest_articles.find_nearest(workspace, TEXT, ["sport", "business"], number=2))[0] == "cup"


def test_an_article_is_not_near_itself_and_a_text_without_common_words_is_near_none(workspace, ids):
    result = nearest_articles.find_nearest(workspace, TEXTS["cup"][0], ["sport"], article_id=ids["cup"])
    assert names(result) == ["match"]
    assert nearest_articles.find_nearest(workspace, "quux", ["sport"]).articles == ()
    assert nearest_articles.find_nearest(workspace, TEXT, ["none"]).compared == 0


def test_the_annotation_that_counts_decides_and_conflicts_and_retracted_ones_are_left_out(workspace, ids):
    with workspace.database.begin() as connection:
        annotate(connection, ids["match"], "business")  # the same annotator's later answer
        annotate(connection, ids["cup"], "business", annotator="bob")  # another annotator's answer
    run(workspace.database, "UPDATE annotations SET retracted_at = now() WHERE article_id = :id", id=ids["bank"])
    result = nearest_articles.find_nearest(workspace, TEXT, ["sport", "business"])
    assert {article.external_id: article.categories for article in result.articles} == {
        "match": ("business",),
        "goal of a bank": ("business",),
    }
    assert names(nearest_articles.find_nearest(workspace, TEXT, ["sport"])) == []


def test_each_category_has_a_share_of_the_bounded_sample_and_the_newest_are_taken(workspace, monkeypatch):
    with workspace.database.begin() as connection:
        rows = [(f"s{n}", f"goal {n}", "train") for n in range(30)]
        for number, article_id in enumerate(add_articles(connection, rows)):
            annotate(connection, article_id, "business" if number < 5 else "sport")
    monkeypatch.setattr(nearest_articles, "MAX_ARTICLES", 8)
    result = nearest_articles.find_nearest(workspace, "goal", ["sport", "business"], number=99)
    assert sorted(names(result)) == ["s1", "s2", "s26", "s27", "s28", "s29", "s3", "s4"]
    monkeypatch.setattr(nearest_articles, "EXAMINED", 3)
    assert sorted(names(nearest_articles.find_nearest(workspace, "goal", ["sport", "business"]))) == [
        "s27",
        "s28",
        "s29",
    ]


def test_of_a_multi_label_task_an_article_with_one_of_the_categories_is_enough(workspace, ids):
    topics = add_task(workspace)
    run(
        workspace.database,
        "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
        "SELECT id, (SELECT id FROM tasks WHERE name = 'topics'), 1, ARRAY['gold', 'ship'], 'ann' FROM articles "
        "WHERE id = :id",
        id=ids["cup"],
    )
    result = nearest_articles.find_nearest(topics, TEXT, ["gold", "grain"])
    assert [(article.external_id, article.categories) for article in result.articles] == [("cup", ("gold", "ship"))]
