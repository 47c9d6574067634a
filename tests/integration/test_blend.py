"""A linear classifier that answers beside the network does so from its training to the labels."""

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
from classifier.store import reads, writes
from classifier.training.recipes import Recipe
from tests.support.synthetic import COLUMNS, articles, query, take_in
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, max_length=16, precision="float32", ensemble="linear")
SIGNS = {"business": "zinc", "sport": "xenon"}
"""Words that the tiny encoder's vocabulary does not have: only who counts words can tell these categories apart."""

THRESHOLDS = "SELECT confidence->'threshold' FROM models"


def unreadable(count, *, split=""):
    """Articles of two categories that differ in words which are all the same unknown one to the network."""
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
def test_what_the_network_cannot_read_is_told_by_counting_words(workspace, tmp_path):
    take_in(workspace, tmp_path / "known.csv", unreadable(400), replace(COLUMNS, split="split"))
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
        writes.make_champion(connection, registry.find(connection, together.model).id)
    waiting = [{**row, "id": f"new-{row['id']}", "category": ""} for row in unreadable(20, split="train")]
    take_in(workspace, tmp_path / "new.csv", waiting)
    assert queue.label_queue(workspace).labelled == len(waiting)
    labels = "SELECT external_id, label FROM article_labels WHERE origin = 'prediction'"
    truth = {f"new-{row['id']}": row["category"] for row in unreadable(20)}
    assert dict(query(workspace.database, labels)) == truth


@pytest.mark.slow
def test_it_learns_from_validation_articles_too_once_nothing_more_is_chosen_on_them(workspace, tmp_path):
    rows = unreadable(400)
    for number, row in enumerate(row for row in rows if row["split"] == "validation"):
        if number % 3 == 0:  # only who has learnt from these knows what they are
            row["text"] = f"the yttrium{row['category']} q{number}"
    take_in(workspace, tmp_path / "known.csv", rows, replace(COLUMNS, split="split"))
    made = candidate.train(
        workspace, RECIPE, encoder_name=str(make_encoder(tmp_path / "encoder")), target_precision=0.9
    )
    files = artefact.read_artefact(Path(made.artefact))
    labeller = FineTunedClassifier(files.load()).labeller()
    with workspace.database.connect() as connection:
        learnt = reads.annotated_articles(connection, "train")
    unseen = ensembling.held_out(labeller, learnt)
    assert "yttriumsport" in labeller.ensemble.linear.vectorizers[0].vocabulary_
    assert "yttriumsport" not in unseen.ensemble.linear.vectorizers[0].vocabulary_
    assert unseen.ensemble.weights == labeller.ensemble.weights

    kept = query(workspace.database, THRESHOLDS)
    evaluation.evaluate(workspace, target_precision=0.9)
    assert query(workspace.database, THRESHOLDS) == kept, "chosen anew on the same articles, it is the same"
    [(threshold,)] = kept
    assert threshold["value"] > 0.5
    with pytest.raises(TrainingDataError, match="no annotated article of sport, which the model's linear"):
        ensembling.held_out(labeller, [article for article in learnt if article.category != "sport"])
    with pytest.raises(TrainingDataError, match="nothing to learn"):
        ensembling.held_out(labeller, [replace(one, text=f"only{number}") for number, one in enumerate(learnt)])


@pytest.mark.slow
def test_with_too_few_validation_articles_the_network_answers_alone_and_it_is_said(workspace, tmp_path, caplog):
    take_in(workspace, tmp_path / "known.csv", articles(60))
    with caplog.at_level(logging.WARNING):
        made = candidate.train(workspace, RECIPE, encoder_name=str(make_encoder(tmp_path / "encoder")))
    assert "the network answers alone: an ensemble needs 50 validation articles" in caplog.text
    assert artefact.read_artefact(Path(made.artefact)).ensemble() is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "style"])
def test_the_order_and_the_page_of_an_article_do_not_change_a_bit_of_it(workspace, tmp_path, kind):
    take_in(workspace, tmp_path / "known.csv", articles(600))
    made = candidate.train(
        workspace, replace(RECIPE, ensemble=kind), encoder_name=str(make_encoder(tmp_path / "encoder"))
    )
    files = artefact.read_artefact(Path(made.artefact))
    assert f", {kind} " in made.ensemble
    assert files.manifest["ensemble"]["with"] == files.ensemble().linear.kind == kind
    labeller = FineTunedClassifier(files.load()).labeller()
    texts = [row["text"] for row in articles(100, seed=5)]
    together = labeller.probabilities(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_array_equal(labeller.probabilities([texts[row] for row in order]), together[order])
    alone = [labeller.probabilities([text])[0] for text in texts[:10]]
    np.testing.assert_array_equal(np.array(alone), together[:10])
