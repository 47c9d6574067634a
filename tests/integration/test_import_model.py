"""A classifier that was fine-tuned with PyTorch becomes a candidate and labels as it did there."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from classifier import registry
from classifier.exceptions import SettingsError
from classifier.inference.keras_engine import KerasEngine
from classifier.inference.labeller import Labeller
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model import artefact
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, model_details
from classifier.pipeline.training import model_import
from tests.support.synthetic import COLUMNS, articles, run, take_in, unlabelled, value
from tests.support.tiny_models import CATEGORIES, SPECIALS, WORDS, write_tokenizer

torch = pytest.importorskip("torch", reason="makes a model with PyTorch: install the extra 'torch'")

TEXTS = ("The team's goal", "Shares, market; bank!", "SOFTWARE phone", "", "market " * 80, "[SEP] the [MASK] chip")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A classifier with random weights, saved by `transformers`; beside it the probabilities that it gives."""
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

    directory = tmp_path_factory.mktemp("theirs") / "model"
    torch.manual_seed(0)
    names = dict(enumerate(("tech", "business", "sport")))
    config = DistilBertConfig(
        vocab_size=len(SPECIALS) + len(WORDS), n_layers=3, n_heads=4, dim=24, hidden_dim=40,
        max_position_embeddings=64, id2label=names, label2id={name: index for index, name in names.items()},
    )  # fmt: skip
    model = DistilBertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)  # otherwise all probabilities are about a third
    model.save_pretrained(directory)
    write_tokenizer(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    batch = tokenizer(list(TEXTS), truncation=True, max_length=64, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return directory, logits.softmax(dim=-1).numpy()


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_both_engines_give_pytorchs_classes_and_probabilities(workspace, theirs, engine):
    directory, expected = theirs
    imported = model_import.import_model(workspace, str(directory))
    assert imported.categories == ("tech", "business", "sport")
    with workspace.database.connect() as connection:
        files = registry.open_artefact(registry.find(connection, imported.model))
    checkpoint = files.checkpoint()
    loaded = OpenVinoEngine(checkpoint) if engine == "openvino" else KerasEngine(checkpoint, 3)
    found = Labeller.of(files.load(), loaded).probabilities(list(TEXTS))
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1, "texts differ"


def test_it_is_a_candidate_that_is_evaluated_and_judged_and_labels_as_champion(workspace, theirs, tmp_path):
    rows = [{**row, "split": ("train", "test")[n % 2]} for n, row in enumerate(articles(40))]
    take_in(workspace, tmp_path / "x.csv", rows, type(COLUMNS)("text", "category", "id", "split"))
    take_in(workspace, tmp_path / "new.csv", unlabelled(6, seed=3, prefix="new"))
    imported = model_import.import_model(workspace, str(theirs[0]), max_length=32)
    described = model_details.describe_model(workspace, imported.model)
    assert described.status == "candidate"
    assert described.training["imported"]["source"] == str(theirs[0])
    assert described.evaluation is None
    files = artefact.read_artefact(workspace.models / imported.model, manifest_sha256=described.manifest_sha256)
    assert files.manifest["max_length"] == 32
    assert evaluation.evaluate(workspace).train_seconds is None
    assert not decisions.promote_if_better(workspace).promoted, "its weights are random, and the gate sees that"
    run(workspace.database, "UPDATE models SET status = 'champion', promoted_at = now()")
    assert queue.label_queue(workspace).labelled == 6
    assert value(workspace.database, "SELECT count(*) FROM article_labels WHERE origin = 'prediction'") == 6


def test_what_cannot_be_ours_leaves_nothing_behind(workspace, theirs):
    with pytest.raises(SettingsError, match="max length 4"):
        model_import.import_model(workspace, str(theirs[0]), max_length=4)
    assert not workspace.models.exists()
    assert value(workspace.database, "SELECT count(*) FROM models") == 0


def test_given_names_replace_the_models_own(workspace, theirs):
    found = model_import.import_model(workspace, str(theirs[0]), categories=", ".join(CATEGORIES))
    assert found.categories == CATEGORIES


def test_an_import_keeps_the_word_pieces_of_transformers(workspace, theirs, tmp_path):
    """Its tokenizer_config.json asks for another case and truncation side than its tokenizer.json has."""
    from transformers import AutoTokenizer

    directory = tmp_path / "cased"
    shutil.copytree(theirs[0], directory)
    path = directory / "tokenizer_config.json"
    options = {"do_lower_case": False, "truncation_side": "left", "model_max_length": 16}
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))
    imported = model_import.import_model(workspace, str(directory))
    files = artefact.read_artefact(workspace.models / imported.model)
    assert imported.max_length == 16
    tokenizers = [AutoTokenizer.from_pretrained(one) for one in (directory, files.directory)]
    expected, reopened = (one(list(TEXTS), truncation=True, max_length=16)["input_ids"] for one in tokenizers)
    assert [list(pieces) for pieces in files.tokenization().pieces(TEXTS)] == expected == reopened
    lower = AutoTokenizer.from_pretrained(theirs[0])(list(TEXTS), truncation=True, max_length=16)["input_ids"]
    assert expected != lower
