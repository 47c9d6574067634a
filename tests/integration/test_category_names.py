"""Categories that look the same to a reader are normalized to one, or a warning names them."""

from __future__ import annotations

import json
import logging
import unicodedata

import pytest

from classifier.exceptions import EncoderError, ReviewError
from classifier.ingest import source_declarations
from classifier.model import hub_model
from classifier.pipeline.ingest import declared_sources, rejected_rows
from classifier.pipeline.review import annotation, conflicts, sheets
from classifier.store import reviews
from tests.support.loopback import page, serving
from tests.support.synthetic import add_articles, ingest_file, make_champion, query, run, value
from tests.support.synthetic import annotate as say

NFD = unicodedata.normalize("NFD", "Économie")
CASES = [
    ("The team won", "Sport"),
    ("The keeper saved it", "sport"),
    ("A new coach came", "Sport\u200b"),
    ("Markets fell", "Économie"),
    ("Shares rose", NFD),
]
"""Categories that differ visibly or invisibly."""


def rows(*categories):
    return [{"id": str(n), "text": f"text {n}", "category": name} for n, name in enumerate(categories)]


def stored(workspace):
    return {name for (name,) in query(workspace.database, "SELECT DISTINCT categories[1] FROM annotations")}


def test_invisible_differences_of_categories_are_removed_and_visible_ones_are_warned_of(workspace, tmp_path, caplog):
    articles = [{"id": str(n), "text": text, "category": name} for n, (text, name) in enumerate(CASES)]
    ingest_file(workspace, tmp_path / "x.csv", articles)
    assert stored(workspace) == {"Sport", "sport", "Économie"}
    folded, alike = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert r"'Sport\u200b' as 'Sport'" in folded
    assert r"'E\u0301conomie' as '\xc9conomie'" in folded
    assert "'Sport' and 'sport'" in alike


def test_categories_are_compared_with_those_in_the_database(workspace, tmp_path, caplog):
    ingest_file(workspace, tmp_path / "x.csv", rows("Sport", "Tech", "Sci\u200dence"))
    assert "differ only by case" not in caplog.text
    ingest_file(workspace, tmp_path / "y.csv", rows("sport", "Business", "Science"))
    assert "'Sport' and 'sport'" in caplog.text
    assert r"'Science' and 'Sci\u200dence'" in caplog.text
    assert "Tech" not in caplog.text


def test_categories_are_compared_with_those_of_the_champion(workspace, tmp_path, caplog):
    make_champion(workspace, "m1", 0)
    with workspace.database.connect() as connection:
        category = min(reviews.model_categories(connection))
    ingest_file(workspace, tmp_path / "x.csv", rows(category.swapcase()))
    assert "differ only by case" in caplog.text


def test_a_file_of_ordinary_categories_warns_of_nothing(workspace, tmp_path, caplog):
    ingest_file(workspace, tmp_path / "x.csv", rows("Sport", " Sport ", "Tech", "", "Économie"))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", ["Sp\nort", "Sp\tort", "Sp\u0085ort", "Sp\u2028ort", "Sp\x1bort"])
def test_a_category_with_a_control_character_is_rejected_with_its_reason(workspace, tmp_path, name):
    report = ingest_file(workspace, tmp_path / "x.csv", rows(*["ok"] * 30, name))
    assert (report.new, report.rejected) == (30, 1)
    (row,) = rejected_rows.list_rejected(workspace)
    assert row.reason == f"category has the control character U+{ord(name[2]):04X}"


def test_categories_of_a_feed_are_normalized(workspace, tmp_path):
    item = f"<item><guid>1</guid><title>t</title><category>{NFD}\u200b</category></item>"
    body = f"<?xml version='1.0'?><rss version='2.0'><channel><title>t</title>{item}</channel></rss>".encode()
    with serving(page(body)) as site:
        (tmp_path / "sources.toml").write_text(
            f"[sources.bbc]\nkind = 'feed'\nurl = '{site.url}'\nallow_private = true\n"
            "columns = {category = 'category'}\n"
        )
        (source,) = source_declarations.load_sources(tmp_path / "sources.toml").values()
        declared_sources.ingest_source(workspace, source, lambda _: "")
    assert stored(workspace) == {"Économie"}


