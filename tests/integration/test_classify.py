"""`classifier classify` tells the label of a text without storing anything."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from classifier import registry
from classifier.cli import app as cli
from classifier.exceptions import SettingsError, SourceError
from classifier.model import artefact, linear
from classifier.model.ensemble import Ensemble, EnsembleWeights
from classifier.model.text_chunking import Chunking
from classifier.pipeline.labelling import queue
from classifier.store import model_rows
from tests.support import multi_label
from tests.support.synthetic import articles, dump, ingest_file, make_champion, query, run, unlabelled
from tests.support.tiny_models import CATEGORIES, make_artefact

UNREACHABLE = "postgresql+psycopg2://user@127.0.0.1:1/none"


def make_ensemble(directory):
    """Write an ensemble whose linear classifier was trained on a few texts."""
    rows = articles(60)
    texts, categories = [row["text"] for row in rows], [row["category"] for row in rows]
    members = Ensemble(linear.fit_linear(texts, categories), EnsembleWeights(0.5, 2.0))
    alone = make_artefact(directory / "alone", max_length=16)
    return artefact.write_artefact(
        directory / "together", replace(alone.load(), ensemble=members), tokenizer=alone.directory, details={}
    )


ARTEFACTS = {
    "network": lambda folder: make_artefact(folder / "m"),
    "chunks": lambda folder: make_artefact(folder / "m", max_length=16, chunking=Chunking(10, 4)),
    "ensemble": make_ensemble,
}


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    """Return a function that runs the command with standard input; no database can be reached."""
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", UNREACHABLE)
    monkeypatch.setenv("CLASSIFIER_HOME", str(tmp_path / "home"))

    def run_with(content: bytes, *options: object):
        arguments = ["classify", *map(str, options)]
        return CliRunner().invoke(cli.app, arguments, input=content, catch_exceptions=False)

    return run_with


@pytest.mark.parametrize("name", ARTEFACTS)
def test_the_probabilities_are_those_of_the_labels(workspace, tmp_path, classifier, name):
    files = ARTEFACTS[name](workspace.models)
    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, registry.register(connection, "m", files, {}).id)
    rows = unlabelled(12)
    ingest_file(workspace, tmp_path / "x.csv", rows)
    queue.label_queue(workspace, engine="openvino")
    labelled = query(
        workspace.database, "SELECT external_id, probabilities FROM articles JOIN predictions ON id = article_id"
    )
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(row["text"] for row in rows), encoding="utf-8")
    url = workspace.database.url.render_as_string(hide_password=False)
    before = dump(workspace.database)

    done = classifier("classify", "--file", texts, "--lines", "--json", CLASSIFIER_DATABASE_URL=url)

    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["line"] for result in results] == list(range(1, 13))
    by_id = {row["id"]: result["candidates"] for row, result in zip(rows, results, strict=True)}
    for external_id, probabilities in labelled:
        classified = [by_id[external_id][category] for category in files.categories]
        np.testing.assert_array_equal(np.float32(classified), np.float32(probabilities))
    assert dump(workspace.database) == before


def test_a_model_of_a_directory_needs_no_database_and_writes_no_file(tmp_path, classifier):
    model = make_artefact(tmp_path / "model").directory
    before = sorted(tmp_path.rglob("*"))
    done = classifier("classify", "the bank", "--model", model, "--json", CLASSIFIER_DATABASE_URL=UNREACHABLE)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result["candidates"]) == set(CATEGORIES)
    assert sum(result["candidates"].values()) == pytest.approx(1, abs=1e-5)
    assert result["label"] == next(iter(result["candidates"]))
    assert result["confidence"] == max(result["candidates"].values())
    assert (result["abstained"], result["threshold"], result["model"]) == (False, None, "model")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("name", "allowed"), [("network", ""), ("chunks", ""), ("ensemble", "scipy")])
def test_a_model_of_a_directory_starts_without_the_libraries_that_take_seconds(tmp_path, name, allowed):
    model = ARTEFACTS[name](tmp_path).directory
    program = (
        "import sys; from classifier.cli.app import app; "
        f"app(['classify', 'the bank', '--model', {str(model)!r}], standalone_mode=False); "
        "print(*sorted({'keras', 'tensorflow', 'torch', 'transformers', 'pandas', 'sklearn', 'scipy', 'airflow', "
        "'sqlalchemy', 'alembic', 'pyarrow'}.intersection(sys.modules)), sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == allowed


def test_the_champion_abstains_below_the_threshold_of_the_database(workspace, classifier):
    make_champion(workspace, "m1", 0)
    url = workspace.database.url.render_as_string(hide_password=False)

    def abstained(*options):
        done = classifier("classify", "the bank", "--json", *options, CLASSIFIER_DATABASE_URL=url)
        return json.loads(done.stdout)["abstained"]

    assert abstained() is False
    run(workspace.database, "UPDATE models SET threshold = 1")
    assert abstained() is True
    assert abstained("--model", "m1") is True
    assert abstained("--model", workspace.models / "m1") is False


def test_the_table_shows_the_label_and_the_other_candidates(tmp_path, pipe):
    model = make_artefact(tmp_path / "m").directory
    shown = pipe(b"", "the goal of the team", "--model", model).stdout
    assert all(word in shown for word in ("label", "confidence", "abstained", *CATEGORIES))


def test_a_pipe_is_one_text_and_each_of_its_lines_with_the_option(tmp_path, pipe):
    model = make_artefact(tmp_path / "m").directory
    content = "\ufeffthe bank\n\nthe goal\n".encode()
    together = json.loads(pipe(content, "--model", model, "--json").stdout)
    assert together == json.loads(pipe(b"", "the bank\n\nthe goal", "--model", model, "--json").stdout)
    lines = [line.split("\t") for line in pipe(content, "--model", model, "--lines").stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "3"]
    single = json.loads(pipe(b"", "the goal", "--model", model, "--json").stdout)
    assert lines[1][1:] == [single["label"], f"{single['confidence']:.4f}"]


def test_the_encoding_is_named_or_detected(tmp_path, pipe):
    model = make_artefact(tmp_path / "m", words=("café", "naïve", "the")).directory
    content = "Le café naïve est fermé à l'été".encode("cp1252")
    expected = pipe("Le café naïve est fermé à l'été".encode(), "--model", model, "--json").stdout
    assert pipe(content, "--model", model, "--json", "--encoding", "cp1252").stdout == expected
    assert pipe(content, "--model", model, "--json", "--encoding", "auto").stdout == expected
    with pytest.raises(SourceError, match=r"^standard input: not utf-8; .*--encoding auto$"):
        pipe(content, "--model", model)


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b" \n", (), r"^standard input: empty; a text must have at least one word$"),
        (b"", ("",), r"^the text: empty"),
        (b"", ("caf\udce9",), r"^the text: not UTF-8; write it to a file"),
    ],
)
def test_a_text_without_words_or_characters_is_refused(tmp_path, pipe, content, options, expected):
    model = make_artefact(tmp_path / "m").directory
    with pytest.raises(SourceError, match=expected):
        pipe(content, *options, "--model", model)


def test_a_text_and_a_file_cannot_both_be_given(pipe):
    with pytest.raises(SettingsError, match=r"^--file: cannot be combined with a text"):
        pipe(b"", "the bank", "--file", "x.txt")
    with pytest.raises(SettingsError, match=r"^--lines: cannot be combined with a text"):
        pipe(b"", "the bank", "--lines")


class TestMultiLabelModel:
    @pytest.fixture
    def classify(self, workspace, pipe, monkeypatch):
        """Return a function that classifies with the champion of a multi-label task with these thresholds."""
        monkeypatch.setenv("CLASSIFIER_DATABASE_URL", workspace.database.url.render_as_string(hide_password=False))
        files = make_artefact(workspace.models / "t1")

        def classify(*options, thresholds, min_labels=0, content=b""):
            topics = multi_label.add_task(workspace, min_labels=min_labels)
            with topics.database.begin() as connection:
                values = {"artefact": str(files.directory), "manifest_sha256": files.manifest_sha256, "training": {}}
                model = model_rows.register(
                    connection, name="t1", categories=files.categories, thresholds=thresholds, **values
                )
                model_rows.make_champion(connection, model)
            return pipe(content, *options).stdout

        return classify

    def test_all_labels_are_printed_and_the_json_has_the_thresholds(self, classify):
        result = json.loads(classify("the bank", "--json", thresholds=[0.0, 0.0, 0.9999]))
        assert set(result) == {"labels", "confidence", "thresholds", "candidates", "model"}
        probable = [name for name, value in result["candidates"].items() if value >= result["thresholds"][name]]
        assert result["labels"] == probable
        assert len(probable) == 2
        assert result["confidence"] == pytest.approx(
            math.prod(p if name in probable else 1 - p for name, p in result["candidates"].items()), rel=1e-4
        )

    def test_the_table_lists_each_label_with_its_probability(self, classify):
        shown = classify("the bank", thresholds=[0.01, 0.01, 0.99])
        assert "labels" in shown
        assert "abstained" not in shown
        assert all(name in shown for name in CATEGORIES)

    def test_a_text_without_a_label_has_none(self, classify):
        assert "none" in classify("the bank", thresholds=[0.999] * 3)

    def test_lines_are_lists(self, classify):
        lines = classify("--lines", content=b"the bank\nthe goal", thresholds=[0.999] * 3).splitlines()
        assert [line.split("\t")[:2] for line in lines] == [["1", "(none)"], ["2", "(none)"]]

    def test_a_task_that_wants_a_label_gets_the_most_probable(self, classify):
        result = json.loads(classify("the bank", "--json", thresholds=[0.999] * 3, min_labels=1))
        assert result["labels"] == list(result["candidates"])[:1]
