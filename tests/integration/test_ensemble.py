"""A linear classifier predicts together with the network, from its training to the labels."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier import registry
from classifier.exceptions import TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import evaluation
from classifier.pipeline.training import candidate, ensembling
from classifier.store import annotated_articles, model_rows
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, articles, ingest_file, query
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, max_length=16, dtype="float32", ensemble="linear")
SIGNS = {"business": "zinc", "sport": "xenon"}
"""Words that are not in the encoder's vocabulary: only a classifier that counts words can tell the categories apart."""

THRESHOLDS = "SELECT calibration->'threshold' FROM models"


def unreadable(count, *, split=""):
    """Return articles of two categories, which differ only in words that are one unknown token to the network."""
    names = list(SIGNS)
    return [
        {
            "id": f"a{number}",
            "text": f"the {SIGNS[names[number % 2]]} the the q{number}",
            "category": names[number % 2],
            "split": split or ("train", "train", "validation", "test")[number // 2 % 4],
        }
        for number in range(count)
    ]


@pytest.mark.slow
def test_the_ensemble_predicts_what_the_network_alone_cannot_read(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "known.csv", unreadable(400), replace(COLUMNS, split="split"))
    encoder = str(make_encoder(tmp_path / "encoder"))
    alone = candidate.train(workspace, replace(RECIPE, ensemble="none"), encoder_name=encoder)
    together = candidate.train(workspace, RECIPE, encoder_name=encoder)
    assert evaluation.evaluate(workspace, alone.model).metrics.accuracy < 0.75
    assert evaluation.evaluate(workspace, together.model).metrics.accuracy == 1.0
    assert "linear" in together.ensemble
    assert not alone.ensemble

    manifest = json.loads((Path(together.artefact) / "classifier.json").read_text())
    assert manifest["ensemble"]["weights"]["linear"] > 1
    assert manifest["sha256"].keys() >= {"linear.safetensors", "linear.terms.json"}

    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, registry.find(connection, together.model).id)
    waiting = [{**row, "id": f"new-{row['id']}", "category": ""} for row in unreadable(20, split="train")]
    ingest_file(workspace, tmp_path / "new.csv", waiting)
    assert queue.label_queue(workspace).labelled == len(waiting)
    labels = "SELECT external_id, label FROM article_labels WHERE origin = 'prediction'"
    truth = {f"new-{row['id']}": row["category"] for row in unreadable(20)}
    assert dict(query(workspace.database, labels)) == truth


@pytest.mark.slow
def test_the_linear_classifier_is_refitted_with_validation_articles_after_all_choices(workspace, tmp_path):
    rows = unreadable(400)
    for number, row in enumerate(row for row in rows if row["split"] == "validation"):
        if number % 3 == 0:  # only a classifier fitted to these articles has their term
            row["text"] = f"the yttrium{row['category']} q{number}"
    ingest_file(workspace, tmp_path / "known.csv", rows, replace(COLUMNS, split="split"))
    trained = candidate.train(
        workspace, RECIPE, encoder_name=str(make_encoder(tmp_path / "encoder")), target_precision=0.9
    )
    files = artefact.read_artefact(Path(trained.artefact))
    labeller = FineTunedClassifier(files.load()).labeller()
    with workspace.database.connect() as connection:
        train = annotated_articles.load_split(connection, "train")
    refitted = ensembling.refit_on_train(labeller, train)
    assert "yttriumsport" in labeller.ensemble.linear.vectorizers[0].vocabulary_
    assert "yttriumsport" not in refitted.ensemble.linear.vectorizers[0].vocabulary_
    assert refitted.ensemble.weights == labeller.ensemble.weights

    kept = query(workspace.database, THRESHOLDS)
    evaluation.evaluate(workspace, target_precision=0.9)
    assert query(workspace.database, THRESHOLDS) == kept, "on the same articles, the same threshold is chosen"
    [(threshold,)] = kept
    assert threshold["value"] > 0.5
    with pytest.raises(TrainingDataError, match="no annotated article of sport, which the model's linear"):
        ensembling.refit_on_train(labeller, [article for article in train if article.category != "sport"])
    with pytest.raises(TrainingDataError, match="have no term for the model's linear classifier to learn"):
        ensembling.refit_on_train(labeller, [replace(article, text=f"only{n}") for n, article in enumerate(train)])


@pytest.mark.slow
def test_with_too_few_validation_articles_the_network_predicts_alone_after_a_warning(workspace, tmp_path, caplog):
    ingest_file(workspace, tmp_path / "known.csv", articles(60))
    with caplog.at_level(logging.WARNING):
        trained = candidate.train(workspace, RECIPE, encoder_name=str(make_encoder(tmp_path / "encoder")))
    assert "no ensemble: it needs at least 50 validation articles; the network predicts alone" in caplog.text
    assert artefact.read_artefact(Path(trained.artefact)).ensemble() is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "style"])
def test_the_order_and_the_batch_of_an_article_do_not_change_a_bit_of_its_prediction(workspace, tmp_path, kind):
    ingest_file(workspace, tmp_path / "known.csv", articles(600))
    trained = candidate.train(
        workspace, replace(RECIPE, ensemble=kind), encoder_name=str(make_encoder(tmp_path / "encoder"))
    )
    files = artefact.read_artefact(Path(trained.artefact))
    assert f", {kind} " in trained.ensemble
    assert files.manifest["ensemble"]["with"] == files.ensemble().linear.kind == kind
    labeller = FineTunedClassifier(files.load()).labeller()
    texts = [row["text"] for row in articles(100, seed=5)]
    together = labeller.probabilities(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_array_equal(labeller.probabilities([texts[row] for row in order]), together[order])
    alone = [labeller.probabilities([text])[0] for text in texts[:10]]
    np.testing.assert_array_equal(np.array(alone), together[:10])