class TestReview:
    @pytest.fixture
    def article(self, workspace):
        with workspace.database.begin() as connection:
            (article,) = add_articles(connection, [("a", "text", "train")])
            (other,) = add_articles(connection, [("b", "other", "train")])
            say(connection, other, "Économie", "eve")
        model = make_champion(workspace, "m1", 0)
        run(
            workspace.database,
            "INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence) "
            "VALUES (:article, :model, 1, 'uncertain', '{a}', 0.5)",
            article=article,
            model=model.id,
        )
        return article

    def test_an_answer_in_the_ui_is_normalized(self, workspace, article):
        annotation.save_answer(workspace, article, 1, [f"{NFD}\u200b "], annotator="ann")
        assert stored(workspace) == {"Économie"}

    def test_a_control_character_is_refused_in_the_ui(self, workspace, article):
        with pytest.raises(ReviewError, match=r"category has the control character U\+000A"):
            annotation.save_answer(workspace, article, 1, ["Écono\nmie"], annotator="ann")

    def test_a_decision_is_normalized(self, workspace, article):
        with workspace.database.begin() as connection:
            say(connection, article, "x", "ann")
        conflicts.resolve_conflict(workspace, article, [f" {NFD}"], annotator="bob")
        assert stored(workspace) == {"Économie", "x"}

    def test_categories_of_a_sheet_are_normalized_new_ones_too(self, workspace, article, tmp_path, caplog):
        path = tmp_path / "sheet.csv"
        path.write_text(f"id,revision,category,annotator\n{article},1,\u200béconomie,ann\n")
        report = sheets.import_sheet(workspace, path, new_categories=["éConomie\u200b".lower()])
        assert (report.new, report.invalid) == (1, ())
        assert stored(workspace) == {"Économie", "économie"}
        assert "'Économie' and 'économie' look alike" in caplog.text

    @pytest.mark.usefixtures("article")
    def test_a_new_category_with_a_control_character_is_refused(self, workspace, tmp_path):
        (tmp_path / "sheet.csv").write_text("id,revision,category,annotator\n")
        with pytest.raises(ReviewError, match=r"--new-category 'a\\nb': has the control character U\+000A"):
            sheets.import_sheet(workspace, tmp_path / "sheet.csv", new_categories=["a\nb"])
        assert value(workspace.database, "SELECT count(*) FROM annotations WHERE annotator = 'ann'") == 0

    def test_a_category_that_a_model_has_in_another_form_is_known(self, workspace, article):
        run(workspace.database, "UPDATE models SET categories = ARRAY['a', :name]", name=f"{NFD}x")
        annotation.save_answer(workspace, article, 1, [f"{NFD}x"], annotator="ann")
        assert stored(workspace) == {"Économie", "Économiex"}


class TestImportedModels:
    @pytest.fixture
    def names(self, tmp_path):
        """Return the categories of a model's configuration, or the line of its error."""
        from tests.support.tiny_models import make_artefact

        directory = make_artefact(tmp_path / "model", seed=0).directory
        config = json.loads((directory / "config.json").read_text())
        outputs = len(config["id2label"])

        def read(*names, categories=None):
            labels = {str(number): name for number, name in enumerate((*names, "x", "y", "z")[:outputs])}
            (directory / "config.json").write_text(json.dumps({**config, "id2label": labels}))
            return hub_model.read_hub_model(
                directory, cache=directory.parent / "tokenizers", categories=categories
            ).categories[: len(names)]

        return read

    def test_have_normalized_categories(self, names):
        assert names("Sport\u200b", NFD) == ("Sport", "Économie")

    @pytest.mark.parametrize("bad", ["a\0b", "a\nb"])
    def test_with_a_control_character_are_refused_in_one_line(self, names, bad):
        with pytest.raises(EncoderError, match=rf"has the control character U\+{ord(bad[1]):04X}; name the categor"):
            names(bad)

    def test_with_a_name_that_no_annotation_may_have_are_refused(self, names):
        with pytest.raises(EncoderError, match="is longer than 200 characters; name the categories with"):
            names("x" * 201)

    def test_with_two_names_that_normalize_to_one_are_refused(self, names):
        with pytest.raises(EncoderError, match="there must be two or more different names"):
            names("Sport", "Sport\u200b")

    def test_with_names_that_look_alike_cause_a_warning(self, names, caplog):
        names("Sport", "sport")
        assert "'Sport' and 'sport' look alike" in caplog.text
