"""`classifier mistakes` lists the most confident wrong predictions of an evaluation."""

from __future__ import annotations

import json

import pytest

from classifier.exceptions import NotEvaluatedError
from classifier.pipeline.promotion import mistakes
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.synthetic import make_champion, query, run


@pytest.fixture
def evaluated(workspace):
    """Ten test articles, alternately of a and b; the model is wrong on the second, the fifth and the eighth."""
    add_test_articles(workspace, 10)
    return add_evaluated(workspace, "m1", wrong=(1, 4, 7))


def set_confidence(workspace, external_id, confidence):
    """Change the confidence of a wrong prediction."""
    run(
        workspace.database,
        "UPDATE evaluation_predictions SET probabilities = CASE annotated_categories[1] "
        "WHEN 'a' THEN ARRAY[1 - CAST(:c AS real), CAST(:c AS real)] "
        "ELSE ARRAY[CAST(:c AS real), 1 - CAST(:c AS real)] END "
        "FROM articles WHERE articles.id = article_id AND external_id = :id",
        c=confidence,
        id=external_id,
    )


def test_the_most_confident_mistakes_come_first(workspace, evaluated):
    set_confidence(workspace, "t4", 0.99)
    set_confidence(workspace, "t7", 0.6)
    report = mistakes.list_mistakes(workspace)
    assert (report.model, report.test_articles, report.wrong) == ("m1", 10, 3)
    rows = [(row.external_id, row.annotated, row.predicted) for row in report.mistakes]
    assert rows == [("t4", "a", "b"), ("t1", "b", "a"), ("t7", "b", "a")]
    assert [row.confidence for row in report.mistakes] == pytest.approx([0.99, 0.95, 0.6])
    assert [row.external_id for row in mistakes.list_mistakes(workspace, "m1", limit=1).mistakes] == ["t4"]


def test_a_text_is_shown_on_request_unless_it_has_changed(workspace, evaluated):
    run(workspace.database, "UPDATE articles SET text = 'new', text_hash = '\\x00' WHERE external_id = 't1'")
    assert {row.text for row in mistakes.list_mistakes(workspace).mistakes} == {None}
    texts = {row.external_id: row.text for row in mistakes.list_mistakes(workspace, with_text=True).mistakes}
    assert texts == {"t1": None, "t4": "test article 4", "t7": "test article 7"}


def test_the_text_of_an_article_with_a_title_is_shown_unless_either_has_changed(workspace, evaluated):
    run(workspace.database, "UPDATE articles SET title = 'Title ' || external_id")
    run(
        workspace.database,
        "UPDATE evaluation_predictions SET text_hash = "
        "sha256(convert_to(title, 'UTF8') || decode('00', 'hex') || convert_to(text, 'UTF8')) "
        "FROM articles WHERE articles.id = article_id",
    )
    run(workspace.database, "UPDATE articles SET title = 'Another title' WHERE external_id = 't1'")
    shown = {
        row.external_id: (row.title, row.text) for row in mistakes.list_mistakes(workspace, with_text=True).mistakes
    }
    assert shown == {
        "t1": ("Another title", None), "t4": ("Title t4", "test article 4"), "t7": ("Title t7", "test article 7")
    }  # fmt: skip


def test_the_command_prints_a_table_or_json(workspace, evaluated, classifier):
    url = workspace.database.url.render_as_string(hide_password=False)
    shown = classifier("mistakes", "--text", CLASSIFIER_DATABASE_URL=url)
    assert shown.returncode == 0, shown.stderr
    assert "m1: 3 of 10 test articles are wrong" in shown.stdout
    assert "test article 4" in shown.stdout
    assert "test article" not in classifier("mistakes", CLASSIFIER_DATABASE_URL=url).stdout.replace("test articles", "")
    report = json.loads(classifier("mistakes", "m1", "--json", CLASSIFIER_DATABASE_URL=url).stdout)
    ids = dict(query(workspace.database, "SELECT external_id, id FROM articles"))
    assert [row["article_id"] for row in report["mistakes"]] == [ids["t1"], ids["t4"], ids["t7"]]


def test_a_model_without_mistakes_has_an_empty_list(workspace, classifier):
    add_test_articles(workspace, 4)
    add_evaluated(workspace, "m1")
    assert mistakes.list_mistakes(workspace).mistakes == ()
    url = workspace.database.url.render_as_string(hide_password=False)
    shown = classifier("mistakes", CLASSIFIER_DATABASE_URL=url).stdout
    assert shown == "m1: 0 of 4 test articles are wrong\n"


def test_a_model_that_was_not_evaluated_is_refused(workspace):
    make_champion(workspace, "m1", 0)
    with pytest.raises(NotEvaluatedError, match=r"^m1: not evaluated yet; run: classifier evaluate m1$"):
        mistakes.list_mistakes(workspace, "champion")
