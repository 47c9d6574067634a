"""A new head starts as a linear probe of the pretrained encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.model.keras.network import Network
from classifier.training import fit, probe
from classifier.training.recipes import Recipe
from classifier.training.training_state import TokenizedArticles
from tests.support.tiny_models import make_artefact, make_encoder

CLS, SEP = 2, 3
HEAD = ("pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return checkpoint.read_checkpoint(make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", positions=128))


def network_of(encoder, categories, **more):
    network = Network(encoder.shape, categories, dropout=0.0)
    network.load(replace(encoder, weights={**encoder.weights, **more}))
    return network


def articles(count, *, categories=3, seed=0):
    """Return articles whose first word determines the category, followed by noise."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % categories
    pieces = [[CLS, 5 + 2 * target, *generator.integers(5, 17, 1 + target).tolist(), SEP] for target in targets]
    return TokenizedArticles(pieces, targets)


def padded(data):
    width = max(map(len, data.pieces))
    tokens = np.array([[*ids, *[0] * (width - len(ids))] for ids in data.pieces], dtype=np.int32)
    return tokens, (tokens > 0).astype(np.int32)


def empty_head(categories):
    shapes = dict(zip(HEAD, [(8, 8), (8,), (categories, 8), (categories,)], strict=True))
    return {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}


def probed(encoder, data, categories, weights=None, onto=None):
    weights = np.ones(categories, dtype=np.float32) if weights is None else weights
    network = network_of(encoder, categories, **(empty_head(categories) if onto is None else onto))
    return probe.fit_probe(network, data, categories, weights=weights, seed=0)


@pytest.mark.parametrize("categories", [2, 3, 4])
def test_the_head_predicts_like_a_logistic_regression_on_the_encoders_first_token(encoder, categories):
    from sklearn.linear_model import LogisticRegression

    data = articles(60, categories=categories)
    network = network_of(encoder, categories, **probed(encoder, data, categories))
    hidden = network.hidden(*padded(data)).astype(np.float64)
    standardised = (hidden - hidden.mean(axis=0)) / hidden.std(axis=0)
    model = LogisticRegression(C=probe.INVERSE_REGULARISATION, max_iter=1000).fit(standardised, data.targets)
    np.testing.assert_allclose(
        network.probabilities(*padded(data)), model.predict_proba(standardised), rtol=0, atol=1e-4
    )


def test_every_category_is_spread_over_the_whole_head_so_that_dropout_removes_none(encoder):
    tensors = probed(encoder, articles(60, categories=2), 2)
    shares = tensors["classifier.weight"] ** 2
    assert (shares > 0).all()
    assert shares.max() < 0.5 * shares.sum(axis=1).min()


def test_the_probe_is_added_to_the_random_head_which_remains_if_the_probe_finds_nothing(encoder):
    data = articles(60, categories=2)
    random = {name: tensor for name, tensor in network_of(encoder, 2).weights().items() if name in HEAD}
    alone, added = probed(encoder, data, 2), probed(encoder, data, 2, onto=random)
    for name in HEAD:
        np.testing.assert_allclose(added[name], random[name] + alone[name], rtol=0, atol=1e-6)

    uninformative = TokenizedArticles([[CLS, 7, SEP]] * 60, data.targets)
    kernel = probed(encoder, uninformative, 2, onto=random)["pre_classifier.weight"]
    np.testing.assert_allclose(kernel, random["pre_classifier.weight"], rtol=0, atol=1e-3)
    assert np.abs(kernel).max() > 0.01


def test_an_encoder_that_is_too_narrow_for_its_categories_keeps_the_random_head(encoder, caplog):
    caplog.set_level("INFO")
    assert encoder.shape.dim == 8
    assert probed(encoder, articles(60, categories=5), 5) == {}
    assert "5 categories are too many for an encoder of width 8" in caplog.text


def test_it_reads_the_beginning_of_an_articles_first_chunk(encoder, monkeypatch):
    seen = []

    def hidden(_, tokens, mask):
        seen.extend(tuple(ids[ids > 0]) for ids in tokens if ids[0] == CLS)
        return np.random.default_rng(0).normal(size=(len(tokens), 8)).astype(np.float32)

    monkeypatch.setattr(Network, "hidden", hidden)
    long, short = [CLS, *[7] * 100, SEP], [CLS, 8, SEP]
    data = TokenizedArticles([long, [CLS, 9, SEP], short], np.array([0, 1]), np.array([0, 0, 1]))
    probed(encoder, data, 2)
    assert set(seen) == {(CLS, *[7] * (probe.MAX_LENGTH - 2), SEP), tuple(short)}


def test_of_many_articles_it_reads_the_same_share_of_each_category_and_at_least_one(monkeypatch):
    monkeypatch.setattr(probe, "MAX_ARTICLES", 100)
    targets = np.repeat([0, 1, 2], [799, 200, 1])
    sample = probe._sample(targets, np.random.default_rng(0))
    assert np.bincount(targets[sample]).tolist() == [80, 20, 1]
    assert len(set(sample)) == len(sample)
    few = np.repeat([0, 1], [60, 40])
    assert probe._sample(few, np.random.default_rng(0)).tolist() == list(range(100))


def test_categories_have_the_weights_of_the_training(encoder):
    data = articles(60, categories=2)
    rare = TokenizedArticles(data.pieces[:40] + data.pieces[40::10], np.r_[data.targets[:40], data.targets[40::10]])
    tokens = padded(rare)

    def mean_of_second(weights):
        head = probed(encoder, rare, 2, weights=np.array(weights, dtype=np.float32))
        return network_of(encoder, 2, **head).probabilities(*tokens)[:, 1].mean()

    assert mean_of_second([1.0, 5.0]) > mean_of_second([1.0, 1.0]) + 0.05


def first_loss(encoder, recipe):
    data, losses = articles(48), []
    fit.fit_classifier(
        encoder, data, data, recipe, categories=3, on_progress=lambda progress: losses.append(progress.loss)
    )
    return losses[0]


def test_a_training_starts_from_the_probe_unless_its_recipe_or_model_has_another_head(encoder, tmp_path, caplog):
    caplog.set_level("INFO")
    recipe = Recipe(epochs=1, batch_size=48, learning_rate=1e-6, dropout=0.0, dtype="float32")
    random = first_loss(encoder, replace(recipe, head="random"))
    trained = make_artefact(tmp_path / "m", positions=128).checkpoint()
    assert set(HEAD) <= trained.weights.keys()
    first_loss(trained, recipe)
    assert "linear probe" not in caplog.text
    assert first_loss(encoder, recipe) < random - 0.02
    assert "the head starts as a linear probe" in caplog.text
