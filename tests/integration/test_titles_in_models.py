"""A model reads an article's title before its text if its recipe says so: in training, evaluation and labelling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from classifier import registry
from classifier.ingest.readers import Columns
from classifier.model import artefact
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, label_churn
from classifier.pipeline.training import candidate, training_data
from classifier.store import annotated_articles, labelling_queue, model_rows, reviews
from classifier.training import data_snapshot
from classifier.training.recipes import Recipe
from tests.support.synthetic import LENIENT, add_model, articles, ingest_file, make_champion, query, run
from tests.support.tiny_models import make_encoder

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, max_length=16, dtype="float32", ensemble="linear")
COLUMNS = Columns("text", "category", "id", split="split", title="title")
SIGNS = {"business": "zinc", "sport": "xenon"}
"""Words of titles: a model that does not read titles cannot tell the categories apart."""


def titled(count):
    names = list(SIGNS)
    return [
        {
            "id": f"a{number}",
            "title": f"The {SIGNS[names[number % 2]]}",
            "text": row["text"],
            "category": names[number % 2],
            "split": ("train", "train", "validation", "test")[number // 2 % 4],
        }
        for number, row in enumerate(articles(count))
    ]


@pytest.fixture
def encoder(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "known.csv", titled(400), COLUMNS)
    return str(make_encoder(tmp_path / "encoder"))


@pytest.mark.slow
def test_titles_are_read_in_training_evaluation_and_labelling_as_the_recipe_says(workspace, tmp_path, encoder):
    blind = candidate.train(workspace, replace(RECIPE, titles="ignore"), encoder_name=encoder)
    reading = candidate.train(workspace, RECIPE, encoder_name=encoder)
    for trained, reads in ((blind, False), (reading, True)):
        assert artefact.read_artefact(Path(trained.artefact)).manifest["read_title"] is reads
    without = evaluation.evaluate(workspace, blind.model)
    assert without.metrics.accuracy < 0.75
    assert without.baseline.accuracy < 0.75, "the baseline reads what the model reads"
    result = evaluation.evaluate(workspace, reading.model)
    assert (result.metrics.accuracy, result.baseline.accuracy) == (1.0, 1.0)

    with workspace.database.begin() as connection:
        model_rows.make_champion(connection, registry.find(connection, blind.model).id)
    new = [{**row, "id": f"new-{row['id']}", "category": "", "split": "train"} for row in titled(20)]
    ingest_file(workspace, tmp_path / "new.csv", new, COLUMNS)
    queue.label_queue(workspace)
    assert 5 <= label_churn.measure_churn(workspace, reading.model).changed <= 15
    decision = decisions.promote_if_better(workspace, reading.model, margins=LENIENT)
    assert decision.promoted, "models that read different parts of the same articles can be compared"
    queue.label_queue(workspace)
    labels = "SELECT external_id, label FROM article_labels WHERE origin = 'prediction'"
    assert dict(query(workspace.database, labels)) == {f"new-{row['id']}": row["category"] for row in titled(20)}


@pytest.mark.slow
def test_after_a_change_of_a_title_its_article_is_evaluated_again(workspace, encoder):
    trained = candidate.train(workspace, RECIPE, encoder_name=encoder)
    first = evaluation.evaluate(workspace, trained.model)
    run(workspace.database, "UPDATE articles SET title = 'The zinc' WHERE external_id = 'a7'")
    second = evaluation.evaluate(workspace, trained.model)
    assert second.reused == first.metrics.articles - 1
    assert second.metrics.accuracy == (first.metrics.articles - 1) / first.metrics.articles


@pytest.mark.slow
def test_the_snapshot_has_the_titles_and_the_fingerprints_of_the_texts(workspace, encoder):
    train, validation = training_data.read_training_data(workspace)
    parts = {"train": train, "validation": validation}
    folder = workspace.settings.home
    folder.mkdir(parents=True, exist_ok=True)
    (folder / data_snapshot.FILE).write_bytes(data_snapshot.encode_snapshot(parts))
    snapshot, texts = data_snapshot.read_snapshot(folder), data_snapshot.read_texts(folder)
    assert data_snapshot.count_new(train, snapshot) == 0
    stored = {bytes(value) for (value,) in query(workspace.database, "SELECT fingerprint FROM articles")}
    assert set(texts.fingerprints) <= stored
    run(workspace.database, "UPDATE articles SET title = 'Another' WHERE external_id = 'a0'")
    with workspace.database.connect() as connection:
        assert data_snapshot.count_new(annotated_articles.stream_split(connection, "train"), snapshot) == 1


def test_a_model_that_does_not_read_titles_is_given_the_text_alone(workspace, tmp_path):
    rows = [{**row, "title": "A title", "category": ""} for row in articles(4)]
    ingest_file(workspace, tmp_path / "x.csv", rows, Columns("text", id="id", title="title"))
    model = make_champion(workspace, "m", 0)
    texts = {row["text"] for row in rows}
    for reads, expected in ((False, texts), (True, {f"A title\n\n{text}" for text in texts})):
        with workspace.database.connect() as connection:
            claimed, _ = labelling_queue.claim(connection, model.id, 9, labelling_queue.Selection(), read_title=reads)
            assert {article.text for article in claimed} == expected
            connection.rollback()


def test_reviews_tell_articles_apart_by_title_and_text(workspace, tmp_path):
    rows = [{**row, "title": "A title", "category": "", "split": "train"} for row in articles(2)]
    ingest_file(workspace, tmp_path / "x.csv", rows, COLUMNS)
    ids = [id_ for (id_,) in query(workspace.database, "SELECT id FROM articles ORDER BY external_id")]
    with workspace.database.begin() as connection:
        texts = reviews.candidate_texts(connection, add_model(connection, "m"), ids)
    assert [texts[id_] for id_ in ids] == [f"A title\n\n{row['text']}" for row in rows]
