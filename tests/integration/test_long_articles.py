"""A model that reads in chunks does so from its training to the labels, and a killed training goes on with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier import registry
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import evaluation
from classifier.pipeline.training import candidate
from classifier.settings import Settings
from classifier.store import writes
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, WORDS, query, take_in
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(
    epochs=8, batch_size=8, learning_rate=0.005, max_length=16, patience=8, precision="float32",
    long_articles="chunk", stride=10, max_chunks=4,
)  # fmt: skip


def telling_at_the_end(count, *, split=None):
    """Articles whose category shows after fourteen words that nobody knows, and no two are alike."""
    names = list(WORDS)[:2]
    rows = []
    for number in range(count):
        category = names[number % len(names)]
        unknown = [f"x{number}y{place}" for place in range(14)]
        text = " ".join([*unknown, *(WORDS[category][(number + place) % 3] for place in range(8))])
        part = split or ("train", "train", "validation", "test")[number // 3 % 4]
        rows.append({"id": f"a{number}", "text": text, "category": category, "split": part})
    return rows


@pytest.fixture
def trained(workspace, tmp_path):
    take_in(workspace, tmp_path / "known.csv", telling_at_the_end(120), replace(COLUMNS, split="split"))
    # one of width 8 learns this from seven seeds in eight, this one from each of twenty
    encoder = str(make_encoder(tmp_path / "encoder", dim=32, hidden_dim=64))

    def one(recipe=RECIPE, **options):
        place = Workspace(workspace.database, Settings(home=tmp_path / "home", checkpoint_steps=3, _env_file=None))
        return candidate.train(place, recipe, encoder_name=encoder, **options)

    return one


@pytest.mark.slow
def test_what_stands_behind_the_first_chunk_is_learnt_measured_and_labelled(workspace, trained, tmp_path):
    read_on = trained()
    assert read_on.validation_macro_f1 > 0.9
    assert trained(replace(RECIPE, long_articles="truncate")).validation_macro_f1 < 0.5

    manifest = json.loads((Path(read_on.artefact) / "classifier.json").read_text())
    assert manifest["long_articles"] == {"mode": "chunk", "stride": 10, "most": 4, "pooling": "mean logit by length"}
    assert manifest["recipe"].items() >= {"long_articles": "chunk", "stride": 10, "max_chunks": 4}.items()

    measured = evaluation.evaluate(workspace, read_on.model)
    assert measured.metrics.accuracy > 0.9

    with workspace.database.begin() as connection:
        model = registry.find(connection, read_on.model)
        writes.make_champion(connection, model.id)
    waiting = [{**row, "id": f"new-{row['id']}", "category": ""} for row in telling_at_the_end(30, split="train")]
    take_in(workspace, tmp_path / "new.csv", waiting)
    assert queue.label_queue(workspace).labelled == len(waiting)
    labels = dict(
        query(workspace.database, "SELECT external_id, label FROM article_labels WHERE origin = 'prediction'")
    )
    truth = {f"new-{row['id']}": row["category"] for row in telling_at_the_end(30)}
    assert np.mean([labels[name] == truth[name] for name in truth]) > 0.9


@pytest.mark.long
@pytest.mark.slow
def test_killed_in_the_midst_of_its_chunks_it_ends_in_the_same_bits(workspace, trained):
    class KilledError(BaseException):
        pass

    def die(now):
        if now.step == 20:
            raise KilledError

    with pytest.raises(KilledError):
        trained(on_progress=die)
    broken = trained()
    unbroken = trained()
    assert (broken.resumed_from_step, unbroken.resumed_from_step) == (18, 0)
    first, second = ((Path(one.artefact) / "model.safetensors").read_bytes() for one in (broken, unbroken))
    assert first == second
