"""The whole workflow as a user runs it: commands in order, then SQL on the view of labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from classifier import embedded_postgres
from classifier.store import schema
from tests.support.postgres import remove_server
from tests.support.synthetic import WORDS, articles, query, write_csv
from tests.support.tiny_models import make_bert

TRAINING = ("--set", "epochs=3", "--set", "batch_size=8", "--set", "learning_rate=0.01", "--set", "max_length=16")


@pytest.fixture
def run(classifier):
    """Return a function that runs a command, asserts its success without other warnings, and returns its JSON."""

    def run_command(*arguments, may_warn="nothing"):
        done = classifier(*arguments, "--json")
        warnings = done.stderr.splitlines()
        assert done.returncode == 0, arguments
        assert not warnings or may_warn in " ".join(" ".join(warnings).split()), arguments
        lines = done.stdout.splitlines()
        assert len(lines) == 1, "one line of JSON"
        return json.loads(lines[0])

    return run_command


@pytest.fixture
def embedded_database(tmp_path):
    """Return a function that opens the embedded database of the commands; stop and remove it at the end."""
    directory = tmp_path / "home" / "postgres"
    engines = []

    def open_database():
        engines.append(create_engine(embedded_postgres.start(directory, "articles")["articles"]))
        return engines[-1]

    yield open_database
    for engine in engines:
        engine.dispose()
    remove_server(directory)


@pytest.mark.slow
def test_commands_lead_from_an_empty_database_to_labels(run, classifier, embedded_database, tmp_path):
    rows = articles(240)
    annotated, incoming = rows[:180], [{**row, "category": ""} for row in rows[180:]]
    write_csv(tmp_path / "annotated.csv", annotated)
    write_csv(tmp_path / "incoming.csv", incoming)
    columns = ("--category", "category", "--id", "id", "--source-name", "news")

    encoder = run("encoder", "import", make_bert(tmp_path / "bert", dim=32, heads=4, hidden_dim=64), "encoder")
    assert (encoder["dim"], encoder["n_layers"]) == (32, 2)
    assert run("db", "upgrade") == {"version": schema.head()}
    ingested = run("ingest", "annotated.csv", *columns, "--proportions", "0.6,0.2,0.2")
    assert (ingested["new"], ingested["annotations"], ingested["enqueued"]) == (180, 180, 0)

    trained = run("train", "--encoder", "encoder", *TRAINING)
    assert trained["categories"] == sorted(WORDS)
    assert trained["validation_macro_f1"] > 0.9
    name, artefact = trained["model"], Path(trained["artefact"])
    assert artefact == tmp_path / "home" / "models" / name
    check_artefact(artefact)

    evaluated = run("evaluate", may_warn="does not beat the baseline")
    assert evaluated["model"] == name
    assert evaluated["metrics"]["macro_f1"] > 0.9
    assert evaluated["baseline"]["accuracy"] > 0.9
    assert run("gate", "--sample", 0)["verdict"] == "promote"
    assert run("promote", "--target-precision", 0.5, may_warn="does not beat the baseline")["promoted"] is True
    assert run("ingest", "incoming.csv", *columns)["enqueued"] == 60
    labelled = run("label", "--page-size", 16)
    assert (labelled["model"], labelled["labelled"], labelled["waiting"]) == (name, 60, 0)
    assert labelled["rate"] > 0

    status = run("status")
    assert status["labels"] == {"annotation": 180, "prediction": 60}
    assert sum(total for total, _ in status["splits"].values()) == 240
    assert (status["champion"]["name"], status["champion"]["macro_f1"]) == (name, evaluated["metrics"]["macro_f1"])
    assert status["champion"]["threshold"] == 0, "more than half of all its labels are correct"

    check_decisions(run, classifier, name)
    done = classifier("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(word in done.stdout for word in ("180", "prediction", name)), done.stdout
    check_review(run, classifier, tmp_path)
    database = embedded_database()
    labels = dict(query(database, "SELECT external_id, label FROM article_labels WHERE origin = 'prediction'"))
    correct = sum(labels.get(row["id"]) == row["category"] for row in rows[180:])
    assert correct > 52, "of 59 articles that are easy to classify"
    assert query(database, "SELECT DISTINCT model FROM article_labels WHERE origin = 'prediction'") == [(name,)]
    training = query(database, "SELECT training FROM models")[0][0]
    check_training(training)
    assert training["data"]["articles"] == trained["train_articles"]
    assert check_shown(run("models", "show", name), training)
    skipped = run("train", "--from", "champion", "--min-new-annotations", 2)
    assert (skipped["skipped"], skipped["new_annotations"], skipped["since"]) == (True, 1, name), "the reviewed one"


def check_training(training):
    """The stored training has the figures of every epoch and the recipe."""
    history = training["training"]["history"]
    assert [epoch["epoch"] for epoch in history] == list(range(1, len(history) + 1))
    figures = {"epoch", "loss", "accuracy", "macro_f1", "seconds", "standard_error"}
    assert all(epoch.keys() == figures for epoch in history)
    assert history[-1]["loss"] < history[0]["loss"]
    assert training["recipe"]["learning_rate"] == 0.01


def check_review(run, classifier, folder):
    """A sheet is exported and imported; an invalid row is reported and the other rows are imported."""
    assert run("review", "fill", "--number", 6, "--audit", 0)["waiting"] == 6
    assert run("review", "export", "sheet.csv") == {"file": "sheet.csv", "articles": 6}
    lines = (folder / "sheet.csv").read_text(encoding="utf-8-sig").splitlines()
    assert all(line.endswith('"","",""') for line in lines[1:])
    filled = [lines[0], lines[1][:-8] + '"sport","ann",""', lines[2][:-8] + '"sprot","ann",""', *lines[3:]]
    (folder / "sheet.csv").write_text("\n".join(filled), encoding="utf-8")
    done = classifier("review", "import", "sheet.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "error: sheet.csv: 1 of 6 rows were not imported: line 3: category 'sprot' is unknown" in done.stderr
    assert "line 3" in done.stdout
    assert run("review", "status")["waiting"].keys() <= {"uncertain", "diverse", "rare"}
    for command in (("review", "status"), ("review", "conflicts", "--all")):
        done = classifier(*command)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout


def check_shown(shown, training):
    """`models show` shows everything that is stored."""
    assert shown["training"] == training
    assert (shown["status"], shown["decisions"][0]["verdict"]) == ("champion", "promoted")
    assert training["recipe"]["name"] == "default (batch_size, epochs, learning_rate, max_length)"
    assert shown["evaluation"]["train_seconds"] == training["training"]["seconds"]
    assert shown["evaluation"]["baseline_train_seconds"] > 0
    assert shown["evaluation"]["confidence"]["threshold"] == pytest.approx(shown["threshold"])
    return {"versions", "commit", "machine", "data", "encoder", "from"} <= training.keys()


def check_decisions(run, classifier, name):
    """Decisions are shown as text and as JSON."""
    decisions = run("promotions")
    assert [(decision["model"], decision["verdict"]) for decision in decisions] == [(name, "promoted")]
    assert run("prune", "--keep-models", 0) == {"deleted": False, "models": []}
    page = Path(run("report")["page"])
    assert name in page.read_text(encoding="utf-8")
    for command in (("gate", "--sample", 20), ("promotions",), ("prune", "--keep-models", 0), ("drift",), ("models",)):
        done = classifier(*command)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout


def check_artefact(directory):
    """The artefact has every file that `transformers` and labelling need, as in its manifest."""
    manifest = json.loads((directory / "classifier.json").read_text(encoding="utf-8"))
    files = {path.name for path in directory.iterdir()} - {"classifier.json"}
    assert files >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "snapshot.parquet",
    }
    assert manifest["sha256"] == {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in files}
    assert manifest["categories"] == sorted(WORDS)
    assert {"recipe", "data", "training", "versions", "encoder", "max_length"} <= manifest.keys()
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(index): name for index, name in enumerate(sorted(WORDS))}
