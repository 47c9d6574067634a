"""A classifier that was fine-tuned with PyTorch becomes a candidate, and labels as it did with PyTorch."""

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
from tests.support.synthetic import COLUMNS, articles, ingest_file, run, unlabelled, value
from tests.support.tiny_models import CATEGORIES, SPECIALS, WORDS, write_tokenizer

torch = pytest.importorskip("torch", reason="makes a model with PyTorch: install the extra 'torch'")

TEXTS = ("The team's goal", "Shares, market; bank!", "SOFTWARE phone", "", "market " * 80, "[SEP] the [MASK] chip")


@pytest.fixture(scope="module")
def pytorch_model(tmp_path_factory):
    """Return a classifier with random weights, saved by `transformers`, and the probabilities it predicts."""
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

    directory = tmp_path_factory.mktemp("pytorch") / "model"
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
def test_both_engines_predict_pytorchs_categories_and_probabilities(workspace, pytorch_model, engine):
    directory, expected = pytorch_model
    imported = model_import.import_model(workspace, str(directory))
    assert imported.categories == ("tech", "business", "sport")
    with workspace.database.connect() as connection:
        files = registry.open_artefact(registry.find(connection, imported.model))
    checkpoint = files.checkpoint()
    loaded = OpenVinoEngine(checkpoint) if engine == "openvino" else KerasEngine(checkpoint, 3)
    probabilities = Labeller.of(files.load(), loaded).probabilities(list(TEXTS))
    np.testing.assert_array_equal(probabilities.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1, "the texts have different probabilities"


def test_an_imported_model_is_evaluated_as_a_candidate_and_labels_as_champion(workspace, pytorch_model, tmp_path):
    rows = [{**row, "split": ("train", "test")[n % 2]} for n, row in enumerate(articles(40))]
    ingest_file(workspace, tmp_path / "x.csv", rows, type(COLUMNS)("text", "category", "id", "split"))
    ingest_file(workspace, tmp_path / "new.csv", unlabelled(6, seed=3, prefix="new"))
    imported = model_import.import_model(workspace, str(pytorch_model[0]), max_length=32)
    described = model_details.describe_model(workspace, imported.model)
    assert described.status == "candidate"
    assert described.training["imported"]["source"] == str(pytorch_model[0])
    assert described.evaluation is None
    files = artefact.read_artefact(workspace.models / imported.model, manifest_sha256=described.manifest_sha256)
    assert files.manifest["max_length"] == 32
    assert evaluation.evaluate(workspace).train_seconds is None
    assert not decisions.promote_if_better(workspace).promoted, "the gate rejects random weights"
    run(workspace.database, "UPDATE models SET status = 'champion', promoted_at = now()")
    assert queue.label_queue(workspace).labelled == 6
    assert value(workspace.database, "SELECT count(*) FROM article_labels WHERE origin = 'prediction'") == 6


def test_a_refused_import_leaves_nothing_behind(workspace, pytorch_model):
    with pytest.raises(SettingsError, match="max length 4"):
        model_import.import_model(workspace, str(pytorch_model[0]), max_length=4)
    assert not workspace.models.exists()
    assert value(workspace.database, "SELECT count(*) FROM models") == 0


@pytest.mark.parametrize("reads", [True, False])
def test_the_import_says_whether_the_model_reads_titles(workspace, pytorch_model, reads):
    imported = model_import.import_model(workspace, str(pytorch_model[0]), read_title=reads)
    assert artefact.read_artefact(workspace.models / imported.model).tokenization().read_title is reads


def test_category_names_replace_those_of_the_model(workspace, pytorch_model):
    imported = model_import.import_model(workspace, str(pytorch_model[0]), categories=", ".join(CATEGORIES))
    assert imported.categories == CATEGORIES


def test_an_import_keeps_the_word_pieces_of_transformers(workspace, pytorch_model, tmp_path):
    """Its tokenizer_config.json sets another case and truncation side than its tokenizer.json."""
    from transformers import AutoTokenizer

    directory = tmp_path / "cased"
    shutil.copytree(pytorch_model[0], directory)
    path = directory / "tokenizer_config.json"
    options = {"do_lower_case": False, "truncation_side": "left", "model_max_length": 16}
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))
    imported = model_import.import_model(workspace, str(directory))
    files = artefact.read_artefact(workspace.models / imported.model)
    assert imported.max_length == 16
    tokenizers = [AutoTokenizer.from_pretrained(path) for path in (directory, files.directory)]
    expected, reopened = (
        tokenizer(list(TEXTS), truncation=True, max_length=16)["input_ids"] for tokenizer in tokenizers
    )
    assert [list(pieces) for pieces in files.tokenization().pieces(TEXTS)] == expected == reopened
    lower = AutoTokenizer.from_pretrained(pytorch_model[0])(list(TEXTS), truncation=True, max_length=16)["input_ids"]
    assert expected != lower
