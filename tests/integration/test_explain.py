"""`classifier explain` prints the words that carry a label, and stores nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from classifier import registry
from classifier.cli import app as cli
from classifier.model import linear
from classifier.model.ensemble import Ensemble, EnsembleWeights
from classifier.pipeline.categories import changes
from classifier.store import model_rows
from tests.support import multi_label
from tests.support.paths import ROOT
from tests.support.synthetic import add_articles, annotate, dump, run
from tests.support.tiny_models import make_lexicon_artefact

UNREACHABLE = "postgresql+psycopg2://user@127.0.0.1:1/none"
LEXICON = {"business": ("bank", "shares"), "sport": ("goal", "match"), "tech": ("chip", "phone")}
TEXT = "The team won; the goal was the team's, the bank said. A goal, the team."


@pytest.fixture
def explain(monkeypatch, tmp_path):
    """Return a function that runs the command; no database can be reached unless the test names one."""
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", UNREACHABLE)
    monkeypatch.setenv("CLASSIFIER_HOME", str(tmp_path / "home"))

    def run_with(*options: object, content: bytes = b"") -> str:
        arguments = ["explain", *map(str, options)]
        return CliRunner().invoke(cli.app, arguments, input=content, catch_exceptions=False).stdout

    return run_with


@pytest.fixture
def model(tmp_path):
    return make_lexicon_artefact(tmp_path / "model", LEXICON).directory


@pytest.fixture
def article(workspace, monkeypatch):
    """An article with a title, and an annotated one, in a database with a champion that reads titles."""
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", workspace.database.url.render_as_string(hide_password=False))
    files = make_lexicon_artefact(workspace.models / "m1", LEXICON, read_title=True)
    with workspace.database.begin() as connection:
        model = registry.register(connection, "m1", files, {})
        model_rows.make_champion(connection, model.id)
        rows = [("a1", "the team, the bank", "train"), ("a2", "the goal of the team", "train")]
        _, second = add_articles(connection, rows)
        annotate(connection, second, "sport")
    run(workspace.database, "UPDATE articles SET title = 'A goal, a match' WHERE external_id = 'a1'")
    return "s", "a1"


def words(explained, *, key="contribution"):
    ordered = sorted(explained["words"], key=lambda word: -word[key])
    return [word["word"].lower() for word in ordered]


def test_the_words_of_the_label_are_listed_with_their_places(explain, model):
    result = json.loads(explain(TEXT, "--model", model, "--json"))
    (sport,) = result["categories"]
    assert (result["label"], sport["category"]) == ("sport", "sport")
    assert sport["probability"] == result["confidence"]
    assert words(sport)[:2] == ["goal", "goal"]
    assert words(sport)[-1] == "bank"
    assert all(TEXT[word["start"] : word["end"]] == word["word"] for word in sport["words"])
    assert (result["words"], result["words_read"]) == (20, 20)
    assert "nearest" not in result


def test_another_category_may_be_named(explain, model):
    result = json.loads(explain(TEXT, "--model", model, "--category", "business", "--json"))
    assert result["label"] == "sport"
    assert words(result["categories"][0])[0] == "bank"
    assert "The label is sport." in explain(TEXT, "--model", model, "--category", "business")


def test_the_table_adds_up_a_words_occurrences_and_no_text_is_printed_into_a_file(explain, model):
    shown = explain("--model", model, content=TEXT.encode())
    (goal,) = [line for line in shown.splitlines() if "goal" in line]
    (bank,) = [line for line in shown.splitlines() if "bank" in line]
    assert [line.split("│")[2].strip() for line in (goal, bank)] == ["2", "1"]
    assert "+" in goal.split("│")[3]
    assert "-" in bank.split("│")[3]
    assert "won; the" not in shown


def test_on_a_terminal_the_text_is_shown_with_its_words_highlighted(model, tmp_path):
    primary, secondary = pty.openpty()
    environment = {**os.environ, "CLASSIFIER_DATABASE_URL": UNREACHABLE, "CLASSIFIER_HOME": str(tmp_path)}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "classifier", "explain", TEXT, "--model", str(model)]
    started = subprocess.Popen(command, stdout=secondary, env=environment)
    os.close(secondary)
    shown = b""
    while True:
        try:
            part = os.read(primary, 65536)
        except OSError:  # the program has closed the terminal
            break
        if not part:
            break
        shown += part
    os.close(primary)
    assert started.wait() == 0
    assert b"The team won; the \x1b[30;48;2;91;150;247mgoal\x1b[0m was" in shown
    assert b"mbank\x1b[0m said" in shown


def test_an_ensemble_has_figures_for_both_members(explain, tmp_path):
    texts = [f"the {word} of {number}" for number in range(8) for two in LEXICON.values() for word in two]
    truth = [name for _ in range(8) for name in LEXICON for _ in range(2)]
    members = Ensemble(linear.fit_linear(texts, truth), EnsembleWeights(0.5, 2.0))
    model = make_lexicon_artefact(tmp_path / "together", LEXICON, ensemble=members).directory
    (sport,) = json.loads(explain(TEXT, "--model", model, "--json"))["categories"]
    for word in sport["words"]:
        assert word["contribution"] == pytest.approx(word["network"] + word["linear"])
    assert words(sport, key="network")[0] == words(sport, key="linear")[0] == "goal"
    shown = explain(TEXT, "--model", model)
    assert "network" in shown
    assert "linear" in shown


def test_an_article_is_explained_with_its_title_and_the_nearest_annotated_articles(explain, workspace, article):
    before = dump(workspace.database)
    result = json.loads(explain("--article", *article, "--json"))
    assert result["label"] == "sport"
    assert words(result["categories"][0])[:2] == ["goal", "match"] or words(result["categories"][0])[0] == "match"
    assert [(near["external_id"], near["categories"]) for near in result["nearest"]] == [("a2", ["sport"])]
    assert result["compared"] == 1
    shown = explain("--article", *article)
    assert "Nearest of 1 annotated articles" in shown
    assert "Nearest" not in explain("--article", *article, "--nearest", "0")
    assert dump(workspace.database) == before


def test_a_directorys_names_of_categories_are_translated_to_find_similar_articles(explain, workspace, article):
    changes.change_categories(workspace, "rename", ["sport"], ["games"], changed_by="ann")
    result = json.loads(explain("--article", *article, "--model", workspace.models / "m1", "--json"))
    assert result["label"] == "sport"
    assert [near["categories"] for near in result["nearest"]] == [["games"]]


def test_each_label_of_a_multi_label_model_is_explained(explain, workspace, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", workspace.database.url.render_as_string(hide_password=False))
    files = make_lexicon_artefact(workspace.models / "t1", LEXICON, kind="multi")
    topics = multi_label.add_task(workspace, min_labels=0)
    with topics.database.begin() as connection:
        values = {"artefact": str(files.directory), "manifest_sha256": files.manifest_sha256, "training": {}}
        identity = model_rows.register(
            connection, name="t1", categories=files.categories, thresholds=[0.5, 0.5, 0.9], **values
        )
        model_rows.make_champion(connection, identity)
    result = json.loads(explain("the goal, the bank", "--task", "topics", "--json"))
    explained = {each["category"]: words(each)[0] for each in result["categories"]}
    assert explained == {"business": "bank", "sport": "goal"}
    nothing = json.loads(explain("the team and the team", "--task", "topics", "--json"))
    assert nothing["labels"] == []
    assert len(nothing["categories"]) == 1, "the most probable category, if there is no label"


@pytest.mark.parametrize("content", [b"quux zzz", b"7", b"word " * 3000])
def test_words_that_no_model_knows_and_long_texts_are_no_errors(explain, model, content):
    assert "probability" in explain("--model", model, content=content)
